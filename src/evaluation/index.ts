/** Harnesses: architectures beside each other on one text and one budget, and character noise. */

export * from './compare.js';
export { characterNoise, type NoiseOptions } from './noise.js';
export { plotComparison } from './plot.js';
