/**
 * `config.json` of a TokenFormer: the keys of the published checkpoints, and beside them what those do not say (tau, the
 * epsilon, the vocabulary, the growths).
 *
 * The published PyTorch code takes tau from the number of rows: a model that has grown with tau kept computes another
 * function there.
 */

import { isJsonObject, type Json, type JsonObject } from '../../formats/index.js';
import { TesseraError } from '../../tensor/index.js';
import { type Growth, type TokenCounts, type TokenformerOptions, tokenformerOptions } from './options.js';
import { PATTENTION_KINDS } from './pattention.js';

/** Our `model_type`. */
export const TOKENFORMER_TYPE = 'tessera_tokenformer';
/** What published folders have in `architectures`; they have no `model_type`. */
export const PUBLISHED_ARCHITECTURE = 'TokenFormerForCausalLM';

/** The configuration without `model_type` and `format`. */
export function toTokenformerConfig(options: TokenformerOptions): JsonObject {
  const { nQkv, nO, nFfn } = options;
  return {
    architectures: [PUBLISHED_ARCHITECTURE],
    num_layers: options.layers,
    hidden_size: options.width,
    num_attention_heads: options.heads,
    qkv_slot_num: nQkv,
    proj_slot_num: nO,
    ffn_slot_num: nFfn,
    seq_length: options.context,
    max_position_embeddings: options.context,
    pos_emb: 'rotary',
    rotary_pct: options.rotaryShare,
    rotary_emb_base: options.ropeTheta,
    no_weight_tying: false,
    norm: 'layernorm_nonparam',
    final_norm: 'layernorm',
    layernorm_epsilon: options.normEpsilon,
    gpt_j_residual: false,
    use_bias_in_attn_linear: false,
    attention_config: [[['tokenformer'], options.layers]],
    norm_activation_type: options.kind,
    hidden_dropout: options.dropout,
    attention_dropout: options.dropout,
    torch_dtype: 'float32',
    vocab_size: options.vocabulary,
    eos_token_id: options.endOfText,
    tau_slot_num: slots(options.tau),
    norm_activation_epsilon: options.epsilon,
    growths: options.growths.map(({ tokens, tau }) => ({ slots: slots(tokens), tau_slot_num: slots(tau) })),
  };
}

function slots({ nQkv, nO, nFfn }: TokenCounts): JsonObject {
  return { qkv: nQkv, proj: nO, ffn: nFfn };
}

/**
 * Reads a configuration, ours or a published one. `found` says what published ones leave to the other files.
 * @throws unsupported for what a TokenFormer does not have, naming it; bad-file for what is missing; bad-option.
 */
export function fromTokenformerConfig(
  config: JsonObject,
  found: { readonly vocabulary: number; readonly endOfText: number },
): TokenformerOptions {
  const number = (key: string, fallback?: number): number => {
    const value = config[key] ?? fallback;
    if (typeof value !== 'number') throw new TesseraError('bad-file', `config.json lacks the number "${key}".`);
    return value;
  };
  const only = (key: string, allowed: Json): void => {
    const value = config[key];
    if (value === undefined || value === null || value === allowed) return;
    throw new TesseraError(
      'unsupported',
      `config.json asks for ${key} = ${JSON.stringify(value)}, which the TokenFormer of Tessera does not have.`,
    );
  };
  only('pos_emb', 'rotary');
  only('no_weight_tying', false);
  only('norm', 'layernorm_nonparam');
  only('final_norm', 'layernorm');
  only('gpt_j_residual', false);
  only('use_bias_in_attn_linear', false);
  const kind = PATTENTION_KINDS.find((name) => name === (config.norm_activation_type ?? 'l2_norm_gelu'));
  if (kind === undefined) {
    throw new TesseraError(
      'unsupported',
      `config.json asks for norm_activation_type = ${JSON.stringify(config.norm_activation_type)}, which is none of ${PATTENTION_KINDS.join(', ')}.`,
    );
  }
  const tokens: TokenCounts = {
    nQkv: number('qkv_slot_num'),
    nO: number('proj_slot_num'),
    nFfn: number('ffn_slot_num'),
  };
  const growths = Array.isArray(config.growths) ? config.growths.map(growthOf) : [];
  return tokenformerOptions({
    vocabulary: number('vocab_size', found.vocabulary),
    context: number('max_position_embeddings', number('seq_length', 2048)),
    layers: number('num_layers'),
    width: number('hidden_size'),
    heads: number('num_attention_heads'),
    ...tokens,
    kind,
    tau: config.tau_slot_num === undefined ? tokens : countsOf(config.tau_slot_num, 'tau_slot_num'),
    epsilon: number('norm_activation_epsilon', 1e-5),
    normEpsilon: number('layernorm_epsilon', 1e-5),
    rotaryShare: number('rotary_pct', 0.25),
    ropeTheta: number('rotary_emb_base', 10000),
    dropout: number('hidden_dropout', 0),
    endOfText: number('eos_token_id', found.endOfText),
    growths,
  });
}

function growthOf(value: Json): Growth {
  const { slots: tokens, tau_slot_num: tau } = isJsonObject(value) ? value : {};
  return { tokens: countsOf(tokens, 'growths'), tau: countsOf(tau, 'growths') };
}

function countsOf(value: Json | undefined, key: string): TokenCounts {
  const { qkv, proj, ffn } = isJsonObject(value) ? value : {};
  if (typeof qkv === 'number' && typeof proj === 'number' && typeof ffn === 'number') {
    return { nQkv: qkv, nO: proj, nFfn: ffn };
  }
  throw new TesseraError('bad-file', `The "${key}" of config.json must hold the numbers qkv, proj and ffn.`);
}
