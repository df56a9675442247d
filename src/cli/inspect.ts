/** `tessera inspect`: what is in a model's folder or file. */

import { Command } from 'commander';
import { examples, runJob, withCommon } from './options.js';

/** The sub-command. */
export function inspectCommand(): Command {
  const command = new Command('inspect')
    .description('Show tensors, tokenizer, and ONNX inputs and outputs.')
    .argument(
      '<path>',
      'the folder of a model, run or checkpoint, or a .safetensors, .bin, .pt, .onnx or tokenizer.json file',
    );
  withCommon(command);
  return examples(command, [
    'tessera inspect runs/gpt/model',
    'tessera inspect runs/gpt/model/onnx/model.onnx --json',
    'tessera inspect tokenizer.json',
  ]).action((path: string, choices: { readonly json?: boolean }) =>
    runJob(choices, async ({ output }) => (await import('./inspect-run.js')).inspect(path, output)),
  );
}
