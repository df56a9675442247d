/** Low-rank adapters (LoRA) on any module: chosen by name, trained alone, merged, and kept in PEFT's layout. */

export * from './lora/adapters.js';
export * from './lora/choose.js';
export * from './lora/folder.js';
export * from './lora/merge.js';
export * from './lora/module.js';
