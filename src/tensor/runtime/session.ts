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
}

/** Opens a model given as bytes or as the path of a file. */
export async function openSession(
  { InferenceSession, device }: Provider,
  model: Uint8Array | string,
  { threads, optimized }: SessionOptions,
): Promise<Session> {
  const options: Ort.InferenceSession.SessionOptions = {
    executionProviders: [device],
    graphOptimizationLevel: optimized ? 'all' : 'disabled',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    logSeverityLevel: 3,
    // Idle workers of one session must not spin on the cores that another needs.
    extra: { session: { force_spinning_stop: '1', intra_op: { allow_spinning: '1' } } },
  };
  return typeof model === 'string'
    ? await InferenceSession.create(model, options)
    : await InferenceSession.create(model, options);
}

/** An array as a session takes it: the same memory. */
export function toValue({ Tensor }: Provider, { dtype, data, shape }: NDArray): SessionValue {
  return new Tensor(dtype, data as Float32Array, shape);
}

/** What a session gave, as an array: the same memory. */
export function toArray(value: SessionValue): NDArray {
  return { dtype: value.type as DType, shape: value.dims, data: value.data as Float32Array };
}
