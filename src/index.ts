/** Everything public of Tessera in one entry; the sub-paths (`tessera-kit/nn`, ...) carry the same, layer by layer. */

export * from './formats/index.js';
export * from './language-models/index.js';
export * from './measures/index.js';
export * from './nn/index.js';
export * from './systems/index.js';
export * from './tensor/index.js';
export * from './text/index.js';
export * from './tokenizers/index.js';
