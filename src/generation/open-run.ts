/** Opening a folder of exported programs for use, whatever system wrote it. */

import { joinPath, stat } from '#host';
import { PROGRAMS_FILE, type ProgramsDescription, readPrograms } from '../formats/programs.js';
import { TesseraError } from '../host/error.js';
import { decode, type TokenCoder } from '../nn/decoding.js';
import type { BitsOptions, GenerateOptions } from '../nn/module.js';
import { openTokenizer } from '../tokenizers/open.js';
import type { Tokenizer } from '../tokenizers/tokenizer.js';
import type { RunDecoder } from './decoder.js';
import { LOOPS } from './loops.js';
import type { EngineOptions } from './program.js';
import { openTransformers, TRANSFORMERS_FILE } from './transformers.js';

/** How programs are opened. */
export type RunOptions = EngineOptions;

/** Exported programs, opened. */
export interface Run {
  /** The slug of the system that wrote them; `gpt` for a folder in the layout of transformers.js. */
  readonly system: string;
  /** What `tessera.json` says; absent for a folder in the layout of transformers.js. */
  readonly description?: ProgramsDescription;
  readonly tokenizer: Tokenizer;
  /**
   * Continuations of prompts, a piece at a time, each with the number of its row: those of the library's own runner for
   * the same seed. @throws bad-option; aborted.
   */
  generate(
    prompts: readonly (Uint8Array | string)[],
    options?: GenerateOptions,
  ): AsyncIterable<{ readonly row: number; readonly bytes: Uint8Array }>;
  /** Bits that the model needs to write the document, every byte counted once. @throws aborted. */
  bits(
    document: Uint8Array | string,
    options?: BitsOptions,
  ): Promise<{ readonly bits: number; readonly error?: number }>;
  dispose(): Promise<void>;
}

/**
 * Opens a model's folder with its exported programs: `tessera.json`, or `onnx/model.onnx` in the layout of
 * transformers.js. Programs run in the calling thread, which they block: open them in a worker where that matters.
 * @throws not-found when the folder, a program or the tokenizer is missing; bad-file for what is damaged; unsupported for
 * a newer format or a loop that is not known; mismatch when description, programs and tokenizer do not fit together.
 */
export async function openRun(folder: string, options: RunOptions = {}): Promise<Run> {
  const described = (await stat(joinPath(folder, PROGRAMS_FILE))) !== undefined;
  if (!described) await checkFolder(folder);
  const description = described ? await readPrograms(folder) : undefined;
  const tokenizerFile = description === undefined ? 'tokenizer.json' : description.tokenizer;
  const tokenizer = await openTokenizer(joinPath(folder, ...tokenizerFile.split('/')));
  const decoder =
    description === undefined ? await openTransformers(folder, options) : await openLoop(folder, description, options);
  if (tokenizer.vocabulary.size > decoder.vocabulary) {
    await decoder.dispose();
    throw new TesseraError(
      'mismatch',
      `The tokenizer in ${folder} has ${tokenizer.vocabulary.size} tokens, its programs ${decoder.vocabulary}.`,
      { hint: 'Put the tokenizer that the model was trained with into the folder.' },
    );
  }
  const encoder = new TextEncoder();
  const bytesOf = (text: Uint8Array | string) => (typeof text === 'string' ? encoder.encode(text) : text);
  return {
    system: description?.system ?? 'gpt',
    description,
    tokenizer,
    generate: (prompts, choices) => decode(decoder, coderOf(tokenizer, decoder), prompts.map(bytesOf), choices),
    bits: async (document, choices) => {
      const bytes = bytesOf(document);
      const { scoreDocument } = await import('./scoring.js');
      return scoreDocument(decoder, tokenizer.encodeBytes(bytes), bytes.length, choices);
    },
    dispose: () => decoder.dispose(),
  };
}

/** Prompts as the model's documents begin. */
function coderOf(tokenizer: Tokenizer, { begin }: RunDecoder): TokenCoder {
  if (begin === undefined) return tokenizer;
  return {
    vocabulary: tokenizer.vocabulary,
    encodeBytes: (bytes) => [begin, ...tokenizer.encodeBytes(bytes)],
    createDecoder: () => tokenizer.createDecoder(),
  };
}

async function checkFolder(folder: string): Promise<void> {
  const status = await stat(folder);
  if (status === undefined) throw new TesseraError('not-found', `There is no folder ${folder}.`);
  if (status.kind !== 'directory') {
    throw new TesseraError('not-found', `${folder} is a file; a folder of exported programs was needed.`);
  }
  if ((await stat(joinPath(folder, ...TRANSFORMERS_FILE.split('/')))) === undefined) {
    throw new TesseraError('not-found', `${folder} has neither ${PROGRAMS_FILE} nor ${TRANSFORMERS_FILE}.`, {
      hint: 'Give the folder that a model was saved in with its ONNX programs.',
    });
  }
}

async function openLoop(folder: string, description: ProgramsDescription, options: RunOptions): Promise<RunDecoder> {
  const { loop, system } = description;
  const load = LOOPS.get(loop);
  if (load === undefined) {
    throw new TesseraError('unsupported', `${folder} holds a ${system}, whose loop "${loop}" is not known here.`, {
      hint: `Loops that are known: ${[...LOOPS.keys()].join(', ')}. A newer Tessera may know more.`,
    });
  }
  const open = await load();
  return open(folder, description, options);
}
