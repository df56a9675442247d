/** A thread of k-means: its ranges of steps over memory that all threads share. */

import { parentPort } from '#host';
import { type KMeansArrays, type KMeansStep, perform } from './k-means-kernel.js';

/** What a thread is told: the arrays once, then steps. It answers each step with an empty message. */
export type KMeansMessage = { readonly arrays: KMeansArrays } | { readonly step: KMeansStep };

const port = parentPort();
let arrays: KMeansArrays | undefined;
port.onMessage((message) => {
  const told = message as KMeansMessage;
  if ('arrays' in told) arrays = told.arrays;
  else {
    if (arrays !== undefined) perform(arrays, told.step);
    port.postMessage(null);
  }
});
