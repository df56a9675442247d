/** A thread that encodes batches of documents. */

import { parentPort } from '#host';
import { isJsonObject, parseJson } from '../formats/json.js';
import { encodeBatch, type TextBatch } from './encode-batch.js';
import { loadTokenizer } from './open.js';
import type { EncodeOptions, SavedFile, Tokenizer } from './tokenizer.js';

/** What a thread is told: the tokenizer's files once, then batches, each of which it answers. */
export type EncodeOrder =
  | { readonly files: readonly SavedFile[]; readonly options: EncodeOptions }
  | { readonly batch: TextBatch };

/** An answer: the ids of a batch, or why there are none. */
export type EncodeAnswer =
  | { readonly ids: Int32Array<ArrayBuffer>; readonly counts: Int32Array<ArrayBuffer> }
  | { readonly failed: string };

const port = parentPort();
let tokenizer: Tokenizer | undefined;
let options: EncodeOptions = {};
port.onMessage((message) => {
  const order = message as EncodeOrder;
  try {
    if ('files' in order) {
      const text = (name: string): string => order.files.find(({ file }) => file === name)?.text ?? '{}';
      const config = parseJson(text('tokenizer_config.json'), 'tokenizer_config.json');
      tokenizer = loadTokenizer(text('tokenizer.json'), isJsonObject(config) ? { config } : {});
      options = order.options;
    } else if (tokenizer !== undefined) {
      const { ids, counts } = encodeBatch(tokenizer, order.batch, options);
      const answer: EncodeAnswer = { ids, counts };
      port.postMessage(answer, [ids.buffer, counts.buffer]);
    }
  } catch (error) {
    const answer: EncodeAnswer = { failed: error instanceof Error ? error.message : String(error) };
    port.postMessage(answer);
  }
});
