/** Every training step that `npm run bench` measures, by name. */

import { gpt } from 'tessera-kit/language-models';
import type { Module, Objective } from 'tessera-kit/nn';
import type { Arrays } from 'tessera-kit/tensor';
import { byteTokenizer } from 'tessera-kit/tokenizers';
import { convStep } from './_conv-step.js';
import { crossStep } from './_cross-step.js';
import { SIZES, type StepSize, tokens } from './_gpt-step.js';
import { recurrenceStep } from './_recurrence-step.js';

/** A model on a batch that stays the same. */
export interface Row<P, B, O> {
  readonly model: Module<P, B, O>;
  readonly objective: Objective<B, O>;
  readonly batch: Arrays<B>;
  readonly rows: number;
}

/** The model of a size of the GPT's step. */
export function gptModel(size: StepSize) {
  const { layers, width, heads, vocabulary, length } = size;
  const tokenizer = byteTokenizer();
  return gpt({ tokenizer, style: 'gpt2', layers, width, heads, vocabulary, context: length, endOfText: 0 });
}

function gptRow(size: StepSize) {
  const model = gptModel(size);
  return { model, objective: model.objective, batch: tokens(size), rows: size.batch };
}

/** Takes any row, whatever its types. */
export type RowUser<R> = <P, B, O>(row: Row<P, B, O>) => R;

/** Hands the row of that name to `use`; undefined when there is none. */
export function withRow<R>(name: string, use: RowUser<R>): R | undefined {
  switch (name) {
    case 'small':
      return use(gptRow(SIZES.small));
    case 'large':
      return use(gptRow(SIZES.large));
    case 'conv':
      return use(convStep);
    case 'cross':
      return use(crossStep);
    case 'lstm':
      return use(recurrenceStep('lstm'));
    case 'mingru':
      return use(recurrenceStep('mingru'));
    default:
      return undefined;
  }
}

/** Names of the rows. */
export const ROWS = ['small', 'conv', 'cross', 'lstm', 'mingru', 'large'] as const;
