/**
 * Growing a trained TokenFormer by more parameter tokens (arXiv 2410.23168, section 3.3): only the numbers of tokens
 * grow, never width, heads or layers. New keys are zero and new values random: such a token has a score of zero, adds
 * nothing to the norm and gives GELU(0) = 0, so that the function stays the same as long as tau keeps its old value.
 *
 * The published loaders do otherwise, which options give too: the PyTorch one leaves new keys random (`zeroKeys: false`)
 * and both take tau from the new number of tokens unless told (`keepTau: false`); the function then changes.
 */

import { type Arrays, mapArrays, type NDArray, random, TesseraError, zeros } from '../../tensor/index.js';
import { deviations, type TokenformerParameters, tokenKindOf } from './model.js';
import { lastGrowth, type TokenCounts, type TokenformerOptions } from './options.js';
import { type Tokenformer, tokenformer } from './tokenformer.js';

/** How a model grows. Counts that are absent stay. */
export interface GrowOptions extends Partial<TokenCounts> {
  /** New keys are zero (the default), or random as fresh ones are. */
  readonly zeroKeys?: boolean;
  /** Tau stays what it was (the default), or becomes the root of the new number of tokens. */
  readonly keepTau?: boolean;
  /** Of the new rows. */
  readonly seed?: number;
}

/** A model and its parameters. */
export interface SizedTokenformer {
  readonly model: Tokenformer;
  readonly parameters: Arrays<TokenformerParameters>;
}

const NAMES = ['nQkv', 'nO', 'nFfn'] as const;

/**
 * A larger model that goes on from a smaller one. With zero keys and tau kept it computes the same function.
 * @throws bad-option for a count that is smaller, when none is larger, and for a model of the softmax kind.
 */
export function growTokenformer(
  model: Tokenformer,
  parameters: Arrays<TokenformerParameters>,
  options: GrowOptions,
): SizedTokenformer {
  const { architecture: old } = model;
  const { zeroKeys = true, keepTau = true, seed = 0 } = options;
  const tokens = grownCounts(old, options);
  const next: TokenformerOptions = {
    ...old,
    ...tokens,
    tau: keepTau ? old.tau : tokens,
    growths: [...old.growths, { tokens: countsOf(old), tau: old.tau }],
  };
  const draws = random(seed).child('grow').child(old.growths.length);
  const scales = deviations(old);
  const grown = mapArrays(parameters, (leaf, path) => {
    const kind = tokenKindOf(path);
    if (kind === undefined || tokens[kind] === old[kind]) return leaf;
    const shape = [tokens[kind] - old[kind], Number(leaf.shape[1])];
    const isKey = path.endsWith('.key');
    const rows = isKey && zeroKeys ? zeros(shape) : draws.child(path).normal(shape, isKey ? scales.key : scales.value);
    return joinRows(leaf, rows);
  });
  return { model: tokenformer({ ...next, tokenizer: model.tokenizer }), parameters: grown };
}

function grownCounts(old: TokenformerOptions, wanted: Partial<TokenCounts>): TokenCounts {
  if (old.kind === 'softmax') {
    throw new TesseraError(
      'bad-option',
      'A TokenFormer of the softmax kind cannot grow: exp(0) is 1, so that new tokens change what it computes.',
      { hint: 'Train a model of the kind l2_norm_gelu or gelu_l2_norm to grow it.' },
    );
  }
  const tokens = { nQkv: wanted.nQkv ?? old.nQkv, nO: wanted.nO ?? old.nO, nFfn: wanted.nFfn ?? old.nFfn };
  for (const name of NAMES) {
    if (!Number.isInteger(tokens[name])) {
      throw new TesseraError('bad-option', `The number of tokens ${name} must be whole, not ${tokens[name]}.`);
    }
    if (tokens[name] < old[name]) {
      throw new TesseraError(
        'bad-option',
        `A growth adds tokens: ${name} cannot go from ${old[name]} down to ${tokens[name]}.`,
        { hint: 'dropGrownTokens takes back what a growth added.' },
      );
    }
  }
  if (NAMES.every((name) => tokens[name] === old[name])) {
    throw new TesseraError(
      'bad-option',
      `Nothing would grow: the model has ${NAMES.map((name) => `${name} ${old[name]}`).join(', ')} already.`,
      { hint: 'Give a larger number of tokens for one of them.' },
    );
  }
  return tokens;
}

/**
 * Takes back the last growth: drops the rows that it added and gives tau its value from before. Of a freshly grown model
 * that is the model it was grown from, exactly; of one that was trained since, a smaller one.
 * @throws bad-option for a model that has not grown.
 */
export function dropGrownTokens(model: Tokenformer, parameters: Arrays<TokenformerParameters>): SizedTokenformer {
  const { architecture } = model;
  const last = lastGrowth(architecture);
  const base = { ...architecture, ...last.tokens, tau: last.tau, growths: architecture.growths.slice(0, -1) };
  const dropped = mapArrays(parameters, (leaf, path) => {
    const kind = tokenKindOf(path);
    return kind === undefined ? leaf : firstRows(leaf, last.tokens[kind]);
  });
  return { model: tokenformer({ ...base, tokenizer: model.tokenizer }), parameters: dropped };
}

/**
 * Moments of an optimizer, as a checkpoint has them, for the model after a growth: zeros for the new rows. Arrays whose
 * paths end in a parameter's path are extended, whatever stands before.
 */
export function growMoments<M>(moments: M, { architecture }: Pick<Tokenformer, 'architecture'>): M {
  lastGrowth(architecture);
  return mapArrays(moments, (leaf, path) => {
    const kind = tokenKindOf(path.replace(/^.*?(?=blocks\.)/, ''));
    const missing = kind === undefined ? 0 : architecture[kind] - Number(leaf.shape[0]);
    return missing <= 0 ? leaf : joinRows(leaf, zeros([missing, Number(leaf.shape[1])]));
  });
}

function countsOf({ nQkv, nO, nFfn }: TokenCounts): TokenCounts {
  return { nQkv, nO, nFfn };
}

function joinRows(old: NDArray, rows: NDArray): NDArray {
  const data = new Float32Array(old.data.length + rows.data.length);
  data.set(old.data as Float32Array);
  data.set(rows.data as Float32Array, old.data.length);
  return { dtype: 'float32', shape: [Number(old.shape[0]) + Number(rows.shape[0]), ...old.shape.slice(1)], data };
}

function firstRows(matrix: NDArray, rows: number): NDArray {
  const [, columns = 0] = matrix.shape;
  return { ...matrix, shape: [rows, columns], data: matrix.data.slice(0, rows * columns) } as NDArray;
}
