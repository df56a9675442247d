/** What a loop over exported programs gives to sampling and scoring. */

import type { DecoderSession, DecoderStep, StepDecoder } from '../nn/decoding.js';

/** Rows that are being decoded by exported programs. */
export interface RunSession extends DecoderSession {
  /** Reads tokens as `read` does and gives the logits of all positions, `[batch * time * vocabulary]`, where it can. */
  readAll?(step: DecoderStep): Promise<Float32Array>;
}

/** Exported programs that decode. */
export interface RunDecoder extends StepDecoder {
  open(options: { readonly batch: number; readonly expected: number; readonly seed: number }): Promise<RunSession>;
  /** A token that stands before every prompt, where the model's documents begin with one. */
  readonly begin?: number;
  /** True when logits depend on draws: figures are then means over several. */
  readonly draws: boolean;
  dispose(): Promise<void>;
}
