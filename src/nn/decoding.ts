/** Continuing several prompts at once with anything that reads tokens and gives logits. */

import { TesseraError } from '../host/error.js';
import { random } from '../tensor/random.js';
import type { GenerateOptions } from './module.js';
import { checkSampling, sampleToken } from './sampling.js';
import { type StopFilter, stopFilter } from './stop-filter.js';

/** What decoding needs of a tokenizer. */
export interface TokenCoder {
  readonly vocabulary: { readonly size: number };
  encodeBytes(bytes: Uint8Array): ArrayLike<number>;
  createDecoder(): { push(token: number): Uint8Array; flush(): Uint8Array };
}

/** New tokens of every row: rows stand side by side, shorter ones filled up with zeros that do not count. */
export interface DecoderStep {
  /** `[batch * time]`. */
  readonly ids: Int32Array;
  readonly time: number;
  /** Tokens of each row that were read before; 0 begins the row anew. */
  readonly at: Int32Array;
  /** New tokens of each row, from 1 to `time`. */
  readonly lengths: Int32Array;
}

/** Rows that are being decoded, with their caches. */
export interface DecoderSession {
  /** Reads tokens; logits `[batch * vocabulary]` after each row's last one. */
  read(step: DecoderStep): Promise<Float32Array>;
  dispose(): Promise<void>;
}

/** Something that decodes. */
export interface StepDecoder {
  /** Tokens that it can read of one row. */
  readonly context: number;
  readonly vocabulary: number;
  /** The end-of-text token: what an empty prompt begins with, and what ends a continuation. */
  readonly endOfText: number;
  /** Opens a batch. `expected` tokens a row are likely, more may come; `seed` is for models that draw. */
  open(options: { readonly batch: number; readonly expected: number; readonly seed: number }): Promise<DecoderSession>;
}

interface Row {
  readonly tokens: number[];
  readonly uniform: () => number;
  readonly decoder: ReturnType<TokenCoder['createDecoder']>;
  readonly stops: StopFilter;
  /** Where among its tokens the window begins that is read. */
  start: number;
  /** Tokens of the window that have been read. */
  filled: number;
  made: number;
  done: boolean;
}

/**
 * Continuations of prompts, a piece at a time, each with the number of its row; what stands in other rows changes
 * nothing. A full context goes on from its newer half, read again from position 0.
 * @throws bad-option; aborted.
 */
export async function* decode(
  decoder: StepDecoder,
  coder: TokenCoder,
  prompts: readonly Uint8Array[],
  choices: GenerateOptions = {},
): AsyncGenerator<{ readonly row: number; readonly bytes: Uint8Array }> {
  const { seed = 0, signal } = choices;
  const { context, vocabulary } = decoder;
  const maxTokens = checkedTokens(choices);
  if (prompts.length === 0) return;
  const rows = prompts.map((prompt, index) => openRow(decoder, coder, prompt, { ...choices, seed, index }));
  const known = Math.min(vocabulary, coder.vocabulary.size);
  const longest = Math.max(...rows.map(({ tokens }) => Math.min(tokens.length, context)));
  const expected = Math.min(context, longest + Math.min(maxTokens, 64));
  const session = await decoder.open({ batch: rows.length, expected, seed });
  let news = rows.map((row) => row.tokens.slice(row.start));
  try {
    while (rows.some(({ done }) => !done)) {
      if (signal?.aborted) throw new TesseraError('aborted', 'The generation was stopped.', { cause: signal.reason });
      const logits = await session.read(stepOf(rows, news));
      for (const [index, row] of rows.entries()) {
        // A row that is done reads its last token again and again, so that the others go on.
        if (row.done) continue;
        row.filled += news[index]?.length ?? 0;
        const own = logits.subarray(index * vocabulary, index * vocabulary + known);
        const token = sampleToken(own, choices, row.uniform, row.tokens);
        for (const bytes of advance(row, token, decoder.endOfText, maxTokens)) {
          if (bytes.length > 0) yield { row: index, bytes };
        }
        if (row.done) row.filled--;
      }
      const full = rows.filter(({ filled, done }) => !done && filled >= context);
      for (const row of full) row.start = row.tokens.length - Math.max(1, context >> 1);
      // Beside a row that is read anew, the filling of one that goes on would stand past the last position: so all are.
      if (full.length > 0) for (const row of rows) row.filled = 0;
      news = rows.map((row) => row.tokens.slice(full.length > 0 && !row.done ? row.start : -1));
    }
  } finally {
    await session.dispose();
  }
}

function checkedTokens(choices: GenerateOptions): number {
  checkSampling(choices);
  const { maxTokens = 128 } = choices;
  if (Number.isInteger(maxTokens) && maxTokens >= 1) return maxTokens;
  throw new TesseraError('bad-option', `The number of new tokens must be a whole number from 1, not ${maxTokens}.`);
}

function openRow(
  { context, endOfText }: StepDecoder,
  coder: TokenCoder,
  prompt: Uint8Array,
  options: { readonly seed: number; readonly index: number; readonly stop?: readonly string[] },
): Row {
  const tokens = Array.from(coder.encodeBytes(prompt));
  if (tokens.length === 0) tokens.push(endOfText);
  return {
    tokens,
    uniform: random(options.seed).child('generate').child(options.index).stream(),
    decoder: coder.createDecoder(),
    stops: stopFilter(options.stop ?? []),
    start: Math.max(0, tokens.length - context),
    filled: 0,
    made: 0,
    done: false,
  };
}

function stepOf(rows: readonly Row[], news: readonly (readonly number[])[]): DecoderStep {
  const time = Math.max(...news.map((tokens) => tokens.length));
  const ids = new Int32Array(rows.length * time);
  for (const [index, tokens] of news.entries()) ids.set(tokens, index * time);
  return {
    ids,
    time,
    at: Int32Array.from(rows, ({ filled }) => filled),
    lengths: Int32Array.from(news, (tokens) => tokens.length),
  };
}

/** Takes a token into a row; gives the bytes that are sure now. */
function advance(row: Row, token: number, endOfText: number, maxTokens: number): Uint8Array[] {
  row.tokens.push(token);
  row.made++;
  const ended = token === endOfText;
  const pieces = [row.stops.push(ended ? row.decoder.flush() : row.decoder.push(token))];
  row.done = ended || row.stops.found || row.made >= maxTokens;
  if (row.done && !row.stops.found) pieces.push(row.stops.push(row.decoder.flush()), row.stops.flush());
  return pieces;
}
