/** Sessions of ONNX Runtime as Tessera opens them, and arrays into and out of them. */

import type * as Ort from 'onnxruntime-common';
import type { DType, NDArray } from '../ndarray.js';
import type { Provider } from './provider.js';

/** An opened ONNX program. */
export type Session = Ort.InferenceSession;
/** A value that a session takes or gives. */
export type SessionValue = Ort.Tensor;

/** How a session is opened. */
export interface SessionOptions {
  readonly threads: number;
  /** Runs the runtime's optimizations: worth it where weights are constants, seconds lost in large training graphs. */
  readonly optimized: boolean;
  /** Outputs that stay on the device. */
  readonly resident?: readonly string[];
  /** Refuse the model when an operation of it would leave the device. */
  readonly deviceOnly?: boolean;
}

/** Opens a model given as bytes or as the path of a file. */
export async function openSession(
  { InferenceSession, device }: Provider,
  model: Uint8Array | string,
  { threads, optimized, resident = [], deviceOnly = false }: SessionOptions,
): Promise<Session> {
  const options: Ort.InferenceSession.SessionOptions = {
    executionProviders: [device],
    graphOptimizationLevel: optimized ? 'all' : 'disabled',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    // What is refused on purpose is no news.
    logSeverityLevel: deviceOnly ? 4 : 3,
    ...(resident.length === 0
      ? {}
      : { preferredOutputLocation: Object.fromEntries(resident.map((name) => [name, 'gpu-buffer'] as const)) }),
    extra: {
      session: {
        // Idle workers of one session must not spin on the cores that another needs.
        force_spinning_stop: '1',
        intra_op: { allow_spinning: '1' },
        ...(deviceOnly ? { disable_cpu_ep_fallback: '1' } : {}),
      },
    },
  };
  return typeof model === 'string'
    ? await InferenceSession.create(model, options)
    : await InferenceSession.create(model, options);
}

/** True for the error of a session that was refused because operations of it would leave the device. */
export function leavesDevice(error: unknown): boolean {
  return error instanceof Error && /fallback to CPU EP has been explicitly disabled/i.test(error.message);
}

/** An array as a session takes it: the same memory. */
export function toValue({ Tensor }: Provider, { dtype, data, shape }: NDArray): SessionValue {
  return new Tensor(dtype, data as Float32Array, shape);
}

/** What a session gave, as an array: the same memory. */
export function toArray(value: SessionValue): NDArray {
  return { dtype: value.type as DType, shape: value.dims, data: value.data as Float32Array };
}

/** True for a value whose memory is the device's. */
export function isResident(value: SessionValue): boolean {
  return value.location === 'gpu-buffer';
}
