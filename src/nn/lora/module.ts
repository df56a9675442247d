/** A model with adapters, as a module: its parameters are the base, which stays as it is, and the adapters. */

import {
  type Arrays,
  add,
  type Call,
  div,
  mapTensors,
  matmul,
  mul,
  splitSizes,
  sqrt,
  stopGradient,
  sumSquares,
  type Tensor,
  TesseraError,
  tensorLeaves,
} from '../../tensor/index.js';
import { dropout } from '../layers.js';
import type { Module } from '../module.js';
import { type AdaptedModule, initLora, type Lora, type LoraTree, type LoraWeights } from './adapters.js';
import { setProduct } from './product.js';

/** The parameters of a model with adapters. */
export interface LoraParameters<P> {
  readonly base: P;
  readonly adapters: LoraTree;
}

/** What is to be frozen so that only adapters are trained: no gradient is taken of it and no moments are kept for it. */
export const LORA_FREEZE: readonly string[] = ['base'];

/**
 * The model with adapters, to be trained with `freeze: LORA_FREEZE` from `{ base, adapters: initLora(...) }`. `linear` layers
 * compute `x W + s (dropout(x) A) B`; where a model uses a weight in another way it is given `W + s A B`.
 *
 * While training with a dropout, a chosen weight that no `linear` layer used is refused (unsupported): the dropout would have
 * no effect on it.
 */
export function loraModule<P, B, O>(model: Module<P, B, O>, settings: Lora): Module<LoraParameters<P>, B, O> {
  return {
    init: (random) => {
      const base = model.init(random.child('base'));
      return { base, adapters: initLora(settings, base, random.child('adapters')) } as Arrays<LoraParameters<P>>;
    },
    apply: (parameters, input, call) => {
      const { tree, unused } = adaptTree(settings, parameters, call);
      const out = model.apply(tree, input, call);
      const [left] = unused();
      if (left === undefined) return out;
      throw new TesseraError('unsupported', `The dropout of adapters would not act on ${left}.`, {
        hint: 'That module is no plain linear layer: leave it out, or take a dropout of 0.',
      });
    },
  };
}

/** The base with adapted weights in the places of its own, and the paths whose dropout nothing has asked for. */
function adaptTree<P>(
  settings: Lora,
  { base, adapters }: LoraParameters<P>,
  call: Call,
): { readonly tree: P; unused(): readonly string[] } {
  const leaves = new Map(tensorLeaves(base));
  const adapted = new Map<string, Tensor>();
  const waiting = new Set<string>();
  const drops = call.training && settings.dropout > 0;
  for (const module of settings.modules) {
    const weights = adapters[module.name];
    if (weights === undefined) throw new TesseraError('mismatch', `There is no adapter for ${module.name}.`);
    const here = call.at('adapters').at(module.name);
    const dropped = (x: Tensor): Tensor => dropout(x, settings.dropout, here);
    for (const [path, part] of partsOf(module, weights, leaves)) {
      const weight = changed(part, module.scale);
      adapted.set(path, weight.whole);
      if (drops) waiting.add(path);
      setProduct(weight.whole, (x, bias) => {
        waiting.delete(path);
        return weight.product(x, bias, dropped);
      });
    }
  }
  return { tree: mapTensors(base, (leaf, path) => adapted.get(path) ?? leaf), unused: () => [...waiting] };
}

/** A weight with its share of a module's adapter. */
interface Part {
  readonly weight: Tensor;
  readonly a: Tensor;
  readonly b: Tensor;
  readonly magnitude?: Tensor;
}

function partsOf(module: AdaptedModule, weights: LoraWeights, leaves: ReadonlyMap<string, Tensor>): [string, Part][] {
  const own = module.paths.map((path) => {
    const found = leaves.get(path);
    if (found === undefined) throw new TesseraError('mismatch', `The model has no parameter "${path}".`);
    return found;
  });
  const sizes = own.map(({ shape }) => shape[1] ?? 1);
  const cut = (x: Tensor, axis: number): readonly Tensor[] => (own.length === 1 ? [x] : splitSizes(x, sizes, axis));
  const bs = cut(weights.b, 1);
  const magnitudes = weights.magnitude && cut(weights.magnitude, 0);
  return own.map((weight, i) => {
    const [path, b] = [module.paths[i], bs[i]];
    if (path === undefined || b === undefined) throw new Error('a module has a part for each path');
    return [path, { weight, a: weights.a, b, magnitude: magnitudes?.[i] }];
  });
}

/** The changed weight as a whole, and the product with it that does not need the whole. */
function changed({ weight, a, b, magnitude }: Part, scale: number) {
  const sum = add(weight, matmul(a, b, { scale }));
  // The lengths count as constants (DoRA, section 4.3), which spares gradients through the large matrix.
  const stretch = magnitude && div(magnitude, stopGradient(sqrt(sumSquares(sum, 0)))); // [out]
  return {
    whole: stretch === undefined ? sum : mul(sum, stretch),
    product: (x: Tensor, bias: Tensor | undefined, dropped: (x: Tensor) => Tensor): Tensor => {
      const low = matmul(matmul(dropped(x), a), b, { scale });
      if (stretch === undefined) return add(matmul(x, weight, { bias }), low);
      const stretched = mul(add(matmul(x, weight), low), stretch);
      return bias === undefined ? stretched : add(stretched, bias);
    },
  };
}
