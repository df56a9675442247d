/** `tessera eval`: how many bits a model needs for a text. */

import { Command } from 'commander';
import { TesseraError } from '../host/error.js';
import { examples, type Job, needed, runJob, wholeNumber, withCommon, withEngine } from './options.js';
import { count, table } from './output.js';

interface EvalChoices {
  readonly adapter?: string;
  readonly text?: readonly string[];
  readonly field: string;
  readonly bytes?: number;
  readonly device?: string;
  readonly threads?: number;
  readonly json?: boolean;
}

/** The sub-command. */
export function evalCommand(): Command {
  const command = new Command('eval')
    .description('Measure a model on text: bits per byte of the original text, and perplexity per token.')
    .argument('<folder>', 'a model, or the run that made it')
    .option('--adapter <folder>', 'an adapter for the model, or the run that made it')
    .option('--text <path...>', 'files, folders or patterns')
    .option('--column, --field <name>', 'the column of a table, or field of a JSON line, that holds the text', 'text')
    .option('--bytes <n>', 'only the first n bytes', wholeNumber(1));
  withCommon(withEngine(command));
  return examples(command, [
    'tessera eval runs/gpt/model --text held-out.txt',
    'tessera eval runs/gpt/model --text test/ --bytes 262144 --json',
  ]).action((folder: string, choices: EvalChoices) => runJob(choices, (job) => evaluate(folder, choices, job)));
}

/** A model without a likelihood cannot be measured in bits. */
function unlikely(name: string): TesseraError {
  return new TesseraError('unsupported', `A ${name} gives no probabilities of texts, so there are no bits to count.`);
}

async function evaluate(folder: string, choices: EvalChoices, { output, signal }: Job): Promise<void> {
  const text = needed(choices.text, '--text', `tessera eval ${folder} --text held-out.txt`);
  const { openEngine, openModel } = await import('./engine.js');
  const { openCorpus } = await import('../formats/index.js');
  const { measureText } = await import('../measures/index.js');
  const corpus = await openCorpus(text, { field: choices.field, signal });
  const loaded = await openModel(folder, choices.adapter);
  const runtime = await openEngine(choices, output);
  const total = Math.min(corpus.describe().bytes, choices.bytes ?? Number.POSITIVE_INFINITY);
  const progress = output.progress('Measuring: byte', total);
  try {
    const { bits, dispose } = await loaded.model.open(runtime, await loaded.parameters());
    if (bits === undefined) throw unlikely(loaded.model.name);
    const started = performance.now();
    const figures = await measureText({ bits }, corpus, {
      countTokens: (bytes) => loaded.model.tokenizer.encodeBytes(bytes).length,
      maxBytes: choices.bytes,
      signal,
      report: (bytes) => progress.update(Math.min(bytes, total)),
    });
    const seconds = (performance.now() - started) / 1000;
    await dispose();
    progress.end();
    output.result({ model: loaded.folder, ...figures, seconds }, () =>
      table(
        ['measure', 'value'],
        [
          ['bits per byte', figures.bitsPerByte.toFixed(4)],
          ...(figures.error === undefined ? [] : [['its standard error', figures.error.toFixed(4)]]),
          ['perplexity per token', (figures.perplexity ?? Number.NaN).toFixed(2)],
          ['bytes', count(figures.bytes)],
          ['tokens', count(figures.tokens ?? 0)],
          ['documents', count(figures.documents)],
        ],
      ),
    );
  } finally {
    progress.end();
    await loaded.close();
    await runtime.dispose();
  }
}
