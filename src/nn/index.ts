/** Layers, attention, losses, optimizers, token sampling and the training loop. */

export * from './attention.js';
export * from './cached-decoder.js';
export * from './causal-runner.js';
export * from './checkpoint.js';
export * from './clip.js';
export * from './convolution.js';
export * from './decoding.js';
export * from './ema.js';
export * from './layers.js';
export * from './loss.js';
export * from './mamba2.js';
export * from './module.js';
export * from './optimizer.js';
export { readAdamWStart, readRunMoments, writeAdamWStart } from './optimizer-start.js';
export { matchPaths, type PathTest, withLeaves, withoutLeaves } from './paths.js';
export { type CheckpointPlace, listCheckpoints, type RunSummary, readRun } from './run-folder.js';
export * from './sampling.js';
export * from './schedule.js';
export * from './scoring.js';
export { type ArraySourceOptions, arraySource, functionSource } from './source.js';
export * from './state-space.js';
export { type StopFilter, stopFilter } from './stop-filter.js';
export type { TokenProgress } from './token-blocks.js';
export { type TokenSourceOptions, tokenSource } from './token-source.js';
export * from './train.js';
export * from './windowed.js';
