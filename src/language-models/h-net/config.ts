/** The configuration files of H-Nets: the fields of the published ones, and what training adds under names of our own. */

import { isJsonObject, type Json, type JsonObject } from '../../formats/index.js';
import { TesseraError } from '../../tensor/index.js';
import { layoutFromJson, layoutJson, parseLayout, printLayout, stagesOf } from './layout.js';
import { BOS, EOS, type HNetOptions, hNetOptions, VOCABULARY } from './options.js';

/** The published configuration file of an architecture, with what training adds under names of our own. */
export function toHNetConfig(options: HNetOptions): JsonObject {
  const list = (values: readonly number[]): Json => [...values];
  return {
    arch_layout: layoutJson(parseLayout(options.layout)) as Json,
    d_model: list(options.widths),
    d_intermediate: list(options.hidden),
    vocab_size: VOCABULARY,
    ssm_cfg: {
      chunk_size: options.ssmChunk,
      d_conv: options.conv,
      d_state: options.state,
      expand: options.expand,
      headdim: options.ssmHead,
    },
    attn_cfg: {
      num_heads: list(options.heads),
      rotary_emb_dim: list(options.rotary),
      window_size: list(options.windows),
    },
    tie_embeddings: false,
    target_ratios: list(options.ratios),
    ratio_loss_weight: options.ratioWeight,
    chunk_capacity: options.capacity,
    boundaries: options.boundaries,
    embedding_deviation: options.embeddingDeviation,
    rate_multipliers: list(options.rates),
    max_position_embeddings: options.context,
    bos_token_id: BOS,
    eos_token_id: EOS,
  };
}

/** Reads a published configuration, or ours. @throws bad-file, unsupported, bad-option. */
export function fromHNetConfig(config: JsonObject): HNetOptions {
  const part = (name: string): JsonObject => {
    const value = config[name];
    if (isJsonObject(value)) return value;
    throw new TesseraError('bad-file', `The configuration has no "${name}", as that of an H-Net does.`);
  };
  const [ssm, attention] = [part('ssm_cfg'), part('attn_cfg')];
  if (config.tie_embeddings === true) {
    throw new TesseraError('unsupported', 'An H-Net with one table for input and output is not read.');
  }
  if (config.vocab_size !== VOCABULARY) {
    throw new TesseraError(
      'unsupported',
      `An H-Net reads ${VOCABULARY} bytes, not ${String(config.vocab_size)} tokens.`,
    );
  }
  const layout = layoutFromJson(config.arch_layout);
  const stages = stagesOf(layout).length;
  const boundaries = config.boundaries;
  return hNetOptions({
    layout: printLayout(layout),
    widths: numbers(config.d_model, 'd_model'),
    hidden: numbers(config.d_intermediate, 'd_intermediate'),
    heads: numbers(attention.num_heads, 'num_heads'),
    rotary: numbers(attention.rotary_emb_dim, 'rotary_emb_dim'),
    windows: numbers(attention.window_size, 'window_size'),
    conv: number(ssm.d_conv, 4),
    expand: number(ssm.expand, 2),
    state: number(ssm.d_state, 128),
    ssmHead: number(ssm.headdim, 64),
    ssmChunk: number(ssm.chunk_size, 256),
    ratios:
      config.target_ratios === undefined
        ? stages === 2
          ? [6]
          : Array.from({ length: stages - 1 }, () => 3)
        : numbers(config.target_ratios, 'target_ratios'),
    ratioWeight: number(config.ratio_loss_weight, 0.03),
    capacity: number(config.chunk_capacity, 0.5),
    boundaries: boundaries === 'stride' || boundaries === 'spaces' ? boundaries : 'learned',
    embeddingDeviation: number(config.embedding_deviation, 1),
    rates: config.rate_multipliers === undefined ? undefined : numbers(config.rate_multipliers, 'rate_multipliers'),
    context: number(config.max_position_embeddings, 8192),
  });
}

function numbers(value: Json | undefined, name: string): readonly number[] {
  if (Array.isArray(value)) {
    const list = value.filter((entry) => typeof entry === 'number');
    if (list.length === value.length) return list;
  }
  throw new TesseraError('bad-file', `"${name}" must be a list of numbers, not ${JSON.stringify(value ?? null)}.`);
}

function number(value: Json | undefined, absent: number): number {
  if (value === undefined) return absent;
  if (typeof value === 'number') return value;
  throw new TesseraError('bad-file', `A number was needed, not ${JSON.stringify(value)}.`);
}
