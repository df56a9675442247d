/** A text divided into what is trained on and what is measured on: a slice of each of its files is held out. */

import { type Corpus, corpusFromStrings, openCorpus } from '../formats/index.js';
import { cutUtf8 } from '../measures/index.js';
import { random } from '../tensor/index.js';

/** How a text is divided. */
export interface HeldOutOptions {
  /** The share of each file that is held out. */
  readonly share: number;
  /** Where the slices lie. */
  readonly seed: number;
  /** Bytes of each slice that are measured on, its first ones (default: all of it). */
  readonly measured?: number;
  /** Only so many files, the first by name (default: all). */
  readonly files?: number;
  /** Only so many bytes of each file (default: all). */
  readonly bytes?: number;
  readonly signal?: AbortSignal;
}

/** A divided text. */
export interface DividedText {
  readonly training: Corpus;
  readonly heldOut: Corpus;
}

/**
 * Divides the text of a folder or file. The slice of a file begins at a place drawn from the seed; what stands before and
 * after it are two documents of the training text.
 * @throws not-found, bad-input; aborted.
 */
export async function divideText(path: string, options: HeldOutOptions): Promise<DividedText> {
  const { share, seed, measured = Number.POSITIVE_INFINITY, signal } = options;
  const training: Uint8Array[] = [];
  const heldOut: Uint8Array[] = [];
  const files = [...(await readFiles(path, options, signal))].slice(0, options.files);
  for (const [index, bytes] of files.entries()) {
    const length = Math.floor(bytes.length * share);
    const draw = random(seed)
      .child('held out')
      .child(index)
      .integers([1], Math.max(1, bytes.length - length + 1));
    const before = cutUtf8(bytes, Number(draw.data[0]));
    const slice = cutUtf8(bytes.subarray(before.length), length);
    training.push(before, bytes.subarray(before.length + slice.length));
    heldOut.push(cutUtf8(slice, measured));
  }
  return { training: corpusFromStrings(training, path), heldOut: corpusFromStrings(heldOut, path) };
}

/** The bytes of each file, by its name. */
async function readFiles(
  path: string,
  { bytes: limit = Number.POSITIVE_INFINITY }: HeldOutOptions,
  signal: AbortSignal | undefined,
): Promise<Iterable<Uint8Array>> {
  const corpus = await openCorpus([path], { signal });
  const parts = new Map<string, Uint8Array[]>();
  for await (const { bytes, source } of corpus.documents()) {
    parts.set(source.file, [...(parts.get(source.file) ?? []), bytes]);
  }
  return [...parts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, list]) => cutUtf8(joined(list), limit));
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
