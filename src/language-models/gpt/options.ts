/** What a GPT is made of, its ready sizes, and the two official `config.json` layouts that say the same. */

import { checkProbability } from '../../embeddings/index.js';
import type { Json } from '../../formats/index.js';
import {
  type Activation,
  type NormKind,
  type RotaryScaling,
  readRotaryOptions,
  rotaryRates,
  writeRotaryScaling,
} from '../../nn/index.js';
import { TesseraError } from '../../tensor/index.js';

/** Every choice of the architecture. */
export interface GptOptions {
  /** `llama`: RMS norm, rotary positions, SwiGLU, no biases. `gpt2`: layer norm, learned positions, GELU, biases. */
  readonly style: 'llama' | 'gpt2';
  readonly vocabulary: number;
  readonly context: number;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  /** Heads of keys and values; divides `heads`. Fewer than `heads` only in the llama style. */
  readonly kvHeads: number;
  /** Width of one head. */
  readonly head: number;
  /** Width between the two maps of the feed-forward block. */
  readonly hidden: number;
  readonly activation: Activation;
  readonly normEpsilon: number;
  /** One table for input and output. */
  readonly tied: boolean;
  readonly ropeTheta: number;
  /**
   * How the rotary rates are stretched beyond the length trained before; absent: not. The rates are those of a text as
   * long as the context, so `dynamic` does nothing up to its original length, and kinds that change with the text at
   * hand beyond it are refused.
   */
  readonly ropeScaling?: RotaryScaling;
  /** Probability of dropout after embeddings, on attention weights and before residual additions. */
  readonly dropout: number;
  /**
   * Probability that a token's vector is a random one in a sequence of training (partial lexinvariance,
   * arXiv 2305.16349); absent: 0. Needs a tied table.
   */
  readonly lexinvariance?: number;
  readonly endOfText: number;
}

/** The ready sizes, by name. */
export const GPT_SIZES = {
  tiny: { layers: 4, width: 192, heads: 6 },
  small: { layers: 6, width: 384, heads: 6 },
  base: { layers: 12, width: 768, heads: 12 },
} as const;

/** The name of a ready size. */
export type GptSize = keyof typeof GPT_SIZES;

/** Options with everything but the vocabulary optional. */
export type GptChoices = Partial<GptOptions> & { readonly vocabulary: number; readonly size?: GptSize };

/** Fills in what was not chosen and refuses what does not fit together. @throws bad-option. */
export function gptOptions(choices: GptChoices): GptOptions {
  const { size = 'tiny', ...given } = choices;
  const ready = GPT_SIZES[size];
  if (ready === undefined) {
    throw new TesseraError('bad-option', `There is no size "${String(size)}".`, {
      hint: `Choose ${Object.keys(GPT_SIZES).join(', ')}.`,
    });
  }
  const style = given.style ?? 'llama';
  const width = given.width ?? ready.width;
  const heads = given.heads ?? (given.width === undefined ? ready.heads : Math.max(1, Math.round(given.width / 64)));
  const llama = style === 'llama';
  const options: GptOptions = {
    style,
    vocabulary: given.vocabulary,
    context: given.context ?? 256,
    layers: given.layers ?? ready.layers,
    width,
    heads,
    kvHeads: given.kvHeads ?? heads,
    head: given.head ?? width / heads,
    // Two thirds of 4 x width for the gated form, which has three maps, rounded up to a multiple of 32.
    hidden: given.hidden ?? (llama ? Math.ceil((width * 8) / 3 / 32) * 32 : 4 * width),
    activation: given.activation ?? (llama ? 'swiglu' : 'gelu_tanh'),
    normEpsilon: given.normEpsilon ?? (llama ? 1e-6 : 1e-5),
    tied: given.tied ?? true,
    ropeTheta: given.ropeTheta ?? 10000,
    ...(given.ropeScaling === undefined ? {} : { ropeScaling: given.ropeScaling }),
    dropout: given.dropout ?? 0,
    ...(given.lexinvariance === undefined ? {} : { lexinvariance: given.lexinvariance }),
    endOfText: given.endOfText ?? 0,
  };
  check(options);
  return options;
}

function check(options: GptOptions): void {
  const refuse = (sentence: string): never => {
    throw new TesseraError('bad-option', sentence);
  };
  for (const name of ['vocabulary', 'context', 'layers', 'width', 'heads', 'kvHeads', 'hidden'] as const) {
    const value = options[name];
    if (!Number.isInteger(value) || value < 1)
      refuse(`The option ${name} must be a whole number from 1, not ${value}.`);
  }
  const { heads, kvHeads, head, width, style, activation, dropout, endOfText, vocabulary } = options;
  if (!Number.isInteger(head)) refuse(`A width of ${width} does not divide into ${heads} heads.`);
  if (heads % kvHeads !== 0) refuse(`${kvHeads} key heads do not divide ${heads} query heads.`);
  if (!(dropout >= 0 && dropout < 1)) refuse(`The dropout must be from 0 to below 1, not ${dropout}.`);
  if (options.lexinvariance !== undefined) checkProbability(options.lexinvariance);
  if (options.lexinvariance !== undefined && !options.tied) refuse('Partial lexinvariance needs a tied table.');
  if (!Number.isInteger(endOfText) || endOfText < 0 || endOfText >= vocabulary) {
    refuse(`The end-of-text token ${endOfText} is not in a vocabulary of ${vocabulary}.`);
  }
  if (style === 'llama') {
    if (head % 2 !== 0) refuse(`Rotary positions need an even head width, not ${head}.`);
    if (activation !== 'swiglu') refuse(`The llama style has the activation swiglu, not ${activation}.`);
    checkScaling(options);
  } else {
    if (options.ropeScaling !== undefined) refuse('The gpt2 style has no rotary positions that could be scaled.');
    if (kvHeads !== heads) refuse('The gpt2 style has as many key heads as query heads.');
    if (head * heads !== width)
      refuse(`The gpt2 style has heads that fill its width: ${heads} x ${head} is not ${width}.`);
    if (activation === 'swiglu')
      refuse('The gpt2 style has no gated activation; choose gelu_tanh, gelu, relu or silu.');
    if (!options.tied) refuse('The gpt2 style ties its head to its embedding.');
  }
}

function checkScaling({ ropeScaling: scaling, context, head, ropeTheta }: GptOptions): void {
  if (scaling === undefined) return;
  rotaryRates({ turned: head, theta: ropeTheta, scaling }, context);
  const changes = scaling.kind === 'dynamic' || scaling.kind === 'longrope';
  if (changes && context > scaling.originalLength)
    throw new TesseraError(
      'unsupported',
      `Rotary scaling of the kind ${scaling.kind} changes with the length of each text beyond ${scaling.originalLength} tokens, which the gpt of Tessera does not do.`,
      { hint: `Use a context of at most ${scaling.originalLength}.` },
    );
}

/** The kind of norm that a style has. */
export function normKind(options: GptOptions): NormKind {
  return options.style === 'llama' ? 'rms' : 'layer';
}

const GPT2_ACTIVATIONS = { gelu_tanh: 'gelu_new', gelu: 'gelu', relu: 'relu', silu: 'silu', swiglu: 'silu' } as const;

/** The official configuration: `model_type` llama or gpt2. */
export function toConfig(options: GptOptions): { readonly [key: string]: Json } {
  const shared = {
    vocab_size: options.vocabulary,
    bos_token_id: options.endOfText,
    eos_token_id: options.endOfText,
    tie_word_embeddings: options.tied,
    torch_dtype: 'float32',
    use_cache: true,
    format: 1,
  };
  if (options.style === 'gpt2') {
    return {
      architectures: ['GPT2LMHeadModel'],
      model_type: 'gpt2',
      n_positions: options.context,
      n_ctx: options.context,
      n_embd: options.width,
      n_layer: options.layers,
      n_head: options.heads,
      n_inner: options.hidden,
      activation_function: GPT2_ACTIVATIONS[options.activation],
      layer_norm_epsilon: options.normEpsilon,
      initializer_range: 0.02,
      embd_pdrop: options.dropout,
      attn_pdrop: options.dropout,
      resid_pdrop: options.dropout,
      scale_attn_weights: true,
      ...shared,
    };
  }
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: options.width,
    intermediate_size: options.hidden,
    num_hidden_layers: options.layers,
    num_attention_heads: options.heads,
    num_key_value_heads: options.kvHeads,
    head_dim: options.head,
    max_position_embeddings: options.context,
    rms_norm_eps: options.normEpsilon,
    rope_theta: options.ropeTheta,
    rope_scaling: options.ropeScaling === undefined ? null : writeRotaryScaling(options.ropeScaling),
    hidden_act: 'silu',
    attention_bias: false,
    mlp_bias: false,
    attention_dropout: options.dropout,
    initializer_range: 0.02,
    ...shared,
  };
}

type Config = Readonly<Record<string, unknown>>;

/** Reads an official configuration. @throws unsupported for what these decoders do not do, naming it; bad-file for missing numbers. */
export function fromConfig(config: Config): GptOptions {
  const number = (key: string, fallback?: number): number => {
    const value = config[key] ?? fallback;
    if (typeof value !== 'number') throw new TesseraError('bad-file', `config.json lacks the number "${key}".`);
    return value;
  };
  const only = (key: string, allowed: readonly unknown[]): void => {
    if (config[key] !== undefined && config[key] !== null && !allowed.includes(config[key])) {
      throw new TesseraError(
        'unsupported',
        `config.json asks for ${key} = ${JSON.stringify(config[key])}, which the gpt of Tessera does not have.`,
      );
    }
  };
  const eos = config.eos_token_id;
  const endOfText = typeof eos === 'number' ? eos : Array.isArray(eos) && typeof eos[0] === 'number' ? eos[0] : 0;
  if (config.quantization_config !== undefined) only('quantization_config', []);
  if (config.model_type === 'gpt2') {
    only('scale_attn_by_inverse_layer_idx', [false]);
    only('scale_attn_weights', [true]);
    only('add_cross_attention', [false]);
    const width = number('n_embd');
    const heads = number('n_head');
    const name = config.activation_function ?? 'gelu_new';
    const activations: Readonly<Record<string, Activation>> = {
      gelu_new: 'gelu_tanh',
      gelu_pytorch_tanh: 'gelu_tanh',
      gelu: 'gelu',
      relu: 'relu',
      silu: 'silu',
    };
    const activation = activations[String(name)];
    if (activation === undefined)
      throw new TesseraError(
        'unsupported',
        `config.json asks for the activation ${String(name)}, which the gpt of Tessera does not have.`,
      );
    return gptOptions({
      style: 'gpt2',
      vocabulary: number('vocab_size'),
      context: number('n_positions', 1024),
      layers: number('n_layer'),
      width,
      heads,
      hidden: number('n_inner', 4 * width),
      activation,
      normEpsilon: number('layer_norm_epsilon', 1e-5),
      dropout: number('resid_pdrop', 0),
      endOfText,
    });
  }
  if (config.model_type === 'llama') {
    only('hidden_act', ['silu']);
    only('attention_bias', [false]);
    only('mlp_bias', [false]);
    const width = number('hidden_size');
    const heads = number('num_attention_heads');
    const head = number('head_dim', width / heads);
    const rotary = readRotaryOptions(config);
    if (rotary.turned !== head)
      throw new TesseraError(
        'unsupported',
        `config.json turns ${rotary.turned} of ${head} dimensions of each head by rotary positions, which the gpt of Tessera does not do.`,
      );
    return gptOptions({
      style: 'llama',
      vocabulary: number('vocab_size'),
      context: number('max_position_embeddings', 2048),
      layers: number('num_hidden_layers'),
      width,
      heads,
      kvHeads: number('num_key_value_heads', heads),
      head,
      hidden: number('intermediate_size'),
      normEpsilon: number('rms_norm_eps', 1e-6),
      ropeTheta: rotary.theta,
      ...(rotary.scaling === undefined ? {} : { ropeScaling: rotary.scaling }),
      tied: config.tie_word_embeddings === true,
      dropout: number('attention_dropout', 0),
      endOfText,
    });
  }
  throw new TesseraError(
    'unsupported',
    `The model type ${JSON.stringify(config.model_type)} is not one of the gpt forms.`,
    { hint: 'Models of type llama and gpt2 can be loaded.' },
  );
}
