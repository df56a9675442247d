/** What an engine's provider is: devices by name, and ONNX Runtime's interface with the line that says which it is. */

import type * as Ort from 'onnxruntime-common';

/** The devices a runtime can be asked for. */
export type Device = 'cpu' | 'wasm' | 'webgpu' | 'cuda';

/** Every device, by its name. */
export const DEVICES: readonly Device[] = ['cpu', 'wasm', 'webgpu', 'cuda'];

/** The version of ONNX Runtime that Tessera is built on, the one that transformers.js uses. */
export const ONNXRUNTIME_VERSION = '1.30.0';

/** ONNX Runtime's JavaScript interface, as its packages export it. */
export interface Provider {
  readonly device: Device;
  readonly InferenceSession: typeof Ort.InferenceSession;
  readonly Tensor: typeof Ort.Tensor;
  /** Threads that sessions have. */
  readonly threads: number;
  /** One line that says which engine this is. */
  readonly about: string;
}

/** What ONNX Runtime's packages export. */
export interface OrtModule {
  readonly InferenceSession: typeof Ort.InferenceSession;
  readonly Tensor: typeof Ort.Tensor;
  readonly env: typeof Ort.env;
}

/** Unwraps a CommonJS module seen through import(). */
export function unwrap(module: unknown): OrtModule {
  const outer = module as { readonly default?: OrtModule } & OrtModule;
  return outer.InferenceSession === undefined && outer.default !== undefined ? outer.default : outer;
}

/** What `auto` would rather have, and the line of the one that it took. */
export function fallBack(taken: Provider, missing: string): Provider {
  return { ...taken, about: `${taken.about}; ${missing}` };
}
