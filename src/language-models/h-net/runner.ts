/** An H-Net opened for use: continuations, the bits of a document, and where it cuts a text. */

import { decode, frozen, once, openScorer, type Runner } from '../../nn/index.js';
import type { Arrays, Runtime } from '../../tensor/index.js';
import type { Tokenizer } from '../../tokenizers/index.js';
import { begun } from './bytes.js';
import { openHNetDecoder } from './decoder.js';
import { forward, type HNetParameters } from './model.js';
import { BOS, type HNetOptions, VOCABULARY } from './options.js';
import { openSegmenter, type Segmentation } from './segment.js';

/** An H-Net opened for use. */
export interface HNetRunner extends Required<Runner> {
  /** Where a text is cut, stage by stage. */
  segment(text: string | Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<Segmentation>;
}

/** Opens a model. Programs are compiled on first use. */
export async function openHNetRunner(
  runtime: Runtime,
  options: HNetOptions,
  weights: Arrays<HNetParameters>,
  tokenizer: Tokenizer,
): Promise<HNetRunner> {
  const decoding = once(() => openHNetDecoder(runtime, options, weights));
  const scoring = once(() =>
    openScorer(runtime, {
      context: options.context,
      vocabulary: VOCABULARY,
      // What begins a document stands before the first byte, and is not counted.
      endOfText: BOS,
      logits: (ids, call) => forward(options, frozen<HNetParameters>(weights), ids, call).logits,
    }),
  );
  const coder = {
    vocabulary: { size: VOCABULARY },
    encodeBytes: begun,
    createDecoder: () => tokenizer.createDecoder(),
  };
  const segmenter = once(() => openSegmenter(runtime, options, frozen<HNetParameters>(weights)));
  return {
    async *generate(prompts, choices) {
      yield* decode(await decoding.get(), coder, prompts, choices);
    },
    bits: async (document, choices) => (await scoring.get()).bits(document, { ...choices, bytes: document.length }),
    segment: async (text, choices) => (await segmenter.get()).segment(text, choices),
    dispose: async () => {
      await decoding.dispose();
      await scoring.dispose();
      await segmenter.dispose();
    },
  };
}
