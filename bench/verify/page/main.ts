/** The page: trains in a thread and watches how long it itself was held up meanwhile. */

import type { ScriptOptions, ScriptResult } from './script.js';

/** What the page tells of a run. */
export interface PageAnswer {
  readonly result?: ScriptResult;
  readonly error?: { readonly message: string; readonly code?: string; readonly hint?: string };
  readonly isolated: boolean;
  /** Longest milliseconds between two turns of the page's own thread while the script ran. */
  readonly longestPause: number;
}

const TICK = 10;

function runInPage(options: ScriptOptions): Promise<PageAnswer> {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  let last = performance.now();
  let longestPause = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    longestPause = Math.max(longestPause, now - last);
    last = now;
  }, TICK);
  return new Promise((resolve) => {
    const end = (answer: Pick<PageAnswer, 'result' | 'error'>): void => {
      clearInterval(timer);
      worker.terminate();
      resolve({ ...answer, isolated: crossOriginIsolated, longestPause });
    };
    worker.onmessage = ({ data }) => end(data);
    worker.onerror = ({ message }) => end({ error: { message: message || 'The thread did not start.' } });
    worker.postMessage(options);
  });
}

Object.assign(globalThis, { runInPage });
