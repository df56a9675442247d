import { functions } from './functions.js';
import { integers } from './integers.js';
import { layouts } from './layouts.js';
import { products } from './products.js';
import type { OperationRow } from './value.js';

/** Functions, whole numbers, reductions, products and layouts of NumPy's common set. */
export const numpy: readonly OperationRow[] = [...functions, ...integers, ...products, ...layouts];
