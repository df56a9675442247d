/** A causal language model opened for use: continuations, and the bits of a document, compiled when first asked for. */

import type { Runtime } from '../tensor/index.js';
import { decode, type StepDecoder, type TokenCoder } from './decoding.js';
import type { Runner } from './module.js';
import { openScorer, type ScoredModel } from './scoring.js';

/** What a causal model brings. */
export interface CausalParts {
  readonly coder: TokenCoder;
  readonly scored: ScoredModel;
  decoder(): Promise<StepDecoder & { dispose(): Promise<void> }>;
}

/** Opens a model. Nothing is compiled before it is used. */
export function causalRunner(runtime: Runtime, { coder, scored, decoder }: CausalParts): Required<Runner> {
  const decoding = once(decoder);
  const scoring = once(() => openScorer(runtime, scored));
  return {
    async *generate(prompts, choices) {
      yield* decode(await decoding.get(), coder, prompts, choices);
    },
    bits: async (document, choices) =>
      (await scoring.get()).bits(coder.encodeBytes(document), { ...choices, bytes: document.length }),
    dispose: async () => {
      await decoding.dispose();
      await scoring.dispose();
    },
  };
}

/** Something that is made when first asked for. */
export function once<P extends { dispose(): Promise<void> }>(make: () => Promise<P>) {
  let made: Promise<P> | undefined;
  return {
    get: (): Promise<P> => {
      made ??= make();
      return made;
    },
    dispose: async (): Promise<void> => (await made)?.dispose(),
  };
}
