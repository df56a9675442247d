/**
 * Batches of token ids from documents: the documents stand one after the other with an end-of-text token before, between
 * and after them, and windows of that stream are rows.
 *
 * The stream is read in blocks. Inside a block the order of the windows, and where the first begins, are a pure function
 * of (seed, epoch, block); blocks follow in the order of the text. A text of one block is so shuffled as a whole. While
 * one block is served the next is tokenized bit by bit, and blocks stay in memory up to a bound, so that a text is
 * tokenized once.
 */

import { type CorpusCursor, isJsonObject, type Json } from '../formats/index.js';
import { type Arrays, type NDArray, type Random, TesseraError } from '../tensor/index.js';
import type { BatchSource, Documents, TokenBatch } from './module.js';
import { checkCount, cursorNumber, foreignCursor } from './source.js';
import { type TokenBlock, type TokenProgress, tokenBlocks } from './token-blocks.js';

/** Options of {@link tokenSource}. */
export interface TokenSourceOptions {
  /** Rows of a batch. */
  readonly batch: number;
  /** Positions of a row; `inputs` and `targets` are `[batch, length]`. */
  readonly length: number;
  /** The id of the end-of-text token. */
  readonly endOfText: number;
  /** Draws the order; without it windows come in the order of the text. */
  readonly random?: Random;
  /** How often the text is gone through (default: without end). */
  readonly epochs?: number;
  /** Tokens of a block (default 16 Mi). */
  readonly blockTokens?: number;
  /** Tokens kept in memory beside the block in use (default 256 Mi). */
  readonly memoryTokens?: number;
  /** Called while text is tokenized, a few times a second. */
  readonly report?: (progress: TokenProgress) => void;
  readonly signal?: AbortSignal;
}

interface Place {
  readonly epoch: number;
  readonly block: number;
  /** Batches of the block that were given. */
  readonly index: number;
}

/** A block with the order in which an epoch goes through it. */
interface Served {
  readonly epoch: number;
  readonly block: TokenBlock;
  /** Where the first window begins. */
  readonly offset: number;
  readonly windows: Int32Array | undefined;
  readonly batches: number;
}

/**
 * A source of token batches. `encode` turns a document's bytes into ids; documents are not joined before it.
 * Nothing is read before the first `next`.
 *
 * @throws (from `next`) bad-input when the text has fewer tokens than one batch needs; aborted.
 */
export function tokenSource(
  documents: Documents,
  encode: (bytes: Uint8Array) => ArrayLike<number>,
  options: TokenSourceOptions,
): BatchSource<TokenBatch> {
  const { batch, length, random, epochs = Number.POSITIVE_INFINITY } = options;
  checkCount('batch', batch);
  checkCount('length', length);
  const needed = batch * length + 1;
  const blocks = tokenBlocks(documents, encode, {
    endOfText: options.endOfText,
    blockTokens: Math.max(options.blockTokens ?? 1 << 24, needed),
    memoryTokens: options.memoryTokens ?? 1 << 28,
    report: options.report,
    signal: options.signal,
  });
  let place: Place = { epoch: 0, block: 0, index: 0 };
  let served: Served | undefined;

  const serve = async (): Promise<Served> => {
    if (served?.epoch === place.epoch && served.block.number === place.block) return served;
    const block = await blocks.get(place.block);
    const spare = block.length - needed;
    const draws = random?.child('windows').at(place.epoch).child(place.block);
    // The first window begins anywhere in a row's length, as far as a whole batch is left.
    const offset =
      draws === undefined || spare <= 0
        ? 0
        : (draws.child('offset').integers([1], Math.min(length, spare + 1)).data[0] ?? 0);
    const windows = Math.max(0, Math.floor((block.length - 1 - offset) / length));
    const order = windows === 0 ? undefined : draws?.child('order').permutation(windows).data;
    served = { epoch: place.epoch, block, offset, windows: order, batches: Math.floor(windows / batch) };
    return served;
  };

  return {
    next: async () => {
      for (;;) {
        if (place.epoch >= epochs) return undefined;
        const { block, offset, windows, batches } = await serve();
        if (place.index < batches) {
          const { index } = place;
          const starts = Int32Array.from({ length: batch }, (_, row) => {
            const window = index * batch + row;
            return offset + (windows?.[window] ?? window) * length;
          });
          place = { ...place, index: index + 1 };
          await blocks.fillNext(block, place.index / batches);
          return batchOf(block, starts, length);
        }
        if (!block.last) place = { epoch: place.epoch, block: place.block + 1, index: 0 };
        else if (place.block === 0 && batches === 0) throw tooShort(block.length, needed, batch, length);
        else place = { epoch: place.epoch + 1, block: 0, index: 0 };
      }
    },
    cursor: () => {
      const block = served?.block.number === place.block ? served.block : undefined;
      const at: Json = block?.at === undefined ? null : { ...block.at };
      return { ...place, at, tokens: block?.length ?? null };
    },
    seek: async (cursor) => {
      const next = {
        epoch: cursorNumber(cursor, 'epoch'),
        block: cursorNumber(cursor, 'block'),
        index: cursorNumber(cursor, 'index'),
      };
      if (!isJsonObject(cursor)) throw foreignCursor(cursor);
      blocks.place(next.block, corpusCursor(cursor.at));
      place = next;
      served = undefined;
      if (cursor.tokens === null) return;
      const { block, batches } = await serve();
      if (block.length !== cursor.tokens || next.index > batches) throw foreignCursor(cursor);
    },
  };
}

function batchOf(block: TokenBlock, starts: Int32Array, length: number): Arrays<TokenBatch> {
  const shape = [starts.length, length];
  const inputs = new Int32Array(starts.length * length);
  const targets = new Int32Array(starts.length * length);
  for (const [row, start] of starts.entries()) {
    inputs.set(block.tokens.subarray(start, start + length), row * length);
    targets.set(block.tokens.subarray(start + 1, start + length + 1), row * length);
  }
  const leaf = (data: Int32Array): NDArray => ({ dtype: 'int32', shape, data });
  return { inputs: leaf(inputs), targets: leaf(targets) };
}

function corpusCursor(value: Json | undefined): CorpusCursor | undefined {
  if (!isJsonObject(value)) return undefined;
  return {
    file: cursorNumber(value, 'file'),
    offset: cursorNumber(value, 'offset'),
    index: cursorNumber(value, 'index'),
    line: cursorNumber(value, 'line'),
  };
}

function tooShort(tokens: number, needed: number, batch: number, length: number): TesseraError {
  return new TesseraError(
    'bad-input',
    `The text has ${tokens} tokens; one batch of ${batch} rows of ${length} needs ${needed}.`,
    { hint: 'Take more text, a smaller batch or shorter rows.' },
  );
}
