/** Layers, attention, losses, optimizers, token sampling and the training loop. */

export * from './attention.js';
export * from './clip.js';
export * from './ema.js';
export * from './layers.js';
export * from './loss.js';
export * from './module.js';
export * from './optimizer.js';
export * from './sampling.js';
export * from './schedule.js';
export * from './source.js';
export * from './token-source.js';
