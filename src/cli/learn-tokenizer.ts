/** Training a byte-level BPE tokenizer with its progress shown, and putting a tokenizer's files into a folder. */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { makeDirectory, writeFileAtomic } from '#host';
import type { Corpus } from '../formats/index.js';
import { type SplitPatternName, type Tokenizer, type TrainedBpe, trainBpe } from '../tokenizers/index.js';
import { count, type Output, size } from './output.js';

/** What is learned from. */
export interface LearnOptions {
  readonly corpus: Pick<Corpus, 'documents'>;
  readonly vocabulary: number;
  readonly splitPattern?: SplitPatternName;
  readonly output: Output;
  readonly signal: AbortSignal;
}

/** Trains a tokenizer. @throws as `trainBpe` and the corpus. */
export async function learnTokenizer(options: LearnOptions): Promise<TrainedBpe> {
  const { corpus, vocabulary, splitPattern, output, signal } = options;
  const started = performance.now();
  const progress = output.progress('Tokenizer', vocabulary);
  try {
    const trained = await trainBpe(bytesOf(corpus), {
      vocabularySize: vocabulary,
      splitPattern,
      signal,
      onProgress: (at) => {
        if (at.stage === 'count') progress.update(0, `${size(at.bytes)} read`);
        else progress.update(at.tokens, '');
      },
    });
    progress.end();
    const { tokens, bytes } = trained.report;
    const seconds = (performance.now() - started) / 1000;
    output.note(`Tokenizer: ${count(tokens)} tokens learned from ${size(bytes)} in ${seconds.toFixed(1)} s.`);
    return trained;
  } finally {
    progress.end();
  }
}

async function* bytesOf(corpus: Pick<Corpus, 'documents'>): AsyncGenerator<Uint8Array> {
  for await (const document of corpus.documents()) yield document.bytes;
}

/** Writes `tokenizer.json` and `tokenizer_config.json`. @throws no-space. */
export async function writeTokenizer(
  folder: string,
  tokenizer: Tokenizer,
  maxLength?: number,
): Promise<readonly string[]> {
  await makeDirectory(folder);
  const paths: string[] = [];
  for (const { file, text } of tokenizer.save({ maxLength })) {
    await writeFileAtomic(join(folder, file), text);
    paths.push(join(folder, file));
  }
  return paths;
}

/** A hash that tells one tokenizer from another. */
export function tokenizerHash(tokenizer: Tokenizer): string {
  const text = tokenizer.save().find(({ file }) => file.endsWith('tokenizer.json'))?.text ?? '';
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
