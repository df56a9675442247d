/** The worker's side of a remote engine: answers each request with a result or an error, in the order they came. */

import { type ParentPort, parentPort } from '#host';
import { TesseraError } from '../../host/error.js';
import { isNDArray } from '../ndarray.js';
import { type Engine, localEngine, type RunResult } from './engine.js';
import { isRuntimeThread, startRuntimeThread } from './provider-page.js';
import type { Request, Response } from './remote.js';

const engine = localEngine({ owns: true });

/** The buffers of the arrays in a result; they move to the caller instead of being copied. */
function buffersOf(result: unknown): ArrayBufferLike[] {
  const arrays = Array.isArray(result)
    ? result.filter(isNDArray)
    : ((result as Partial<RunResult> | undefined)?.out ?? []);
  return [...new Set(arrays.map((array) => array.data.buffer))];
}

async function answer(port: ParentPort, { id, method, parameters }: Request): Promise<void> {
  try {
    const operation = engine[method] as (...parameters: readonly unknown[]) => Promise<unknown>;
    const result = await operation.apply(engine as Engine, [...parameters]);
    port.postMessage({ id, result } satisfies Response, buffersOf(result));
  } catch (cause) {
    const error = cause instanceof Error ? cause : new Error(String(cause));
    const { message, stack } = error;
    const known = error instanceof TesseraError ? { code: error.code, hint: error.hint } : {};
    port.postMessage({ id, error: { message, stack, ...known } } satisfies Response);
  }
}

if (isRuntimeThread()) void startRuntimeThread();
else {
  const port = parentPort();
  port.onMessage((message) => void answer(port, message as Request));
}
