/** Adapters put into the weights of a model, and taken out again, on the host. */

import { type Arrays, mapArrays, type NDArray, TesseraError } from '../../tensor/index.js';
import { type Lora, type LoraTree, type LoraWeights, lengthsOf, weightsOf } from './adapters.js';

/**
 * A model's parameters with its adapters in them: `W + s A B`, and with DoRA each column at its trained length. Leaves without
 * an adapter are the same arrays.
 * @throws mismatch when an adapter is missing or does not fit the model.
 */
export function mergeLora<P>(base: Arrays<P>, settings: Lora, adapters: Arrays<LoraTree>): Arrays<P> {
  return changedBy(base, settings, adapters, (weights, module, scale) => {
    const sums = shifted(weights, module, scale);
    return module.magnitude === undefined ? sums : stretched(sums, module.magnitude);
  });
}

/**
 * What {@link mergeLora} changed, taken back: `W - s A B`, up to rounding.
 * @throws unsupported for DoRA, whose columns have lost their own lengths.
 */
export function unmergeLora<P>(merged: Arrays<P>, settings: Lora, adapters: Arrays<LoraTree>): Arrays<P> {
  if (settings.dora) {
    throw new TesseraError(
      'unsupported',
      'A merged DoRA adapter cannot be taken out: the columns lost their lengths.',
      {
        hint: 'Keep the base model.',
      },
    );
  }
  return changedBy(merged, settings, adapters, (weights, module, scale) => shifted(weights, module, -scale));
}

function changedBy<P>(
  base: Arrays<P>,
  { modules }: Lora,
  adapters: Arrays<LoraTree>,
  change: (weights: readonly NDArray[], module: LoraWeights<NDArray>, scale: number) => readonly NDArray[],
): Arrays<P> {
  const next = new Map<string, NDArray>();
  for (const module of modules) {
    const own = adapters[module.name];
    if (own === undefined) throw new TesseraError('mismatch', `There is no adapter for ${module.name}.`);
    const weights = weightsOf(base, module);
    requireFit(module.name, weights, own);
    for (const [i, array] of change(weights, own, module.scale).entries()) next.set(module.paths[i] ?? '', array);
  }
  return mapArrays(base, (leaf, path) => next.get(path) ?? leaf);
}

/** @throws mismatch when an adapter is not of a module's size. */
export function requireFit(name: string, weights: readonly NDArray[], { a, b, magnitude }: LoraWeights<NDArray>): void {
  const [inputs = 0, rank = 0] = a.shape;
  const outputs = weights.reduce((total, { shape }) => total + (shape[1] ?? 0), 0);
  const fits =
    weights.every(({ shape }) => shape[0] === inputs) &&
    b.shape.join() === [rank, outputs].join() &&
    (magnitude === undefined || magnitude.shape.join() === String(outputs));
  if (fits) return;
  throw new TesseraError(
    'mismatch',
    `The adapter of ${name} is for ${inputs} inputs and ${b.shape[1]} outputs; the model has ${weights[0]?.shape[0]} and ${outputs} there.`,
    { hint: 'The adapter is of another model.' },
  );
}

/** Every weight plus its share of `scale A B`. */
function shifted(weights: readonly NDArray[], { a, b }: LoraWeights<NDArray>, scale: number): readonly NDArray[] {
  const [, rank = 0] = a.shape;
  const [, outputs = 0] = b.shape;
  let first = 0;
  return weights.map((weight) => {
    const [inputs = 0, columns = 0] = weight.shape;
    const data = new Float32Array(inputs * columns);
    const row = new Float64Array(columns);
    for (let i = 0; i < inputs; i++) {
      row.fill(0);
      for (let k = 0; k < rank; k++) {
        const factor = scale * Number(a.data[i * rank + k]);
        const start = k * outputs + first;
        for (let j = 0; j < columns; j++) row[j] = (row[j] ?? 0) + factor * Number(b.data[start + j]);
      }
      for (let j = 0; j < columns; j++) data[i * columns + j] = Number(weight.data[i * columns + j]) + (row[j] ?? 0);
    }
    first += columns;
    return { dtype: 'float32', shape: [inputs, columns], data };
  });
}

function stretched(weights: readonly NDArray[], magnitude: NDArray): readonly NDArray[] {
  let first = 0;
  return weights.map((weight) => {
    const [, columns = 0] = weight.shape;
    const lengths = lengthsOf([weight]).data;
    const data = Float32Array.from({ length: weight.data.length }, (_, i) => {
      const j = i % columns;
      return (Number(weight.data[i]) * Number(magnitude.data[first + j])) / Number(lengths[j]);
    });
    first += columns;
    return { dtype: 'float32', shape: weight.shape, data };
  });
}
