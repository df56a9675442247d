/** `tessera inspect`: what is in a model's folder or file, a table, a sound or a picture. */

import { Command } from 'commander';
import { examples, runJob, withCommon } from './options.js';

/** The sub-command. */
export function inspectCommand(): Command {
  const command = new Command('inspect')
    .description('Show what is in a file: tensors, a tokenizer, an ONNX model, a table, a sound, a picture.')
    .argument(
      '<path>',
      'the folder of a model, run or checkpoint, or a .safetensors, .bin, .pt, .onnx, .parquet, .wav, .png, .jpg or tokenizer.json file',
    );
  withCommon(command);
  return examples(command, [
    'tessera inspect runs/gpt/model',
    'tessera inspect runs/gpt/model/onnx/model.onnx --json',
    'tessera inspect tokenizer.json',
    'tessera inspect articles.parquet',
  ]).action((path: string, choices: { readonly json?: boolean }) =>
    runJob(choices, async ({ output }) => (await import('./inspect-run.js')).inspect(path, output)),
  );
}
