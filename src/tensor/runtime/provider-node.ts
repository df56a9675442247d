/**
 * Engines in Node. Both packages are named by variables, so that bundlers for pages leave them alone.
 *
 * What the native package brings: the CPU and WebGPU are in it; CUDA is a library beside it that its install script
 * fetches, and asks for CUDA 12 and cuDNN 9 on the machine.
 */

import { cores, stat } from '#host';
import { TesseraError } from '../../host/error.js';
import { type Device, fallBack, ONNXRUNTIME_VERSION, type OrtModule, type Provider, unwrap } from './provider-types.js';

const NATIVE_HINT = `Install the native engine with: npm i onnxruntime-node@${ONNXRUNTIME_VERSION} --ignore-scripts`;
const CUDA_HINT = `Install CUDA 12 with cuDNN 9, then: npm i onnxruntime-node@${ONNXRUNTIME_VERSION} --onnxruntime-node-install=cuda12`;
const WEBGPU_HINT =
  'WebGPU needs a graphics driver with Vulkan (Linux), Metal (macOS) or Direct3D 12 (Windows). A software device can be named by VK_ICD_FILENAMES.';

/** Threads of WebAssembly belong to the process's thread and are settled by the first session in it. */
let wasmThreads: number | undefined;

async function native(): Promise<OrtModule> {
  const name = 'onnxruntime-node';
  try {
    return unwrap(await import(name));
  } catch (cause) {
    throw new TesseraError('not-found', 'The native ONNX Runtime is not installed.', { hint: NATIVE_HINT, cause });
  }
}

async function cpu(threads: number): Promise<Provider> {
  const { InferenceSession, Tensor } = await native();
  return { device: 'cpu', InferenceSession, Tensor, threads, about: aboutNative('cpu') };
}

function aboutNative(device: Device): string {
  return `native ONNX Runtime ${ONNXRUNTIME_VERSION} (${device})`;
}

async function wasm(threads: number): Promise<Provider> {
  const name = 'onnxruntime-web';
  const { InferenceSession, Tensor, env } = unwrap(await import(name));
  wasmThreads ??= threads;
  env.wasm.numThreads = wasmThreads;
  env.logLevel = 'error';
  const about = `ONNX Runtime ${ONNXRUNTIME_VERSION} on WebAssembly`;
  return { device: 'wasm', InferenceSession, Tensor, threads: wasmThreads, about };
}

/** The CUDA library's places in the native package, by platform. */
const CUDA_LIBRARIES = [
  'linux/x64/libonnxruntime_providers_cuda.so',
  'linux/arm64/libonnxruntime_providers_cuda.so',
  'win32/x64/onnxruntime_providers_cuda.dll',
];

/** Whether the CUDA library was installed beside the native package. */
async function hasCudaLibrary(): Promise<boolean> {
  const main = import.meta.resolve('onnxruntime-node');
  for (const library of CUDA_LIBRARIES) {
    const { pathname } = new URL(`../bin/napi-v6/${library}`, main);
    if ((await stat(decodeURIComponent(pathname).replace(/^\/([A-Za-z]:)/, '$1'))) !== undefined) return true;
  }
  return false;
}

async function cuda(threads: number): Promise<Provider> {
  const { InferenceSession, Tensor } = await native();
  // ONNX Runtime would write of a library that is not there to standard error before it throws.
  if (!(await hasCudaLibrary())) {
    throw new TesseraError('not-found', 'The device "cuda" is not there: its library is not installed.', {
      hint: CUDA_HINT,
    });
  }
  await tried(InferenceSession, 'cuda').catch((cause) => {
    const reason = 'The device "cuda" is not there: its library is installed and found no card, or no CUDA.';
    throw new TesseraError('not-found', reason, { hint: CUDA_HINT, cause });
  });
  return { device: 'cuda', InferenceSession, Tensor, threads, about: aboutNative('cuda') };
}

async function webgpu(threads: number): Promise<Provider> {
  const { InferenceSession, Tensor } = await native();
  await tried(InferenceSession, 'webgpu').catch((cause) => {
    const reason = 'The device "webgpu" is not there: no graphics adapter was found.';
    throw new TesseraError('not-found', reason, { hint: WEBGPU_HINT, cause });
  });
  return { device: 'webgpu', InferenceSession, Tensor, threads, about: aboutNative('webgpu') };
}

/** An ONNX model of one node, `y = -x`: as bytes, so that who only runs models need not carry what writes them. */
const PROBE = 'CAo6JgoLCgF4EgF5IgNOZWcSAXBaCQoBeBIECgIIAWIJCgF5EgQKAggBQgIQFQ==';

/** Opens a session of one node on a device: the way to know whether it is there. */
async function tried(InferenceSession: OrtModule['InferenceSession'], device: Device): Promise<void> {
  const options = { executionProviders: [device], logSeverityLevel: 4 } as const;
  const model = Uint8Array.from(atob(PROBE), (character) => character.charCodeAt(0));
  await (await InferenceSession.create(model, options)).release();
}

async function best(threads: number): Promise<Provider> {
  try {
    if (await hasCudaLibrary()) {
      try {
        return await cuda(threads);
      } catch (error) {
        if (!(error instanceof TesseraError)) throw error;
        return fallBack(await cpu(threads), `a CUDA library is installed and could not be used. ${CUDA_HINT}`);
      }
    }
    return await cpu(threads);
  } catch (error) {
    if (!(error instanceof TesseraError)) throw error;
    return fallBack(await wasm(threads), `several times slower than the native engine. ${NATIVE_HINT}`);
  }
}

/** The engine for a device in Node. */
export async function nodeProvider(device: Device | 'auto', wanted: number | undefined): Promise<Provider> {
  const threads = wanted ?? cores();
  switch (device) {
    case 'cpu':
      return cpu(threads);
    case 'wasm':
      return wasm(threads);
    case 'auto':
      return best(threads);
    case 'webgpu':
      return webgpu(threads);
    case 'cuda':
      return cuda(threads);
  }
}
