/** From counts to the figures that models are compared by: bits per byte, perplexity, compression. */

export * from './bits.js';
export * from './text.js';
