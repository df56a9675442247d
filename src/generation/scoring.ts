/** The bits of a document by exported programs: the windows that the library scores in, read as decoding reads them. */

import { TesseraError } from '../host/error.js';
import { natsToBits } from '../measures/bits.js';
import type { BitsOptions } from '../nn/module.js';
import { type ScoreWindow, scoreWindows } from '../nn/windows.js';
import type { RunDecoder, RunSession } from './decoder.js';

/** Windows that are read side by side, and the logits that they may take together. */
const ROWS = 8;
const LOGIT_BYTES = 64e6;
/** Draws that a figure is the mean of, when nothing else is said. */
const DRAWS = 8;

/** Bits that a document costs; with draws the mean of several, and its standard error. @throws aborted. */
export async function scoreDocument(
  decoder: RunDecoder,
  tokens: ArrayLike<number>,
  bytes: number,
  options: BitsOptions = {},
): Promise<{ readonly bits: number; readonly error?: number }> {
  const { seed = 0, draws = DRAWS } = options;
  const passes = decoder.draws ? draws : 1;
  const results: number[] = [];
  for (let pass = 0; pass < passes; pass++) {
    const report = (share: number) => options.report?.(Math.round((bytes * (pass + share)) / passes));
    results.push(natsToBits(await score(decoder, tokens, seed * 4096 + pass, report, options.signal)));
  }
  const bits = results.reduce((total, value) => total + value, 0) / passes;
  if (!decoder.draws) return { bits };
  const squares = results.reduce((total, value) => total + (value - bits) ** 2, 0);
  return { bits, error: passes < 2 ? 0 : Math.sqrt(squares / (passes - 1) / passes) };
}

async function score(
  decoder: RunDecoder,
  tokens: ArrayLike<number>,
  seed: number,
  report: (share: number) => void,
  signal: AbortSignal | undefined,
): Promise<number> {
  const { context, vocabulary, endOfText } = decoder;
  const sequence = new Int32Array(tokens.length + 1);
  sequence[0] = endOfText;
  sequence.set(tokens, 1);
  const windows = tokens.length === 0 ? [] : scoreWindows(tokens.length, context);
  const rows = Math.max(1, Math.min(ROWS, Math.floor(LOGIT_BYTES / (4 * context * vocabulary))));
  let nats = 0;
  for (let first = 0; first < windows.length; first += rows) {
    const batch = windows.slice(first, first + rows).map((window) => new WindowRow(sequence, context, window));
    // Other windows of the same document draw anew.
    const session = await decoder.open({
      batch: batch.length,
      expected: Math.max(...batch.map(({ length }) => length)),
      seed: seed * 65536 + first,
    });
    try {
      const readAll = session.readAll?.bind(session);
      if (readAll !== undefined) nats += await readWhole(readAll, batch, vocabulary, signal);
      else nats += await readOnward(session, batch, vocabulary, signal);
    } finally {
      await session.dispose();
    }
    report(Math.min(1, (first + rows) / windows.length));
  }
  return nats;
}

/** A window being read. */
class WindowRow {
  readonly length: number;
  read = 0;

  constructor(
    private readonly sequence: Int32Array,
    context: number,
    private readonly window: ScoreWindow,
  ) {
    this.length = Math.min(context, sequence.length - 1 - window.start);
  }

  get skipped(): number {
    return this.window.skipped;
  }

  /** All inputs. */
  get tokens(): Int32Array {
    return this.sequence.subarray(this.window.start, this.window.start + this.length);
  }

  target(position: number): number {
    return this.sequence[this.window.start + position + 1] ?? 0;
  }

  /** The next tokens to read, and where; a window that is done reads its last token again. */
  next(): { readonly at: number; readonly tokens: Int32Array } {
    const { read, tokens } = this;
    if (read === 0) return { at: 0, tokens: tokens.subarray(0, this.skipped + 1) };
    const at = Math.min(read, this.length - 1);
    return { at, tokens: tokens.subarray(at, at + 1) };
  }
}

async function readWhole(
  readAll: NonNullable<RunSession['readAll']>,
  batch: readonly WindowRow[],
  vocabulary: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  checkSignal(signal);
  const time = Math.max(...batch.map(({ length }) => length));
  const logits = await readAll(stepOf(batch.map(({ tokens }) => ({ at: 0, tokens }))));
  let nats = 0;
  for (const [index, row] of batch.entries()) {
    for (let position = row.skipped; position < row.length; position++) {
      const from = (index * time + position) * vocabulary;
      nats += surprise(logits.subarray(from, from + vocabulary), row.target(position));
    }
  }
  return nats;
}

async function readOnward(
  session: RunSession,
  batch: readonly WindowRow[],
  vocabulary: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  let nats = 0;
  while (batch.some(({ read, length }) => read < length)) {
    checkSignal(signal);
    const news = batch.map((row) => row.next());
    const logits = await session.read(stepOf(news));
    for (const [index, row] of batch.entries()) {
      if (row.read >= row.length) continue;
      row.read += news[index]?.tokens.length ?? 0;
      nats += surprise(logits.subarray(index * vocabulary, (index + 1) * vocabulary), row.target(row.read - 1));
    }
  }
  return nats;
}

function stepOf(news: readonly { readonly at: number; readonly tokens: Int32Array }[]) {
  const time = Math.max(...news.map(({ tokens }) => tokens.length));
  const ids = new Int32Array(news.length * time);
  for (const [row, { tokens }] of news.entries()) ids.set(tokens, row * time);
  return {
    ids,
    time,
    at: Int32Array.from(news, ({ at }) => at),
    lengths: Int32Array.from(news, ({ tokens }) => tokens.length),
  };
}

/** Nats of a token under logits. */
function surprise(logits: Float32Array, token: number): number {
  let top = Number.NEGATIVE_INFINITY;
  for (const logit of logits) top = Math.max(top, logit);
  let total = 0;
  for (const logit of logits) total += Math.exp(logit - top);
  return Math.log(total) + top - (logits[token] ?? 0);
}

function checkSignal(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new TesseraError('aborted', 'The evaluation was stopped.', { cause: signal.reason });
}
