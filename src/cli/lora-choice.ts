/** The adapters of a run, as the command line chose them. */

import { type Command, InvalidArgumentError } from 'commander';
import { TesseraError } from '../host/error.js';
import { numberFrom, wholeNumber } from './options.js';

/** What the command line gave. */
export interface LoraChoices {
  /** The rank; adapters are trained when it is given. */
  readonly lora?: number;
  readonly loraAlpha?: number;
  readonly loraDropout?: number;
  readonly loraTargets?: readonly string[];
  readonly loraRankStabilized?: boolean;
  readonly dora?: boolean;
}

/** Adds the options. */
export function withLora(command: Command): Command {
  return command
    .optionsGroup('Adapters (with --from; the run writes adapter/ in the layout of PEFT):')
    .option('--lora <rank>', 'train low-rank adapters of this rank and leave the model as it is', wholeNumber(1))
    .option('--lora-alpha <number>', 'they are scaled by alpha / rank (default: the rank)', numberFrom(0.001))
    .option('--lora-targets <names>', 'modules, with commas: q_proj,v_proj, patterns or all-linear', names)
    .option('--lora-dropout <share>', 'of their inputs (default: 0)', numberFrom(0, 0.99))
    .option('--lora-rank-stabilized', 'scale by alpha / sqrt(rank)')
    .option('--dora', 'also train the lengths of the columns');
}

function names(text: string): readonly string[] {
  const found = text.split(',').map((name) => name.trim());
  if (found.some((name) => name === '')) throw new InvalidArgumentError('It takes names with commas between them.');
  return found;
}

/** @throws bad-option for options of adapters without a rank, and for a rank without a model to go on from. */
export function refuseLoneLora(choices: LoraChoices & { readonly from?: string }): void {
  if (choices.lora !== undefined) {
    if (choices.from !== undefined) return;
    throw new TesseraError('bad-option', '--lora adapts a model that is there, and --from names none.', {
      hint: 'For example: tessera train --text new.txt --from runs/small --lora 8',
    });
  }
  const lone = (
    [
      ['--lora-alpha', choices.loraAlpha],
      ['--lora-targets', choices.loraTargets],
      ['--lora-dropout', choices.loraDropout],
      ['--lora-rank-stabilized', choices.loraRankStabilized],
      ['--dora', choices.dora],
    ] as const
  ).find(([, value]) => value !== undefined);
  if (lone === undefined) return;
  throw new TesseraError('bad-option', `${lone[0]} is for adapters, whose rank is missing.`, {
    hint: 'Give --lora with a rank, such as 8.',
  });
}
