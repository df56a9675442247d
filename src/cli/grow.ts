/** `tessera grow`: the options; the work is in grow-run.ts. */

import { Command } from 'commander';
import { examples, runJob, wholeNumber, withCommon } from './options.js';

/** What the command line gave. */
export interface GrowChoices {
  readonly tokensQkv?: number;
  readonly tokensO?: number;
  readonly tokensFfn?: number;
  readonly out?: string;
  readonly keepTau: boolean;
  readonly randomKeys?: boolean;
  readonly seed: number;
  /** False for `--no-onnx`. */
  readonly onnx: boolean;
  readonly json?: boolean;
}

/** The sub-command. */
export function growCommand(): Command {
  const command = new Command('grow')
    .description('Make a trained tokenformer larger by adding parameter tokens, without changing what it computes.')
    .argument('<folder>', 'a tokenformer, or the run that made it (its optimizer then goes on too)')
    .option('--tokens-qkv <n>', 'tokens of each query, key and value layer (default: as many as now)', wholeNumber(1))
    .option('--tokens-o <n>', 'tokens of the layer after attention', wholeNumber(1))
    .option('--tokens-ffn <n>', 'tokens of the feed-forward layer', wholeNumber(1))
    .option('--out <folder>', "the larger model's folder")
    .option('--no-keep-tau', 'tau of the new number of tokens, as the published loaders have it: changes the function')
    .option('--random-keys', 'random new keys, as the published PyTorch loader has them: changes the function')
    .option('--seed <n>', 'of the new rows', wholeNumber(0), 0)
    .option('--no-onnx', 'leave out the ONNX program');
  withCommon(command);
  return examples(command, [
    'tessera grow runs/tokenformer --tokens-qkv 576 --tokens-o 576 --tokens-ffn 2304 --out grown',
    'tessera train --from grown --text book.txt --steps 400 --out runs/grown',
  ]).action((folder: string, choices: GrowChoices) =>
    runJob(choices, async (job) => (await import('./grow-run.js')).runGrow(folder, choices, job)),
  );
}
