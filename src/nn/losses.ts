/** Losses by kind. Each gives a total and the count it is to be divided by, as an `Objective` wants them. */

export * from './losses/classification.js';
export * from './losses/contrastive.js';
export * from './losses/distillation.js';
export * from './losses/margin.js';
export { type LossWeights, meanLoss } from './losses/parts.js';
export * from './losses/regression.js';
export * from './losses/triplet.js';
