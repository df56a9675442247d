/** The machine that figures were measured on, in words. */

import { cores, platform, processor, totalMemory } from '#host';
import { type Device, ONNXRUNTIME_VERSION, type Runtime } from '../tensor/index.js';

const ENGINES: Readonly<Record<Device, string>> = {
  cpu: 'native',
  wasm: 'WebAssembly',
  webgpu: 'WebGPU',
  cuda: 'CUDA',
};

/** Cores, processor, memory, engine and program; neither the machine's name nor a path. */
export function machineOf({ device, threads }: Pick<Runtime, 'device' | 'threads'>): string {
  const memory = totalMemory();
  return [
    `${cores()} cores${processor() === '' ? '' : ` (${processor()})`}`,
    ...(memory > 0 ? [`${(memory / 2 ** 30).toFixed(0)} GiB memory`] : []),
    `ONNX Runtime ${ONNXRUNTIME_VERSION} (${ENGINES[device]}, ${threads} ${threads === 1 ? 'thread' : 'threads'})`,
    // The program alone: what follows names the system's build.
    platform.split(',', 1).join(''),
  ].join(', ');
}
