/** `tessera train`: the options; the work is in train-run.ts. */

import { Command, Option } from 'commander';
import { withArchitectures } from './architecture-options.js';
import { type LoraChoices, withLora } from './lora-choice.js';
import { type OnnxKind, onnxKinds } from './onnx-kinds.js';
import { OPTIMIZER_NAMES, type OptimizerName } from './optimizer-names.js';
import { examples, numberFrom, runJob, several, wholeNumber, withCommon, withEngine } from './options.js';

/** What the command line gave; the options of the architectures are beside these, under their own names. */
export interface TrainChoices extends Readonly<Record<string, unknown>>, LoraChoices {
  readonly text?: readonly string[];
  readonly field: string;
  readonly validation?: readonly string[];
  readonly out?: string;
  readonly fresh?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;

  /** gpt when absent. */
  readonly architecture?: string;
  /** The largest length of a row; an option of every architecture that reads windows. */
  readonly context?: number;
  readonly tokenizer?: string;
  readonly vocabulary?: number;
  readonly from?: string;
  readonly freeze?: readonly string[];

  readonly batch: number;
  readonly accumulate: number;
  readonly steps?: number;
  readonly minutes?: number;
  readonly rate?: number;
  readonly schedule: 'constant' | 'cosine' | 'wsd';
  readonly warmup?: number;
  readonly optimizer: OptimizerName;
  readonly weightDecay?: number;
  readonly clip: number;
  readonly ema?: number;
  readonly seed: number;
  readonly checkNumerics?: boolean;
  readonly rematerialize?: boolean;
  readonly precision?: 'float32' | 'mixed';

  readonly evalEvery?: number;
  readonly saveEvery?: number;
  readonly sampleEvery?: number;
  readonly samplePrompt?: string;
  readonly keep: number;
  readonly onnx: readonly OnnxKind[];

  readonly device?: string;
  readonly threads?: number;
}

/** The sub-command. */
export function trainCommand(): Command {
  const command = new Command('train')
    .description('Train a language model on text, or go on with a run that was stopped.')
    .option('--text <path...>', 'files, folders or patterns; .txt, .md, .jsonl, each also as .gz')
    .option('--column, --field <name>', 'the column of a table, or field of a JSON line, that holds the text', 'text')
    .option('--validation <path...>', 'text to measure bits per byte on while training (its first 256 KiB)')
    .option('--out <folder>', "the run's folder (default: runs/ and the architecture's name)")
    .option('--fresh', 'start anew where a run is')
    .option('--dry-run', 'only tell parameters, operations, memory and minutes; nothing is written');
  withArchitectures(command)
    .optionsGroup('Tokens and start:')
    .option('--tokenizer <file>', "a tokenizer.json, or 'bytes' (default: one is trained on the text)")
    .option('--vocabulary <n>', 'tokens of the tokenizer that is trained (default: 4096)', wholeNumber(257))
    .option('--from <folder>', 'a model to go on from, with its tokenizer')
    .option(
      '--freeze <pattern>',
      'parameters to leave as they are, such as embedding or blocks.0.*; repeatable',
      several,
    );
  withLora(command)
    .optionsGroup('Training:')
    .addOption(new Option('--optimizer <name>', 'how weights are moved').choices(OPTIMIZER_NAMES).default('adamw'))
    .option('--batch <n>', 'rows of a batch', wholeNumber(1), 16)
    .option('--accumulate <n>', 'batches of one update', wholeNumber(1), 1)
    .option('--steps <n>', 'updates', wholeNumber(1))
    .option(
      '--minutes <number>',
      'minutes, turned into a number of updates at the start (default: 10)',
      numberFrom(0.01),
    )
    .option('--rate <number>', 'highest learning rate (default: by architecture, size and optimizer)', numberFrom(0))
    .addOption(new Option('--schedule <name>', 'of the rate').choices(['constant', 'cosine', 'wsd']).default('cosine'))
    .option('--warmup <n>', 'updates of warm-up, or a share of all below 1 (default: 0.05)', numberFrom(0))
    .option('--weight-decay <number>', 'on matrices (default: by optimizer, 0.1 for adamw and muon)', numberFrom(0))
    .option('--clip <number>', 'largest global norm of the gradients', numberFrom(0), 1)
    .option('--ema <decay>', 'keep and use an average of the weights, such as 0.999', numberFrom(0, 0.999999))
    .option('--seed <n>', 'of all random numbers', wholeNumber(0), 0)
    .option('--check-numerics', 'find the operation in which a NaN begins; slower')
    .addOption(
      new Option('--precision <name>', 'of products: float32, or mixed, float16 with a loss scale, for GPUs')
        .choices(['float32', 'mixed'])
        .default('float32'),
    )
    .option('--rematerialize', 'compute the insides of blocks again for gradients: less memory, more sums')
    .optionsGroup('Looking and keeping:')
    .option('--eval-every <n>', 'updates between evaluations (default: a tenth of the run)', wholeNumber(1))
    .option('--save-every <n>', 'updates between checkpoints (default: a tenth of the run)', wholeNumber(1))
    .option('--sample-every <n>', 'updates between samples on the screen (default: none)', wholeNumber(1))
    .option('--sample-prompt <text>', 'what samples go on from')
    .option('--keep <n>', 'newest checkpoints to keep', wholeNumber(1), 2)
    .addOption(
      new Option('--onnx <kinds>', 'ONNX files to write, with commas: fp32, fp16, quantized or none')
        .default(['fp32'], 'fp32')
        .argParser(onnxKinds),
    )
    .optionsGroup('Other:');
  withCommon(withEngine(command));
  return examples(command, [
    'tessera train --text book.txt --minutes 5',
    'tessera train --text train/ --validation held-out.txt --size small --context 512 --out runs/small',
    'tessera train --text new.txt --from runs/small/model --rate 3e-4 --steps 500 --out runs/tuned',
    'tessera train --text new.txt --from runs/small/model --lora 8 --lora-targets q_proj,v_proj --out runs/adapted',
    'tessera train --text data.jsonl.gz --field body --tokenizer bytes --dry-run',
  ]).action((choices: TrainChoices) =>
    runJob(
      choices,
      async (job) => (await import('./train-run.js')).runTrain(choices, job),
      'Stopping after this update, with a checkpoint. Ctrl-C again ends at once.',
    ),
  );
}
