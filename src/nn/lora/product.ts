/**
 * Products with a weight that was changed by something of low rank. The changed weight is an ordinary tensor, right wherever
 * it is used; a layer that only multiplies by it can ask here for a cheaper way, which never makes the large matrix.
 */

import type { Tensor } from '../../tensor/index.js';

/** `x @ weight + bias` in another way. */
export type Product = (x: Tensor, bias: Tensor | undefined) => Tensor;

const products = new WeakMap<Tensor, Product>();

/** Makes `product` the way in which layers multiply by `weight`. */
export function setProduct(weight: Tensor, product: Product): void {
  products.set(weight, product);
}

/** The cheaper way to multiply by `weight`, where there is one. */
export function productOf(weight: Tensor): Product | undefined {
  return products.get(weight);
}
