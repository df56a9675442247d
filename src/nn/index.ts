/** Layers, attention, losses, optimizers, token sampling and the training loop. */

export * from './attention.js';
export * from './layers.js';
export * from './loss.js';
export * from './module.js';
export * from './sampling.js';
