/**
 * Where sessions come from: the native ONNX Runtime where it is installed, its WebAssembly build otherwise.
 * Both are loaded on first use only.
 */

import type * as Ort from 'onnxruntime-common';
import { TesseraError } from '../../host/error.js';

/** The devices a runtime can be asked for. */
export type Device = 'cpu' | 'wasm' | 'webgpu' | 'cuda';

/** The version of ONNX Runtime that Tessera is built on, the one that transformers.js uses. */
export const ONNXRUNTIME_VERSION = '1.30.0';

/** ONNX Runtime's JavaScript interface, as both packages export it. */
export interface Provider {
  readonly device: Device;
  readonly InferenceSession: typeof Ort.InferenceSession;
  readonly Tensor: typeof Ort.Tensor;
  /** One line that says which engine this is. */
  readonly about: string;
}

const NATIVE_HINT = `Install the native engine with: npm i onnxruntime-node@${ONNXRUNTIME_VERSION} --ignore-scripts`;

interface OrtModule {
  readonly InferenceSession: typeof Ort.InferenceSession;
  readonly Tensor: typeof Ort.Tensor;
  readonly env: typeof Ort.env;
}

/** Unwraps a CommonJS module seen through import(). */
function unwrap(module: unknown): OrtModule {
  const outer = module as { readonly default?: OrtModule } & OrtModule;
  return outer.InferenceSession === undefined && outer.default !== undefined ? outer.default : outer;
}

async function native(): Promise<Provider> {
  // The name is a variable, so that bundlers for pages leave the native package alone.
  const name = 'onnxruntime-node';
  const { InferenceSession, Tensor } = unwrap(await import(name));
  return { device: 'cpu', InferenceSession, Tensor, about: `native ONNX Runtime ${ONNXRUNTIME_VERSION} (cpu)` };
}

async function wasm(threads: number): Promise<Provider> {
  const { InferenceSession, Tensor, env } = unwrap(await import('onnxruntime-web'));
  env.wasm.numThreads = threads;
  env.logLevel = 'error';
  return { device: 'wasm', InferenceSession, Tensor, about: `ONNX Runtime ${ONNXRUNTIME_VERSION} on WebAssembly` };
}

/**
 * Loads an engine: the one asked for, or for `auto` the native one with WebAssembly as fall-back.
 * @throws not-found when the engine asked for is not installed, unsupported for devices this build does not drive.
 */
export async function loadProvider(device: Device | 'auto', threads: number): Promise<Provider> {
  switch (device) {
    case 'cpu':
      try {
        return await native();
      } catch (cause) {
        throw new TesseraError('not-found', 'The native ONNX Runtime is not installed.', { hint: NATIVE_HINT, cause });
      }
    case 'wasm':
      return wasm(threads);
    case 'auto':
      try {
        return await native();
      } catch {
        const fallback = await wasm(threads);
        return { ...fallback, about: `${fallback.about}, several times slower than the native engine. ${NATIVE_HINT}` };
      }
    default:
      throw new TesseraError('unsupported', `The device "${device}" cannot be used by this version of Tessera.`, {
        hint: 'Choose cpu, wasm or auto.',
      });
  }
}
