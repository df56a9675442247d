/** H-Net as a language model: its module, batches, objective and runner behind one contract. */

import type { Json } from '../../formats/index.js';
import { crossEntropy, type Objective, type TokenBatch, tokenSource } from '../../nn/index.js';
import { type Arrays, mul, type Runtime, TesseraError } from '../../tensor/index.js';
import { byteTokenizer, type Tokenizer } from '../../tokenizers/index.js';
import type { TextModel } from '../contract.js';
import { begun } from './bytes.js';
import { forward, type HNetOutput, type HNetParameters, initHNet } from './model.js';
import { EOS, type HNetChoices, type HNetOptions, hNetOptions } from './options.js';
import { programFiles } from './programs.js';
import { type HNetRunner, openHNetRunner } from './runner.js';
import { saveHNet } from './save.js';

/** An H-Net as a language model. */
export interface HNet extends TextModel<HNetParameters, TokenBatch, HNetOutput> {
  readonly architecture: HNetOptions;
  open(runtime: Runtime, weights: Arrays<HNetParameters>): Promise<HNetRunner>;
}

/** What an H-Net is made from; the tokenizer, where one is given, must be that of bytes. */
export type HNetSettings = HNetChoices & { readonly tokenizer?: Tokenizer };

/** Next-byte prediction with the ratio loss beside it. */
export function hNetObjective(options: HNetOptions): Objective<TokenBatch, HNetOutput> {
  return {
    loss: (model, _own, batch, call) => {
      const { logits, ratioLoss } = model(batch, call);
      return { ...crossEntropy(logits, batch.targets), extra: mul(ratioLoss, options.ratioWeight) };
    },
  };
}

/** A byte-level model that learns its own tokens. @throws bad-option for choices that do not fit together. */
export function hNet(settings: HNetSettings = {}): HNet {
  const { tokenizer: given, ...choices } = settings;
  if (given !== undefined) checkBytes(given);
  const tokenizer = byteTokenizer({ endOfText: false });
  const architecture = hNetOptions(choices);
  const { rates, capacity } = architecture;
  return {
    name: 'h-net',
    options: { ...architecture } as unknown as Json,
    architecture,
    tokenizer,
    context: architecture.context,
    likelihood: 'exact',
    objective: hNetObjective(architecture),
    ...(rates.some((rate) => rate !== 1) ? { rates: rateOf(rates) } : {}),
    init: (random) => initHNet(architecture, random),
    apply: (parameters, batch, call) =>
      forward(architecture, parameters, batch.inputs, call, call.training ? { capacity } : {}),
    source: (corpus, size, random, options) =>
      tokenSource(corpus, begun, { ...options, ...size, endOfText: EOS, random }),
    programs: programFiles(architecture),
    save: (folder, parameters, options) => saveHNet(folder, { ...options, architecture, parameters, tokenizer }),
    open: (runtime, weights) => openHNetRunner(runtime, architecture, weights, tokenizer),
  };
}

/** The factor of a parameter's rate by the stage it is in; embedding and head belong to the outermost. */
function rateOf(rates: readonly number[]): (path: string) => number | undefined {
  return (path) => {
    const stage = /(?:^|\.)stages\.(\d+)\./.exec(path)?.[1];
    return rates[stage === undefined ? 0 : Number(stage)];
  };
}

/** @throws bad-option for a tokenizer whose first ids are not the bytes. */
function checkBytes({ vocabulary, special }: Tokenizer): void {
  let bytes = vocabulary.size >= 256 && vocabulary.size <= 256 + special.size;
  for (let byte = 0; bytes && byte < 256; byte++) {
    const token = vocabulary.token(byte);
    bytes = token.length === 1 && token[0] === byte;
  }
  if (bytes) return;
  throw new TesseraError('bad-option', 'An H-Net reads bytes and takes no other tokenizer.', {
    hint: 'Leave the tokenizer out, or give "bytes".',
  });
}
