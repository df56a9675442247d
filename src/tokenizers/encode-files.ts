/**
 * Whole corpora to ids: documents are read, encoded by threads in batches of about a megabyte, and put together in their
 * order, in memory or on disk. Text stays bytes all the way.
 */

import { cores, createWriter, joinPath, makeTemporarySibling, remove, replaceDirectory, startWorker } from '#host';
import { openCorpus } from '../formats/corpus.js';
import type { Corpus } from '../formats/corpus-types.js';
import { TesseraError, throwIfAborted } from '../host/error.js';
import { encodeBatch, type IdBatch, type TextBatch } from './encode-batch.js';
import type { EncodeAnswer, EncodeOrder } from './encode-worker.js';
import type { EncodeOptions, SavedFile, Tokenizer } from './tokenizer.js';

/** How files are encoded. */
export interface EncodeFilesOptions extends Omit<EncodeOptions, 'random'> {
  /**
   * Threads beside this one, which then only reads and collects; 0 encodes here. Unless given: as many as there are
   * cores, up to eight, where the tokenizer can be sent to them.
   */
  readonly workers?: number;
  /** A token after each document, such as the end of text. */
  readonly after?: number;
  readonly onProgress?: (progress: EncodeProgress) => void;
  readonly signal?: AbortSignal;
}

/** What has been encoded so far. */
export interface EncodeProgress {
  readonly documents: number;
  readonly bytes: number;
  readonly tokens: number;
}

/** A corpus as ids. */
export interface EncodedCorpus {
  /** All ids, document after document. */
  readonly ids: Int32Array<ArrayBuffer>;
  /** Where each document begins in `ids`, and where the last one ends: `[documents + 1]`. */
  readonly starts: Float64Array<ArrayBuffer>;
  /** Bytes of text. */
  readonly bytes: number;
}

/** What a folder of ids holds. */
export interface EncodedFolder extends EncodeProgress {
  /** `uint16` where every id fits, else `uint32`; little-endian. */
  readonly dtype: 'uint16' | 'uint32';
}

/** Bytes of text in a batch, and batches that a thread has at once: one to work on, one that waits. */
const BATCH = 1 << 20;
const AHEAD = 2;
const MOST_WORKERS = 8;

/** Takes the ids of some documents, in their order. */
type Sink = (batch: IdBatch, bytes: number) => Promise<void> | void;

/**
 * The ids of files (paths, folders, patterns, or an open corpus), in memory.
 * @throws bad-input, not-found, aborted; bad-option for a number of workers.
 */
export async function encodeFiles(
  tokenizer: Tokenizer,
  source: string | readonly string[] | Corpus,
  options: EncodeFilesOptions = {},
): Promise<EncodedCorpus> {
  const parts: Int32Array[] = [];
  const starts: number[] = [0];
  let [total, bytes] = [0, 0];
  await encodeAll(tokenizer, source, options, ({ ids, counts }, read) => {
    parts.push(ids);
    for (const count of counts) {
      total += count;
      starts.push(total);
    }
    bytes += read;
  });
  const ids = new Int32Array(total);
  let at = 0;
  for (const part of parts) {
    ids.set(part, at);
    at += part.length;
  }
  return { ids, starts: Float64Array.from(starts), bytes };
}

/**
 * The same into a folder, which appears whole or not at all: `ids.bin` (uint16 or uint32), `starts.bin` (uint64: where each
 * document begins, and where the last one ends) and `encoding.json`, which says so. NumPy reads both with `memmap`.
 * @throws as {@link encodeFiles}; no-space.
 */
export async function encodeFilesTo(
  folder: string,
  tokenizer: Tokenizer,
  source: string | readonly string[] | Corpus,
  options: EncodeFilesOptions = {},
): Promise<EncodedFolder> {
  const dtype = tokenizer.vocabulary.size <= 0x10000 ? 'uint16' : 'uint32';
  const temporary = await makeTemporarySibling(folder);
  const sofar = { documents: 0, bytes: 0, tokens: 0 };
  try {
    const ids = await createWriter(joinPath(temporary, 'ids.bin'));
    const starts = await createWriter(joinPath(temporary, 'starts.bin'));
    await starts.write(new Uint8Array(8));
    await encodeAll(tokenizer, source, options, async (batch, read) => {
      const narrow = dtype === 'uint16' ? Uint16Array.from(batch.ids) : batch.ids;
      await ids.write(new Uint8Array(narrow.buffer, narrow.byteOffset, narrow.byteLength));
      const ends = new BigUint64Array(batch.counts.length);
      for (const [index, count] of batch.counts.entries()) {
        sofar.tokens += count;
        ends[index] = BigInt(sofar.tokens);
      }
      await starts.write(new Uint8Array(ends.buffer));
      sofar.documents += batch.counts.length;
      sofar.bytes += read;
    });
    await ids.commit();
    await starts.commit();
    const told: EncodedFolder = { ...sofar, dtype };
    const description = {
      format: 1,
      ...told,
      ids: { file: 'ids.bin', dtype, shape: [sofar.tokens] },
      starts: { file: 'starts.bin', dtype: 'uint64', shape: [sofar.documents + 1] },
      vocabulary: tokenizer.vocabulary.size,
      endOfText: tokenizer.endOfText ?? null,
      after: options.after ?? null,
    };
    const json = await createWriter(joinPath(temporary, 'encoding.json'));
    await json.write(new TextEncoder().encode(`${JSON.stringify(description, null, 2)}\n`));
    await json.commit();
    await replaceDirectory(temporary, folder);
    return told;
  } catch (error) {
    await remove(temporary);
    throw error;
  }
}

async function encodeAll(
  tokenizer: Tokenizer,
  source: string | readonly string[] | Corpus,
  options: EncodeFilesOptions,
  sink: Sink,
): Promise<void> {
  const { workers, after, onProgress, signal, ...encoding } = options;
  if (workers !== undefined && (!Number.isInteger(workers) || workers < 0))
    throw new TesseraError('bad-option', `The number of workers must be a whole number from 0, not ${workers}.`);
  const isCorpus = typeof source === 'object' && 'documents' in source;
  const corpus = isCorpus ? source : await openCorpus(typeof source === 'string' ? [source] : source, { signal });
  const files = workers === 0 ? undefined : portable(tokenizer, workers !== undefined);
  const crew = files === undefined ? undefined : startCrew(files, encoding, workers ?? Math.min(MOST_WORKERS, cores()));
  const done = { documents: 0, bytes: 0, tokens: 0 };
  /** Batches whose ids are on the way, in their order. */
  const underWay: { readonly ids: Promise<IdBatch>; readonly bytes: number }[] = [];
  const take = async (): Promise<void> => {
    const next = underWay.shift();
    if (next === undefined) return;
    const made = await next.ids;
    const batch = after === undefined ? made : withToken(made, after);
    await sink(batch, next.bytes);
    done.documents += batch.counts.length;
    done.bytes += next.bytes;
    done.tokens += batch.ids.length;
    onProgress?.({ ...done });
  };
  try {
    for await (const batch of batches(corpus)) {
      throwIfAborted(signal);
      const { length } = batch.bytes;
      if (crew === undefined)
        underWay.push({ ids: Promise.resolve(encodeBatch(tokenizer, batch, encoding)), bytes: length });
      else {
        const ids = crew.encode(batch);
        // A failure is told where it is awaited; until then it is no unhandled one.
        ids.catch(() => undefined);
        underWay.push({ ids, bytes: length });
      }
      while (underWay.length >= (crew?.room ?? 1)) await take();
    }
    while (underWay.length > 0) {
      throwIfAborted(signal);
      await take();
    }
  } finally {
    await crew?.dispose();
  }
}

/** The files that a thread makes the tokenizer from; undefined where they cannot say the same. */
function portable(tokenizer: Tokenizer, isAsked: boolean): readonly SavedFile[] | undefined {
  try {
    return tokenizer.save();
  } catch (error) {
    if (isAsked || !(error instanceof TesseraError)) throw error;
    return undefined;
  }
}

/** Documents in batches; a large document is a batch of its own. */
async function* batches(corpus: Corpus): AsyncIterable<TextBatch> {
  let held: Uint8Array[] = [];
  let size = 0;
  const flush = (): TextBatch => {
    const bytes = new Uint8Array(size);
    const lengths = Int32Array.from(held, ({ length }) => length);
    let at = 0;
    for (const document of held) {
      bytes.set(document, at);
      at += document.length;
    }
    held = [];
    size = 0;
    return { bytes, lengths };
  };
  for await (const { bytes } of corpus.documents()) {
    held.push(bytes);
    size += bytes.length;
    if (size >= BATCH) yield flush();
  }
  if (held.length > 0) yield flush();
}

/** A token after each document. */
function withToken({ ids, counts }: IdBatch, token: number): IdBatch {
  const more = new Int32Array(ids.length + counts.length);
  let [from, to] = [0, 0];
  for (const count of counts) {
    more.set(ids.subarray(from, from + count), to);
    more[to + count] = token;
    from += count;
    to += count + 1;
  }
  return { ids: more, counts: counts.map((count) => count + 1) };
}

interface Crew {
  /** Batches that may be under way at once. */
  readonly room: number;
  encode(batch: TextBatch): Promise<IdBatch>;
  dispose(): Promise<void>;
}

/** Threads that each encode their batches in turn; a batch goes to the one that has the fewest. */
function startCrew(files: readonly SavedFile[], options: EncodeOptions, workers: number): Crew {
  const members = Array.from({ length: workers }, () => member({ files, options }));
  return {
    room: workers * AHEAD,
    encode: (batch) => {
      const idle = members.reduce((least, each) => (each.waiting() < least.waiting() ? each : least));
      return idle.encode(batch);
    },
    dispose: async () => {
      await Promise.all(members.map(({ end }) => end()));
    },
  };
}

function member(first: EncodeOrder) {
  const handle = startWorker(new URL('./encode-worker.js', import.meta.url), {
    name: 'tessera-encode',
    page: () => new Worker(new URL('./encode-worker.js', import.meta.url), { type: 'module', name: 'tessera-encode' }),
  });
  const waiting: { resolve(batch: IdBatch): void; reject(error: Error): void }[] = [];
  let failure: Error | undefined;
  const fail = (error: Error): void => {
    failure = error;
    for (const { reject } of waiting.splice(0)) reject(error);
  };
  handle.onMessage((message) => {
    const answer = message as EncodeAnswer;
    if ('failed' in answer) fail(new TesseraError('bad-input', `A thread could not encode: ${answer.failed}`));
    else waiting.shift()?.resolve(answer);
  });
  handle.onError(fail);
  handle.postMessage(first);
  return {
    waiting: () => waiting.length,
    encode: (batch: TextBatch): Promise<IdBatch> =>
      new Promise((resolve, reject) => {
        if (failure !== undefined) return reject(failure);
        waiting.push({ resolve, reject });
        handle.postMessage({ batch } satisfies EncodeOrder, [batch.bytes.buffer, batch.lengths.buffer]);
      }),
    end: () => handle.terminate(),
  };
}
