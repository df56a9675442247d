/** Rotary positions as Hugging Face's `config.json` describes them: `rope_scaling`, or `rope_parameters` in newer files. */

import type { JsonObject } from '../formats/index.js';
import { TesseraError } from '../tensor/index.js';
import type { RotaryOptions, RotaryScaling } from './rotary-scaling.js';

type Fields = Readonly<Record<string, unknown>>;

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Reads a model's rotary positions. `layerType` chooses among several (`full_attention`, `sliding_attention`) where
 * `rope_parameters` has one for each.
 * @throws unsupported for a type that is not known, naming it; bad-file for numbers that are missing or no numbers.
 */
export function readRotaryOptions(config: Fields, layerType?: string): RotaryOptions {
  const given = parametersOf(config, layerType);
  const read = reader(given);
  const theta = read.optional('rope_theta') ?? numberAt(config, 'rope_theta') ?? 10000;
  const share = read.optional('partial_rotary_factor') ?? numberAt(config, 'partial_rotary_factor') ?? 1;
  const head = numberAt(config, 'head_dim') ?? perHead(config);
  const scaling = scalingOf(given, config);
  return { turned: Math.floor(head * share), theta, ...(scaling === undefined ? {} : { scaling }) };
}

function perHead(config: Fields): number {
  const [width, heads] = [numberAt(config, 'hidden_size'), numberAt(config, 'num_attention_heads')];
  if (width === undefined || heads === undefined)
    throw new TesseraError('bad-file', 'config.json lacks the numbers "hidden_size" and "num_attention_heads".');
  return Math.floor(width / heads);
}

/** The object that describes the scaling; empty where there is none. */
function parametersOf(config: Fields, layerType: string | undefined): Fields {
  const found = config.rope_parameters ?? config.rope_scaling;
  if (found === undefined || found === null) return {};
  if (!isFields(found)) throw new TesseraError('bad-file', 'The rotary parameters in config.json are no object.');
  const inner = Object.entries(found).filter(([, value]) => isFields(value));
  if (inner.length === 0) return found;
  const chosen = layerType === undefined ? undefined : found[layerType];
  if (isFields(chosen)) return chosen;
  throw new TesseraError('bad-option', 'config.json has rotary parameters for several types of layers.', {
    hint: `Choose one of ${inner.map(([name]) => name).join(', ')}.`,
  });
}

function numberAt(fields: Fields, key: string): number | undefined {
  const value = fields[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number' || !Number.isFinite(value))
    throw new TesseraError('bad-file', `"${key}" in config.json is ${JSON.stringify(value)}, not a number.`);
  return value;
}

interface Reader {
  optional(key: string): number | undefined;
  needed(key: string, fallback?: number): number;
  list(key: string): readonly number[];
}

function reader(fields: Fields): Reader {
  return {
    optional: (key) => numberAt(fields, key),
    needed: (key, fallback) => {
      const value = numberAt(fields, key) ?? fallback;
      if (value === undefined) throw new TesseraError('bad-file', `The rotary parameters lack the number "${key}".`);
      return value;
    },
    list: (key) => {
      const value = fields[key];
      if (Array.isArray(value) && value.every((item): item is number => typeof item === 'number')) return value;
      throw new TesseraError('bad-file', `The rotary parameters lack the list of numbers "${key}".`);
    },
  };
}

/** The type, under its newer or older name; Phi-3's first files call longrope "su". */
function typeOf(given: Fields): unknown {
  const type = given.rope_type ?? given.type ?? 'default';
  return type === 'su' ? 'longrope' : type;
}

function scalingOf(given: Fields, config: Fields): RotaryScaling | undefined {
  const read = reader(given);
  const context = numberAt(config, 'max_position_embeddings');
  const original = (): number =>
    read.needed('original_max_position_embeddings', numberAt(config, 'original_max_position_embeddings') ?? context);
  const type = typeOf(given);
  switch (type) {
    case 'default':
      return undefined;
    case 'linear':
    case 'ntk':
      return { kind: type, factor: read.needed('factor') };
    case 'dynamic':
      return { kind: 'dynamic', factor: read.needed('factor'), originalLength: original() };
    case 'llama3':
      return {
        kind: 'llama3',
        factor: read.needed('factor'),
        originalLength: read.needed('original_max_position_embeddings'),
        lowFrequencyFactor: read.needed('low_freq_factor'),
        highFrequencyFactor: read.needed('high_freq_factor'),
      };
    case 'yarn':
      return {
        kind: 'yarn',
        factor: read.needed('factor'),
        originalLength: original(),
        // Zero means unset in published files.
        ...named({
          betaFast: read.optional('beta_fast') || undefined,
          betaSlow: read.optional('beta_slow') || undefined,
          attentionFactor: read.optional('attention_factor'),
          mscale: read.optional('mscale') || undefined,
          mscaleAll: read.optional('mscale_all_dim') || undefined,
        }),
        ...(given.truncate === false ? { truncate: false } : {}),
      };
    case 'longrope': {
      const originalLength = original();
      return {
        kind: 'longrope',
        originalLength,
        shortFactors: read.list('short_factor'),
        longFactors: read.list('long_factor'),
        factor: read.needed('factor', context === undefined ? undefined : context / originalLength),
        ...named({ attentionFactor: read.optional('attention_factor') }),
      };
    }
    default:
      throw new TesseraError('unsupported', `config.json asks for rotary positions of type ${JSON.stringify(type)}.`, {
        hint: 'Known types are default, linear, ntk, dynamic, yarn, llama3 and longrope.',
      });
  }
}

/** The scaling as `rope_scaling` of a `config.json`; `ntk` has no name there, so that only other readers of it may know it. */
export function writeRotaryScaling(scaling: RotaryScaling): JsonObject {
  const type = { rope_type: scaling.kind };
  switch (scaling.kind) {
    case 'linear':
    case 'ntk':
      return { ...type, factor: scaling.factor };
    case 'dynamic':
      return { ...type, factor: scaling.factor, original_max_position_embeddings: scaling.originalLength };
    case 'llama3':
      return {
        ...type,
        factor: scaling.factor,
        low_freq_factor: scaling.lowFrequencyFactor,
        high_freq_factor: scaling.highFrequencyFactor,
        original_max_position_embeddings: scaling.originalLength,
      };
    case 'yarn':
      return {
        ...type,
        factor: scaling.factor,
        original_max_position_embeddings: scaling.originalLength,
        ...named({
          beta_fast: scaling.betaFast,
          beta_slow: scaling.betaSlow,
          attention_factor: scaling.attentionFactor,
          mscale: scaling.mscale,
          mscale_all_dim: scaling.mscaleAll,
        }),
        ...(scaling.truncate === false ? { truncate: false } : {}),
      };
    case 'longrope':
      return {
        ...type,
        factor: scaling.factor,
        original_max_position_embeddings: scaling.originalLength,
        short_factor: [...scaling.shortFactors],
        long_factor: [...scaling.longFactors],
        ...named({ attention_factor: scaling.attentionFactor }),
      };
  }
}

/** Only what is there. */
function named<K extends string>(fields: Readonly<Record<K, number | undefined>>): { [name in K]?: number } {
  const found: { [name in K]?: number } = {};
  for (const name in fields) if (fields[name] !== undefined) found[name] = fields[name];
  return found;
}
