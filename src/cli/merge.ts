/** `tessera merge`: the options; the work is in merge-run.ts. */

import { Command, Option } from 'commander';
import { type OnnxKind, onnxKinds } from './onnx-kinds.js';
import { examples, runJob, withCommon } from './options.js';

/** What the command line gave. */
export interface MergeChoices {
  readonly out?: string;
  readonly onnx: readonly OnnxKind[];
  readonly json?: boolean;
}

/** The sub-command. */
export function mergeCommand(): Command {
  const command = new Command('merge')
    .description("Put an adapter (LoRA or DoRA, also one of PEFT's) into its base model: a model like any other.")
    .argument('<folder>', 'the base model, or the run that made it')
    .argument('<adapter>', "the adapter's folder, or the run that made it")
    .option('--out <folder>', "the merged model's folder")
    .addOption(
      new Option('--onnx <kinds>', 'ONNX files to write, with commas: fp32, fp16, quantized or none')
        .default(['fp32'], 'fp32')
        .argParser(onnxKinds),
    );
  withCommon(command);
  return examples(command, [
    'tessera train --text new.txt --from runs/small --lora 8 --steps 500 --out runs/tuned',
    'tessera merge runs/small runs/tuned --out merged',
    'tessera merge base-model adapter --out merged --onnx fp32,quantized',
  ]).action((folder: string, adapter: string, choices: MergeChoices) =>
    runJob(choices, async (job) => (await import('./merge-run.js')).runMerge(folder, adapter, choices, job)),
  );
}
