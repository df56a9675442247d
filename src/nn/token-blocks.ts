/** A text as numbered blocks of token ids, tokenized from any block on, ahead of use and within bounds of memory. */

import type { CorpusCursor, CorpusDocument } from '../formats/index.js';
import { TesseraError } from '../tensor/index.js';
import type { Documents } from './module.js';
import { foreignCursor } from './source.js';

/** How far the tokenizing is. */
export interface TokenProgress {
  /** Bytes, documents and tokens read since the source was made. */
  readonly bytes: number;
  readonly documents: number;
  readonly tokens: number;
  /** The end of the text was reached. */
  readonly done: boolean;
}

/** A part of the token stream that begins and ends between documents. */
export interface TokenBlock {
  readonly number: number;
  /** Where its first document begins; undefined: at the start of the text. */
  readonly at: CorpusCursor | undefined;
  /** 16 bits an id where all ids allow it. */
  readonly tokens: Uint16Array | Int32Array;
  readonly length: number;
  /** It ends the text. */
  readonly last: boolean;
}

/** The blocks of a text. */
export interface TokenBlocks {
  /** A block, from memory or read. @throws mismatch for a number past the end of the text. */
  get(number: number): Promise<TokenBlock>;
  /** Reads ahead: of the block after `block` (the first after the last) the given share. */
  fillNext(block: TokenBlock, share: number): Promise<void>;
  /** Says where a block begins, so that it can be read without those before it. */
  place(number: number, at: CorpusCursor | undefined): void;
}

/** What blocks are made with. */
export interface TokenBlockOptions {
  readonly endOfText: number;
  readonly blockTokens: number;
  readonly memoryTokens: number;
  readonly report?: (progress: TokenProgress) => void;
  readonly signal?: AbortSignal;
}

/** A block being read. */
class Filling {
  tokens: Uint16Array | Int32Array = new Uint16Array(1 << 16);
  length = 0;

  constructor(
    readonly number: number,
    readonly at: CorpusCursor | undefined,
  ) {}

  push(ids: ArrayLike<number>): void {
    const needed = this.length + ids.length;
    let wide = this.tokens instanceof Int32Array;
    if (!wide) for (let i = 0; i < ids.length && !wide; i++) wide = (ids[i] ?? 0) > 0xffff;
    if (needed > this.tokens.length || wide !== this.tokens instanceof Int32Array) {
      const capacity = needed > this.tokens.length ? Math.max(needed, this.tokens.length * 2) : this.tokens.length;
      const grown = wide ? new Int32Array(capacity) : new Uint16Array(capacity);
      grown.set(this.tokens.subarray(0, this.length));
      this.tokens = grown;
    }
    this.tokens.set(ids, this.length);
    this.length = needed;
  }
}

const BREATH_MS = 40;

/** Lets timers, signals and messages have their turn. */
function breathe(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 0);
  });
}

/** The blocks of the documents, each of at least `blockTokens` tokens but the last. */
export function tokenBlocks(
  documents: Documents,
  encode: (bytes: Uint8Array) => ArrayLike<number>,
  options: TokenBlockOptions,
): TokenBlocks {
  const { endOfText, blockTokens, memoryTokens, report, signal } = options;
  const kept = new Map<number, TokenBlock>();
  const starts = new Map<number, CorpusCursor | undefined>([[0, undefined]]);
  const end = [endOfText];
  let reader: AsyncIterator<CorpusDocument> | undefined;
  let ahead: CorpusDocument | undefined;
  let filling: Filling | undefined;
  let progress = { bytes: 0, documents: 0, tokens: 0 };
  let breathed = performance.now();

  const begin = async (number: number): Promise<Filling> => {
    if (filling?.number === number) return filling;
    if (!starts.has(number)) throw new Error(`block ${number} is not known yet`);
    await reader?.return?.();
    const at = starts.get(number);
    reader = documents.documents(at)[Symbol.asyncIterator]();
    ahead = undefined;
    filling = new Filling(number, at);
    return filling;
  };

  /** The next document, looking one ahead so that the end is known. */
  const read = async (): Promise<CorpusDocument | undefined> => {
    if (signal?.aborted) throw new TesseraError('aborted', 'The work was stopped.', { cause: signal.reason });
    if (performance.now() - breathed > BREATH_MS) {
      await breathe();
      breathed = performance.now();
      report?.({ ...progress, done: false });
    }
    const current = ahead ?? (await reader?.next())?.value;
    const following = current === undefined ? undefined : await reader?.next();
    ahead = following?.done === true ? undefined : following?.value;
    return current;
  };

  /** Reads documents into the block until it has `goal` tokens; returns the block when that ends it. */
  const fill = async (block: Filling, goal: number): Promise<TokenBlock | undefined> => {
    while (block.length < Math.min(goal, blockTokens)) {
      const document = await read();
      if (block.length === 0) block.push(end);
      if (document !== undefined) {
        const ids = encode(document.bytes);
        block.push(ids);
        block.push(end);
        progress = {
          bytes: progress.bytes + document.bytes.length,
          documents: progress.documents + 1,
          tokens: progress.tokens + ids.length + 1,
        };
      }
      const last = ahead === undefined;
      if (!last && block.length < blockTokens) continue;
      if (last) report?.({ ...progress, done: true });
      else starts.set(block.number + 1, document?.cursor);
      return finish(block, last);
    }
    return undefined;
  };

  const finish = (block: Filling, last: boolean): TokenBlock => {
    const tokens = block.tokens.length > block.length * 1.25 ? block.tokens.slice(0, block.length) : block.tokens;
    const done: TokenBlock = { number: block.number, at: block.at, tokens, length: block.length, last };
    kept.set(done.number, done);
    filling = last ? undefined : new Filling(done.number + 1, starts.get(done.number + 1));
    return done;
  };

  /** Forgets blocks past the bound, the oldest first, but never `current` and the one after it. */
  const forget = (current: number): void => {
    let total = [...kept.values()].reduce((sum, { length }) => sum + length, 0);
    for (const [number, { length }] of kept) {
      if (total <= memoryTokens + blockTokens) return;
      if (number === current || number === current + 1) continue;
      kept.delete(number);
      total -= length;
    }
  };

  return {
    get: async (number) => {
      const block = kept.get(number) ?? (await fill(await begin(number), Number.POSITIVE_INFINITY));
      if (block === undefined) throw foreignCursor({ block: number });
      forget(number);
      return block;
    },
    fillNext: async (block, share) => {
      const number = block.last ? 0 : block.number + 1;
      if (kept.has(number)) return;
      await fill(await begin(number), Math.ceil(share * blockTokens));
    },
    place: (number, at) => {
      if (number > 0 && !kept.has(number)) starts.set(number, at);
    },
  };
}
