/** Linear maps of pictures that are one matrix a direction: `y = rows x columns^T` for every channel. */

import { constant, type Tensor } from '../graph.js';
import { allocate, type NDArray } from '../ndarray.js';
import { matmul } from '../operations/matmul.js';
import type { Axis, Window } from './geometry.js';

/** A matrix `[out, in]`, row by row. */
export interface AxisMap {
  readonly out: number;
  readonly in: number;
  /** The weights of a place of the output: pairs of a place of the input and its factor. */
  readonly terms: (place: number) => readonly (readonly [source: number, factor: number])[];
}

/** A picture `[.., .., height, width]` with both axes mapped; a map left out leaves its axis as it is. */
export function separable(
  x: Tensor,
  rows: AxisMap | undefined,
  columns: AxisMap | undefined,
  transposed = false,
): Tensor {
  const wide = columns === undefined ? x : matmul(x, constant(matrixOf(columns, x.dtype)), { transposeB: !transposed });
  return rows === undefined ? wide : matmul(constant(matrixOf(rows, x.dtype)), wide, { transposeA: transposed });
}

function matrixOf(map: AxisMap, dtype: Tensor['dtype']): NDArray {
  const data = dtype === 'float64' ? allocate('float64', map.out * map.in) : allocate('float32', map.out * map.in);
  for (let place = 0; place < map.out; place++) {
    for (const [source, factor] of map.terms(place)) {
      const at = place * map.in + source;
      data[at] = (data[at] ?? 0) + factor;
    }
  }
  return { dtype: dtype === 'float64' ? 'float64' : 'float32', shape: [map.out, map.in], data };
}

/** The places of the input that the taps of a window see at a stop, those in the padding left out. */
export function seen(window: Window, size: number, axis: Axis, stop: number): number[] {
  const start = stop * window.stride[axis] - window.pads[axis][0];
  return Array.from({ length: window.kernel[axis] }, (_, tap) => start + tap * window.dilation[axis]).filter(
    (place) => place >= 0 && place < size,
  );
}
