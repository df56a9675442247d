/** `tessera segment`: where a model that learns its own tokens cuts a text. */

import { Command } from 'commander';
import { TesseraError } from '../host/error.js';
import type { HNetRunner, Segmentation } from '../language-models/index.js';
import type { Runner } from '../nn/index.js';
import { examples, type Job, needed, runJob, withCommon, withEngine } from './options.js';
import { count } from './output.js';

interface SegmentChoices {
  readonly text?: string;
  readonly device?: string;
  readonly threads?: number;
  readonly json?: boolean;
}

/** The sub-command. */
export function segmentCommand(): Command {
  const command = new Command('segment')
    .description('Show where a model that learns its own tokens (h-net) cuts a text, stage by stage.')
    .argument('<folder>', 'a model, or the run that made it')
    .option('--text <file|text>', 'a file, or the text itself');
  withCommon(withEngine(command));
  return examples(command, [
    'tessera segment runs/h-net --text "It was the best of times"',
    'tessera segment runs/h-net/model --text chapter.txt --json > spans.json',
  ]).action((folder: string, choices: SegmentChoices) => runJob(choices, (job) => segment(folder, choices, job)));
}

async function segment(folder: string, choices: SegmentChoices, { output, signal }: Job): Promise<void> {
  const given = needed(choices.text, '--text', `tessera segment ${folder} --text "It was the best of times"`);
  const bytes = await bytesOf(given);
  const { openEngine, openModel } = await import('./engine.js');
  const loaded = await openModel(folder);
  try {
    const runtime = await openEngine(choices, output);
    try {
      const runner = await loaded.model.open(runtime, await loaded.parameters());
      if (!segments(runner)) throw unable(loaded.model.name);
      const found = await runner.segment(bytes, { signal });
      await runner.dispose();
      output.result({ model: loaded.folder, bytes: bytes.length, stages: spansOf(found) }, () => screen(found));
    } finally {
      await runtime.dispose();
    }
  } finally {
    await loaded.close();
  }
}

function segments(runner: Runner): runner is HNetRunner {
  return 'segment' in runner;
}

function unable(name: string): TesseraError {
  return new TesseraError('unsupported', `A ${name} reads tokens that were cut before it was trained.`, {
    hint: 'Give a model of the architecture h-net: tessera train --architecture h-net.',
  });
}

/** The content of a file, or the text itself where there is no such file. */
async function bytesOf(given: string): Promise<Uint8Array> {
  const { readFile, stat } = await import('node:fs/promises');
  const status = await stat(given).catch(() => undefined);
  if (status?.isDirectory() === true) {
    throw new TesseraError('bad-input', `${given} is a folder; a file or a text was needed.`);
  }
  const looksLikeFile = status === undefined && /^[^\s]+\.(txt|md)$/.test(given);
  if (looksLikeFile) throw new TesseraError('not-found', `There is no file ${given}.`, { hint: 'Check the path.' });
  return status === undefined ? new TextEncoder().encode(given) : readFile(given);
}

function spansOf({ bytes, stages }: Segmentation) {
  const decoder = new TextDecoder();
  return stages.map(({ spans }) => ({
    spans: spans.map(({ start, end, probability }) => ({
      start,
      end,
      probability,
      text: decoder.decode(bytes.subarray(start, end)),
    })),
  }));
}

/** Each stage as the text with a bar before every chunk; a bar between bytes of one character moves behind it. */
function screen({ bytes, stages }: Segmentation): string {
  return stages
    .map(({ spans }, stage) => {
      const each = spans.length === 0 ? 0 : bytes.length / spans.length;
      const head = `Stage ${stage}: ${count(spans.length)} chunks, ${each.toFixed(1)} bytes each`;
      const decoder = new TextDecoder();
      const parts = spans.map(({ start, end }) => decoder.decode(bytes.subarray(start, end), { stream: true }));
      return `${head}\n${parts.join('|')}${decoder.decode()}`;
    })
    .join('\n\n');
}
