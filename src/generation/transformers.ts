/**
 * Decoders in the layout of transformers.js and optimum: `input_ids`, `attention_mask`, `position_ids` and
 * `past_key_values.N.key|value` in, `logits` and `present.N.key|value` out, all caches of one length.
 *
 * Rows of different lengths share that length: a column of the past that is no token of a row, or no longer one, is
 * masked in it.
 */

import { joinPath, stat } from '#host';
import { type JsonObject, readJsonObject } from '../formats/json.js';
import { TesseraError } from '../host/error.js';
import type { DecoderStep } from '../nn/decoding.js';
import { type NDArray, zeros } from '../tensor/ndarray.js';
import type { RunDecoder, RunSession } from './decoder.js';
import { type EngineOptions, OnnxProgram } from './program.js';

/** Where the decoder of such a folder is. */
export const TRANSFORMERS_FILE = 'onnx/model.onnx';

interface Layout {
  readonly model: OnnxProgram;
  readonly vocabulary: number;
  readonly positions: boolean;
  /** `N.key` and `N.value`, and sizes of heads. */
  readonly caches: readonly { readonly name: string; readonly heads: number; readonly head: number }[];
}

/** Opens the decoder of a folder. @throws not-found, bad-file; unsupported for inputs that this layout does not have. */
export async function openTransformers(folder: string, options: EngineOptions): Promise<RunDecoder> {
  const config = await readJsonObject(joinPath(folder, 'config.json'));
  const context = firstNumber(config, ['max_position_embeddings', 'n_positions', 'n_ctx'], folder);
  const vocabulary = firstNumber(config, ['vocab_size'], folder);
  const endOfText = await endOfTextOf(folder, config);
  const model = await OnnxProgram.open(folder, TRANSFORMERS_FILE, options);
  try {
    const layout = layoutOf(model, vocabulary, joinPath(folder, TRANSFORMERS_FILE));
    return {
      context,
      vocabulary,
      endOfText,
      draws: false,
      open: async ({ batch }) => new TransformersSession(layout, batch),
      dispose: () => model.dispose(),
    };
  } catch (error) {
    await model.dispose();
    throw error;
  }
}

function firstNumber(config: JsonObject, keys: readonly string[], folder: string): number {
  for (const key of keys) {
    const value = config[key];
    if (typeof value === 'number') return value;
  }
  throw new TesseraError('bad-file', `config.json in ${folder} lacks the number "${keys[0]}".`);
}

async function endOfTextOf(folder: string, config: JsonObject): Promise<number> {
  const path = joinPath(folder, 'generation_config.json');
  const generation = (await stat(path)) === undefined ? {} : await readJsonObject(path);
  for (const value of [config.eos_token_id, generation.eos_token_id]) {
    const token = Array.isArray(value) ? value[0] : value;
    if (typeof token === 'number') return token;
  }
  throw new TesseraError('bad-file', `config.json in ${folder} names no "eos_token_id".`);
}

function layoutOf(model: OnnxProgram, vocabulary: number, where: string): Layout {
  const names = new Set(model.inputs.map(({ name }) => name));
  const caches: Layout['caches'][number][] = [];
  for (const input of model.inputs) {
    const [, name] = /^past_key_values\.(\d+\.(?:key|value))$/.exec(input.name) ?? [];
    if (name === undefined) {
      if (['input_ids', 'attention_mask', 'position_ids'].includes(input.name)) continue;
      throw unsupported(where, `it needs "${input.name}"`);
    }
    const shape = input.isTensor ? input.shape : [];
    const [heads, head] = [shape[1], shape[3]];
    if (!input.isTensor || input.type !== 'float32' || typeof heads !== 'number' || typeof head !== 'number') {
      throw unsupported(where, `"${input.name}" is not float32 [batch, heads, past, head] with known sizes`);
    }
    if (!model.outputs.some((output) => output.name === `present.${name}`)) {
      throw unsupported(where, `it gives no "present.${name}"`);
    }
    caches.push({ name, heads, head });
  }
  if (caches.length === 0 || !names.has('input_ids') || !names.has('attention_mask')) {
    throw unsupported(where, 'it is no decoder with past keys and values');
  }
  const logits = model.outputs.find(({ name }) => name === 'logits');
  const width = logits?.isTensor === true ? logits.shape.at(-1) : undefined;
  if (logits?.isTensor !== true || logits.type !== 'float32' || (typeof width === 'number' && width !== vocabulary)) {
    throw new TesseraError(
      'mismatch',
      `${where} does not give float32 logits of the ${vocabulary} tokens that config.json tells.`,
    );
  }
  return { model, vocabulary, positions: names.has('position_ids'), caches };
}

function unsupported(where: string, what: string): TesseraError {
  return new TesseraError('unsupported', `${where} cannot be driven: ${what}.`, {
    hint: 'Decoders in the layout of transformers.js, in float32, can.',
  });
}

class TransformersSession implements RunSession {
  private past: Record<string, NDArray> = {};
  /** Of each row: the position that each column of the past holds; -1 where it holds none. */
  private columns: number[][] = [];

  constructor(
    private readonly layout: Layout,
    private readonly batch: number,
  ) {
    this.clear();
  }

  async read(step: DecoderStep): Promise<Float32Array> {
    const { vocabulary } = this.layout;
    const all = await this.readAll(step);
    const last = new Float32Array(this.batch * vocabulary);
    for (const [row, length] of step.lengths.entries()) {
      const from = (row * step.time + length - 1) * vocabulary;
      last.set(all.subarray(from, from + vocabulary), row * vocabulary);
    }
    return last;
  }

  async readAll({ ids, time, at, lengths }: DecoderStep): Promise<Float32Array> {
    const { batch, layout } = this;
    if (at.every((place) => place === 0)) this.clear();
    const before = this.columns[0]?.length ?? 0;
    const total = before + time;
    const [tokens, positions] = [new BigInt64Array(batch * time), new BigInt64Array(batch * time)];
    const mask = new BigInt64Array(batch * total);
    for (const [row, columns] of this.columns.entries()) {
      const [start, count] = [at[row] ?? 0, lengths[row] ?? 0];
      for (let t = 0; t < time; t++) {
        tokens[row * time + t] = BigInt(ids[row * time + t] ?? 0);
        // Filled places stand where the last token does: their logits are not looked at.
        positions[row * time + t] = BigInt(start + Math.min(t, count - 1));
      }
      for (const [column, position] of columns.entries()) {
        // A position that is read again takes the place of what was there.
        if (position >= start) columns[column] = -1;
        else if (position >= 0) mask[row * total + column] = 1n;
      }
      for (let t = 0; t < time; t++) {
        columns.push(t < count ? start + t : -1);
        if (t < count) mask[row * total + before + t] = 1n;
      }
    }
    const int64 = (data: BigInt64Array<ArrayBuffer>): NDArray => ({
      dtype: 'int64',
      shape: [batch, data.length / batch],
      data,
    });
    const feeds: Record<string, NDArray> = {
      input_ids: int64(tokens),
      attention_mask: int64(mask),
      ...(layout.positions ? { position_ids: int64(positions) } : {}),
    };
    for (const { name } of layout.caches) {
      const past = this.past[name];
      if (past !== undefined) feeds[`past_key_values.${name}`] = past;
    }
    const fetches = ['logits', ...layout.caches.map(({ name }) => `present.${name}`)];
    const results = await layout.model.run(feeds, fetches);
    for (const { name } of layout.caches) {
      const present = results[`present.${name}`];
      if (present !== undefined) this.past[name] = present;
    }
    const logits = results.logits?.data;
    if (!(logits instanceof Float32Array)) throw new Error('logits are float32');
    return logits;
  }

  async dispose(): Promise<void> {
    this.past = {};
  }

  private clear(): void {
    this.columns = Array.from({ length: this.batch }, () => []);
    this.past = Object.fromEntries(
      this.layout.caches.map(({ name, heads, head }) => [name, zeros([this.batch, heads, 0, head])]),
    );
  }
}
