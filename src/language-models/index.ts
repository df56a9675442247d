/** Language models: one folder or file an architecture. */

export * from './adapters.js';
export * from './architectures.js';
export * from './contract.js';
export { ARCHITECTURES } from './entries.js';
export * from './gpt/index.js';
export * from './h-net/index.js';
export * from './lexinvariant/index.js';
export * from './model-folder.js';
export * from './programs.js';
export * from './tokenformer/index.js';
