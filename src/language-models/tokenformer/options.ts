/** What a TokenFormer is made of, its published sizes, and what it costs in parameters. */

import { TesseraError } from '../../tensor/index.js';
import { PATTENTION_KINDS, type PattentionKind } from './pattention.js';

/** Numbers of parameter tokens by kind of layer, or numbers that stand for them. */
export interface TokenCounts {
  /** Of each of the query, key and value layers. */
  readonly nQkv: number;
  /** Of the layer after attention. */
  readonly nO: number;
  /** Of the feed-forward layer. */
  readonly nFfn: number;
}

/** What a model was before a growth. */
export interface Growth {
  readonly tokens: TokenCounts;
  readonly tau: TokenCounts;
}

/** Every choice of the architecture. */
export interface TokenformerOptions extends TokenCounts {
  readonly vocabulary: number;
  readonly context: number;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly kind: PattentionKind;
  /** The numbers of tokens under the root of tau: those of the model as it was first made, when growth keeps tau. */
  readonly tau: TokenCounts;
  /** Added to the norm of scores; the published PyTorch code adds nothing, the JAX code 1e-5. */
  readonly epsilon: number;
  readonly normEpsilon: number;
  /** The share of each head that rotary positions turn. */
  readonly rotaryShare: number;
  readonly ropeTheta: number;
  /** Probability of dropout after embeddings, on attention weights and before residual additions. */
  readonly dropout: number;
  readonly endOfText: number;
  /** What the model was before each growth, the first one first. */
  readonly growths: readonly Growth[];
}

/** The ready sizes, by name. Those with figures are the published ones (the last two: before and after a growth). */
export const TOKENFORMER_SIZES = {
  tiny: { layers: 4, width: 192, heads: 6, nQkv: 192, nO: 192, nFfn: 768 },
  small: { layers: 6, width: 384, heads: 6, nQkv: 384, nO: 384, nFfn: 1536 },
  '150M': { layers: 12, width: 768, heads: 12, nQkv: 768, nO: 768, nFfn: 3072 },
  '450M': { layers: 24, width: 1024, heads: 16, nQkv: 1024, nO: 1024, nFfn: 4096 },
  '900M': { layers: 32, width: 1280, heads: 16, nQkv: 1280, nO: 1280, nFfn: 5120 },
  '1.5B': { layers: 40, width: 1536, heads: 16, nQkv: 1536, nO: 1536, nFfn: 6144 },
  '354M': { layers: 24, width: 1024, heads: 16, nQkv: 768, nO: 768, nFfn: 3072 },
  '757M': { layers: 24, width: 1024, heads: 16, nQkv: 1792, nO: 1792, nFfn: 7168 },
} as const;

/** The name of a ready size. */
export type TokenformerSize = keyof typeof TOKENFORMER_SIZES;

/** Options with everything but the vocabulary optional. */
export type TokenformerChoices = Partial<TokenformerOptions> & {
  readonly vocabulary: number;
  readonly size?: TokenformerSize;
};

/** Fills in what was not chosen and refuses what does not fit together. @throws bad-option. */
export function tokenformerOptions(choices: TokenformerChoices): TokenformerOptions {
  const { size = 'tiny', ...given } = choices;
  const ready = TOKENFORMER_SIZES[size];
  if (ready === undefined) {
    throw new TesseraError('bad-option', `There is no size "${String(size)}" of TokenFormer.`, {
      hint: `Choose ${Object.keys(TOKENFORMER_SIZES).join(', ')}.`,
    });
  }
  const width = given.width ?? ready.width;
  const own = given.width === undefined;
  const tokens: TokenCounts = {
    // As the published sizes have it: as many tokens as the width, four times as many in the feed-forward layer.
    nQkv: given.nQkv ?? (own ? ready.nQkv : width),
    nO: given.nO ?? (own ? ready.nO : width),
    nFfn: given.nFfn ?? (own ? ready.nFfn : 4 * width),
  };
  const options: TokenformerOptions = {
    vocabulary: given.vocabulary,
    context: given.context ?? 256,
    layers: given.layers ?? ready.layers,
    width,
    heads: given.heads ?? (own ? ready.heads : Math.max(1, Math.round(width / 64))),
    ...tokens,
    kind: given.kind ?? 'l2_norm_gelu',
    tau: given.tau ?? tokens,
    epsilon: given.epsilon ?? 1e-5,
    normEpsilon: given.normEpsilon ?? 1e-5,
    rotaryShare: given.rotaryShare ?? 0.25,
    ropeTheta: given.ropeTheta ?? 10000,
    dropout: given.dropout ?? 0,
    endOfText: given.endOfText ?? 0,
    growths: given.growths ?? [],
  };
  check(options);
  return options;
}

function check(options: TokenformerOptions): void {
  const refuse = (sentence: string): never => {
    throw new TesseraError('bad-option', sentence);
  };
  for (const name of ['vocabulary', 'context', 'layers', 'width', 'heads', 'nQkv', 'nO', 'nFfn'] as const) {
    const value = options[name];
    if (!Number.isInteger(value) || value < 1) {
      refuse(`The option ${name} must be a whole number from 1, not ${value}.`);
    }
  }
  for (const name of ['nQkv', 'nO', 'nFfn'] as const) {
    if (!(options.tau[name] > 0)) refuse(`The number under the root of tau must be above 0, not ${options.tau[name]}.`);
  }
  const { width, heads, kind, rotaryShare, dropout, endOfText, vocabulary, epsilon } = options;
  if (width % heads !== 0) refuse(`A width of ${width} does not divide into ${heads} heads.`);
  if (!PATTENTION_KINDS.includes(kind)) {
    refuse(`There is no Pattention "${String(kind)}"; there are ${PATTENTION_KINDS.join(', ')}.`);
  }
  if (!(rotaryShare >= 0 && rotaryShare <= 1)) refuse(`The rotary share must be from 0 to 1, not ${rotaryShare}.`);
  if (rotaryWidth(options) % 2 !== 0) {
    refuse(
      `Rotary positions turn pairs: ${rotaryShare} of a head of ${width / heads} is ${rotaryWidth(options)}, an odd number.`,
    );
  }
  if (!(epsilon >= 0)) refuse(`The epsilon of the norm must be at least 0, not ${epsilon}.`);
  if (!(dropout >= 0 && dropout < 1)) refuse(`The dropout must be from 0 to below 1, not ${dropout}.`);
  if (!Number.isInteger(endOfText) || endOfText < 0 || endOfText >= vocabulary) {
    refuse(`The end-of-text token ${endOfText} is not in a vocabulary of ${vocabulary}.`);
  }
}

/** Dimensions of each head that rotary positions turn. */
export function rotaryWidth({
  width,
  heads,
  rotaryShare,
}: Pick<TokenformerOptions, 'width' | 'heads' | 'rotaryShare'>): number {
  return Math.floor((width / heads) * rotaryShare);
}

/** Numbers in the parameters: `layers * 2 width (3 nQkv + nO + nFfn) + vocabulary * width + 2 width`. */
export function countTokenformer(
  options: Pick<TokenformerOptions, 'layers' | 'width' | 'vocabulary' | 'nQkv' | 'nO' | 'nFfn'>,
): number {
  const { layers, width, vocabulary } = options;
  return layers * tokenRows(options) * 2 * width + vocabulary * width + 2 * width;
}

/** Parameter tokens of a block. */
export function tokenRows({ nQkv, nO, nFfn }: TokenCounts): number {
  return 3 * nQkv + nO + nFfn;
}

/** What a model was before its last growth. @throws bad-option for a model that has not grown. */
export function lastGrowth({ growths }: Pick<TokenformerOptions, 'growths'>): Growth {
  const last = growths.at(-1);
  if (last !== undefined) return last;
  throw new TesseraError('bad-option', 'This TokenFormer has not grown, so it has no new tokens apart from old ones.', {
    hint: 'Grow it first.',
  });
}
