/** Positions that are added to embeddings: sinusoids (Vaswani et al., arXiv 1706.03762, section 3.5) and learned vectors. */

import {
  add,
  type Dimension,
  type NDArray,
  type Random,
  reshape,
  slice,
  type Tensor,
  TesseraError,
  zeros,
} from '../tensor/index.js';
import { embed } from './layers.js';

/** How sinusoids are laid out. */
export interface SinusoidOptions {
  /** The base of the wavelengths (default 10000). */
  readonly base?: number;
  /** `interleaved` (the paper's): sine and cosine by turns. `halves` (tensor2tensor's, Whisper's): all sines, then all cosines. */
  readonly layout?: 'interleaved' | 'halves';
}

/**
 * `sin(p / base^(2 i / width))` and the cosine of the same, of every position p and frequency i: `[positions, width]`.
 * In halves the exponents run from 0 to 1, both ends included.
 * @throws bad-option when the width is odd.
 */
export function sinusoidalPositions(
  positions: number,
  width: number,
  options: SinusoidOptions = {},
): NDArray<'float32'> {
  const { base = 10000, layout = 'interleaved' } = options;
  const half = width / 2;
  if (!Number.isInteger(half) || half < 1)
    throw new TesseraError('bad-option', `Sinusoids come in pairs: a width of ${width} is not even.`);
  const table = zeros([positions, width]);
  for (let i = 0; i < half; i++) {
    const exponent = layout === 'interleaved' ? i / half : i / Math.max(1, half - 1);
    const rate = base ** -exponent;
    const [sine, cosine] = layout === 'interleaved' ? [2 * i, 2 * i + 1] : [i, half + i];
    for (let position = 0; position < positions; position++) {
      table.data[position * width + sine] = Math.sin(position * rate);
      table.data[position * width + cosine] = Math.cos(position * rate);
    }
  }
  return table;
}

/** A vector for each position, `[positions, width]`. */
export interface PositionParameters<L = Tensor> {
  readonly weight: L;
}

/** Fresh vectors, normal. */
export function initPositions(
  random: Random,
  positions: number,
  width: number,
  deviation = 0.02,
): PositionParameters<NDArray> {
  return { weight: random.child('weight').normal([positions, width], deviation) };
}

/**
 * Rows `[batch * time, width]` with the vector of its position added to each. `table` `[positions, width]` is learned or a
 * constant; `positions` int32 or int64 `[batch, time]` are 0, 1, 2, ... in every row when absent.
 * @throws bad-shape when rows are longer than the table.
 */
export function addPositions(
  table: Tensor,
  x: Tensor,
  options: { readonly batch: Dimension; readonly time: Dimension; readonly positions?: Tensor },
): Tensor {
  const { batch, time, positions } = options;
  const apart = reshape(x, [batch, time, table.shape[1] ?? 1]);
  const places = positions === undefined ? slice(table, 0, 0, Number(time)) : embed(table, positions);
  return reshape(add(apart, places), x.shape);
}
