/**
 * The decoder as one ONNX program in the layout that transformers.js and optimum use: `input_ids`, `attention_mask`,
 * `position_ids` and `past_key_values.N.key|value` in, `logits` and `present.N.key|value` out, with named batch and
 * time axes.
 */

import { type CachedRows, frozen, joined } from '../../nn/index.js';
import { type Arrays, exportProgram, type Lowered, reshape, type Spec, type Tensor } from '../../tensor/index.js';
import { type GptParameters, hiddenStates, logitsOf } from './model.js';
import type { GptOptions } from './options.js';

interface DecoderInput {
  readonly input_ids: Tensor;
  readonly attention_mask: Tensor;
  readonly position_ids: Tensor;
  readonly past_key_values: readonly CachedRows[];
}

/** The decoder with cache inputs and outputs, its weights inside. */
export function exportDecoder(options: GptOptions, parameters: Arrays<GptParameters>): Lowered {
  const past: Spec = { dtype: 'float32', shape: ['batch_size', options.kvHeads, 'past_sequence_length', options.head] };
  const tokens: Spec = { dtype: 'int64', shape: ['batch_size', 'sequence_length'] };
  const weights = frozen<GptParameters>(parameters);
  return exportProgram<Record<string, never>, DecoderInput, unknown>(
    (_state, input, call) => {
      const present: CachedRows[] = [];
      const attend = joined(input.past_key_values, input.attention_mask, present);
      const hidden = hiddenStates(options, weights, input.input_ids, { attend, positions: input.position_ids }, call);
      const logits = reshape(logitsOf(weights, hidden, call), ['batch_size', 'sequence_length', options.vocabulary]);
      return { out: { logits, present } };
    },
    {
      state: {},
      input: {
        input_ids: tokens,
        attention_mask: { dtype: 'int64', shape: ['batch_size', 'past_sequence_length + sequence_length'] },
        position_ids: tokens,
        past_key_values: Array.from({ length: options.layers }, () => ({ key: past, value: past })),
      },
    },
  );
}
