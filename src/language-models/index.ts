/** Language models: one folder or file an architecture. */

export * from './gpt/index.js';
