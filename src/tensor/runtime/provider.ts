/**
 * Where sessions come from: the native ONNX Runtime on the CPU, on CUDA or on WebGPU, and its WebAssembly build, which
 * runs in Node and in pages; in a page WebGPU too. Each is loaded on first use only.
 */

import { isPage } from '#host';
import { TesseraError } from '../../host/error.js';
import { nodeProvider } from './provider-node.js';
import { pageProvider } from './provider-page.js';
import { DEVICES, type Device, type Provider } from './provider-types.js';

export { DEVICES, type Device, ONNXRUNTIME_VERSION, type Provider } from './provider-types.js';

/**
 * Loads an engine: the one asked for, or for `auto` the best that is there. In Node that is CUDA where its library and a
 * card are there, else the native CPU, else WebAssembly; in a page WebGPU where the page has a device that is no software,
 * else WebAssembly. The line `about` says which it is and, where it is a fall-back, why.
 * @param threads of a session; as many as the host has cores when undefined
 * @throws not-found when the engine asked for is not installed or its device not there; unsupported for what the host
 * cannot do; bad-option for an unknown name
 */
export async function loadProvider(device: Device | 'auto', threads: number | undefined): Promise<Provider> {
  if (device !== 'auto' && !DEVICES.includes(device)) {
    throw new TesseraError('bad-option', `There is no device "${String(device)}".`, {
      hint: `Choose ${DEVICES.join(', ')} or auto.`,
    });
  }
  return isPage ? pageProvider(device, threads) : nodeProvider(device, threads);
}

/** Why a device cannot be used, in a sentence; undefined when it can. */
export interface DeviceState {
  readonly device: Device;
  /** The line of the engine, where it is there. */
  readonly about?: string;
  /** Why it is not there, and what to do. */
  readonly missing?: { readonly reason: string; readonly hint?: string };
}

/** Every device with its engine, or the reason why it is not there. Engines are loaded, and nothing is left open. */
export async function deviceStates(): Promise<readonly DeviceState[]> {
  const states: DeviceState[] = [];
  for (const device of DEVICES) {
    try {
      const { about } = await loadProvider(device, undefined);
      states.push({ device, about });
    } catch (error) {
      if (!(error instanceof TesseraError)) throw error;
      states.push({ device, missing: { reason: error.message, hint: error.hint } });
    }
  }
  return states;
}
