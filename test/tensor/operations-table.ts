/**
 * Every operation that `tessera-kit/tensor` exports, one row each, with a slow reference; and the check that compares
 * values with the reference and gradients with directional derivatives of it.
 */

import {
  add,
  cast,
  constant,
  gradients,
  mul,
  type NDArray,
  type Runtime,
  random,
  sum,
  type Tensor,
} from 'tessera-kit/tensor';
import { convolutions } from './table/convolutions.js';
import { elementwise } from './table/elementwise.js';
import { fused } from './table/fused.js';
import { indexing } from './table/indexing.js';
import { numpy } from './table/numpy.js';
import { reductions } from './table/reductions.js';
import { sequences } from './table/sequences.js';
import { shapes } from './table/shapes.js';
import { feed, type OperationCase, type OperationRow, type Value } from './table/value.js';

/** The table. */
export const operations: readonly OperationRow[] = [
  ...elementwise,
  ...shapes,
  ...reductions,
  ...fused,
  ...sequences,
  ...numpy,
  ...indexing,
  ...convolutions,
];

/** What one row came to in one precision. */
export interface OperationReport {
  readonly operation: string;
  readonly dtype: 'float32' | 'float64';
  readonly cases: number;
  /** Directional derivatives compared. */
  readonly derivatives: number;
  /** The largest error of a value, relative to 1 + its size. */
  readonly valueError: number;
  /** The largest error of a directional derivative, relative to 1 + the sizes of its terms. */
  readonly gradientError: number;
  readonly holds: boolean;
}

/** What errors may be: values, then gradients (whose central differences are exact to about 1e-8). */
export const TOLERANCES = { float32: [4e-6, 1e-5], float64: [1e-12, 1e-7] } as const;

const DIRECTIONS = 3;
const STEP = 2 ** -13;

/** The host's side of a case: the inputs whose slopes are wanted. */
function wantedOf({ inputs, gradients: chosen }: OperationCase): readonly number[] {
  return chosen ?? inputs.flatMap(({ kind }, index) => (kind === 'float' ? [index] : []));
}

function listOf<X extends object>(one: X | readonly X[]): readonly X[] {
  return Array.isArray(one) ? one : [one as X];
}

/** Factors that make one number of many outputs. */
function factors(index: number, output: number, length: number): readonly number[] {
  return Array.from(random(index).child('factors').child(output).uniform([length], 0.5, 1.5).data);
}

function isFloat(dtype: string): boolean {
  return dtype === 'float32' || dtype === 'float64';
}

/** The outputs of a case and the slopes of their weighted sum. */
function traceCase(one: OperationCase, index: number, tensors: readonly Tensor[], dtype: 'float32' | 'float64') {
  const values = listOf(one.apply(...tensors));
  const terms = values.flatMap((value, output) => {
    if (!isFloat(value.dtype)) return [];
    const shape = value.shape.map(Number);
    const data = factors(
      index,
      output,
      shape.reduce((product, size) => product * size, 1),
    );
    return [sum(mul(cast(value, dtype), constant(feed({ kind: 'float', shape, data }, dtype))))];
  });
  const wanted = wantedOf(one).flatMap((place) => tensors[place] ?? []);
  const slopes =
    terms.length === 0
      ? []
      : gradients(
          terms.reduce((a, b) => add(a, b)),
          wanted,
        );
  return { values, slopes };
}

/** Checks one row; all its cases run as one program. */
export async function checkOperation(
  runtime: Runtime,
  row: OperationRow,
  dtype: 'float32' | 'float64',
): Promise<OperationReport> {
  const input = row.cases.map(({ inputs }) => inputs.map((value) => feed(value, dtype)));
  const program = await runtime.compile<object, readonly (readonly Tensor[])[], ReturnType<typeof traceCase>[]>(
    (_state, given) => ({ out: row.cases.map((one, index) => traceCase(one, index, given[index] ?? [], dtype)) }),
    { state: {}, input },
  );
  const { out } = await program.run(runtime.join({}), input);
  await program.dispose();
  let [valueError, gradientError, derivatives] = [0, 0, 0];
  for (const [index, one] of row.cases.entries()) {
    for (const [output, value] of listOf(one.reference(...one.inputs)).entries()) {
      valueError = worst(valueError, difference(out[index]?.values[output], value));
    }
    for (const [order, place] of wantedOf(one).entries()) {
      const slope = out[index]?.slopes[order];
      if (slope === undefined) continue;
      for (let direction = 0; direction < DIRECTIONS; direction++) {
        gradientError = worst(gradientError, slopeError(one, index, place, slope, direction));
        derivatives++;
      }
    }
  }
  const [forValues, forGradients] = TOLERANCES[dtype];
  const holds = valueError <= forValues && gradientError <= forGradients;
  return { operation: row.operation, dtype, cases: row.cases.length, derivatives, valueError, gradientError, holds };
}

/** The larger error; NaN is the worst. */
function worst(a: number, b: number): number {
  return Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : Math.max(a, b);
}

const KINDS: Readonly<Record<string, Value['kind']>> = {
  float32: 'float',
  float64: 'float',
  int32: 'int32',
  int64: 'int64',
  bool: 'bool',
};

/** The largest relative difference; NaN where shape or kind differ. */
function difference(found: NDArray | undefined, expected: Value): number {
  if (found === undefined || KINDS[found.dtype] !== expected.kind || found.shape.join() !== expected.shape.join())
    return Number.NaN;
  return expected.data.reduce((error, value, i) => {
    const is = Number(found.data[i]);
    // Infinities and NaN must be met exactly.
    return Object.is(is, value) ? error : worst(error, Math.abs(is - value) / (1 + Math.abs(value)));
  }, 0);
}

/** The weighted sum of a case's float outputs, computed by the reference. */
function hostLoss(one: OperationCase, index: number, inputs: readonly Value[]): number {
  let loss = 0;
  for (const [output, { kind, data }] of listOf(one.reference(...inputs)).entries()) {
    if (kind !== 'float') continue;
    const weights = factors(index, output, data.length);
    for (const [i, value] of data.entries()) loss += value * (weights[i] ?? 0);
  }
  return loss;
}

/** The slope along a random direction against the fourth-order central difference of the reference. */
function slopeError(one: OperationCase, index: number, place: number, slope: NDArray, direction: number): number {
  const along = random(index).child(place).child(direction).normal([slope.data.length]).data;
  const moved = (step: number): number =>
    hostLoss(
      one,
      index,
      one.inputs.map((value, at) =>
        at === place ? { ...value, data: value.data.map((x, i) => x + step * (along[i] ?? 0)) } : value,
      ),
    );
  const numeric = (8 * (moved(STEP) - moved(-STEP)) - (moved(2 * STEP) - moved(-2 * STEP))) / (12 * STEP);
  let [analytic, size] = [0, 1];
  for (const [i, step] of along.entries()) {
    const term = step * Number(slope.data[i]);
    analytic += term;
    size += Math.abs(term);
  }
  return Math.abs(analytic - numeric) / size;
}
