/** Optimizers beside AdamW, one file each; Muon is in muon.ts. */

export { type AdafactorOptions, adafactor } from './optimizers/adafactor.js';
export { type AdamOptions, adam } from './optimizers/adam.js';
export { type AdEmaMixOptions, adEmaMix } from './optimizers/ademamix.js';
export { byPath, type OptimizerPart } from './optimizers/by-path.js';
export type { LeafMoments, LeafOptions, LeafStart, ScalarType } from './optimizers/leaf.js';
export { type LionOptions, lion } from './optimizers/lion.js';
export { type SgdOptions, sgd } from './optimizers/sgd.js';
