/**
 * Engines in a page: WebAssembly, and WebGPU where the browser has it. They come from two builds of onnxruntime-web,
 * each with its own binary, and only the one that is used is fetched.
 */

import { cores, isPage, sharesMemory } from '#host';
import { TesseraError } from '../../host/error.js';
import { type Device, fallBack, ONNXRUNTIME_VERSION, type OrtModule, type Provider, unwrap } from './provider-types.js';

const ISOLATION_HINT =
  'Serve the page with the headers "Cross-Origin-Opener-Policy: same-origin" and "Cross-Origin-Embedder-Policy: require-corp", or ask for one thread.';
const WEBGPU_HINT = 'Open the page over https or from localhost in a browser with WebGPU, or choose wasm.';

let wasmThreads: number | undefined;

/** The part of WebGPU's interface that is looked at here. */
interface Gpu {
  requestAdapter(): Promise<Adapter | null>;
}
interface Adapter {
  readonly info?: {
    readonly vendor?: string;
    readonly architecture?: string;
    readonly description?: string;
    readonly isFallbackAdapter?: boolean;
  };
}

function gpu(): Gpu | undefined {
  return (globalThis.navigator as { readonly gpu?: Gpu } | undefined)?.gpu;
}

/** Threads that wait for work keep their cores busy, and the page and its own threads need some too. */
const MOST_THREADS = 4;

/**
 * Threads a page may have: by default half of the cores, up to four; one where memory cannot be shared.
 * @throws unsupported when more were asked for
 */
function pageThreads(wanted: number | undefined): number {
  if (sharesMemory()) return wanted ?? Math.min(MOST_THREADS, Math.ceil(cores() / 2));
  if (wanted !== undefined && wanted > 1) {
    throw new TesseraError(
      'unsupported',
      `A page that is not cross-origin isolated has one thread, not ${wanted}: its threads cannot share memory.`,
      { hint: ISOLATION_HINT },
    );
  }
  return 1;
}

function configured(module: OrtModule, threads: number): number {
  wasmThreads ??= threads;
  module.env.wasm.numThreads = wasmThreads;
  module.env.logLevel = 'error';
  return wasmThreads;
}

/**
 * Whether this is a thread of ONNX Runtime itself, by the name that it gives them. A bundler that puts an engine's thread
 * and what it imports into one script makes the runtime start its own threads from that script too.
 */
export function isRuntimeThread(): boolean {
  const { name } = globalThis as { readonly name?: unknown };
  return isPage && typeof name === 'string' && name.startsWith('em-pthread');
}

/** Loads the runtime, which then serves the thread. */
export async function startRuntimeThread(): Promise<void> {
  await import('onnxruntime-web/wasm');
}

async function wasm(wanted: number | undefined): Promise<Provider> {
  const asked = pageThreads(wanted);
  const module = unwrap(await import('onnxruntime-web/wasm'));
  const threads = configured(module, asked);
  const alone = sharesMemory() ? '' : ', one thread since the page is not cross-origin isolated';
  const about = `ONNX Runtime ${ONNXRUNTIME_VERSION} on WebAssembly${alone}`;
  return { device: 'wasm', InferenceSession: module.InferenceSession, Tensor: module.Tensor, threads, about };
}

/** The page's adapter. @throws unsupported without WebGPU, not-found without an adapter. */
async function adapterOf(): Promise<Adapter> {
  const there = gpu();
  if (there === undefined) {
    throw new TesseraError('unsupported', 'This page has no WebGPU.', { hint: WEBGPU_HINT });
  }
  const adapter = await there.requestAdapter();
  if (adapter === null) {
    throw new TesseraError('not-found', 'The page has WebGPU and no adapter for it.', { hint: WEBGPU_HINT });
  }
  return adapter;
}

function nameOf({ info }: Adapter): string {
  return info?.description || [info?.vendor, info?.architecture].filter(Boolean).join(' ') || 'webgpu';
}

function isSoftware({ info }: Adapter): boolean {
  return info?.isFallbackAdapter === true || info?.architecture === 'swiftshader';
}

async function webgpu(adapter: Adapter): Promise<Provider> {
  const module = unwrap(await import('onnxruntime-web/webgpu'));
  const threads = configured(module, 1);
  const about = `ONNX Runtime ${ONNXRUNTIME_VERSION} on WebGPU (${nameOf(adapter)})`;
  return { device: 'webgpu', InferenceSession: module.InferenceSession, Tensor: module.Tensor, threads, about };
}

async function best(wanted: number | undefined): Promise<Provider> {
  if (gpu() === undefined) return fallBack(await wasm(wanted), 'the page has no WebGPU');
  const adapter = await adapterOf().catch(() => undefined);
  if (adapter === undefined) return fallBack(await wasm(wanted), 'the page has no WebGPU adapter');
  if (isSoftware(adapter)) return fallBack(await wasm(wanted), "the page's WebGPU device is software");
  return webgpu(adapter);
}

/** The engine for a device in a page. @throws unsupported for the native devices. */
export async function pageProvider(device: Device | 'auto', threads: number | undefined): Promise<Provider> {
  switch (device) {
    case 'wasm':
      return wasm(threads);
    case 'webgpu':
      return webgpu(await adapterOf());
    case 'auto':
      return best(threads);
    default:
      throw new TesseraError('unsupported', `A page has no device "${device}".`, {
        hint: 'Choose webgpu, wasm or auto.',
      });
  }
}
