/** The work of `tessera compare`. */

import { join } from 'node:path';
import { writeFileAtomic } from '#host';
import {
  type ComparedModel,
  type CompareEvent,
  type Comparison,
  compare,
  plotComparison,
} from '../evaluation/index.js';
import { type Json, openCorpus } from '../formats/index.js';
import { architectureOf } from '../language-models/index.js';
import { TesseraError } from '../tensor/index.js';
import { openTokenizer } from '../tokenizers/index.js';
import { flagOf } from './architecture-options.js';
import type { CompareChoices } from './compare.js';
import { openEngine } from './engine.js';
import { type Job, needed } from './options.js';
import { count, duration, type Output, operations, type Progress, size, table } from './output.js';

/** Compares as the command line says. @throws TesseraError for everything a person can mend. */
export async function runCompare(choices: CompareChoices, { output, signal }: Job): Promise<void> {
  const text = needed(choices.text, '--text', 'tessera compare --architectures gpt --text book.txt --minutes 2');
  if ((choices.flops === undefined) === (choices.minutes === undefined)) {
    throw new TesseraError('bad-option', 'A comparison takes one budget: --flops or --minutes.');
  }
  const architectures = choices.architectures.split(',').map((name) => name.trim());
  for (const name of architectures) architectureOf(name);
  const settings = settingsOf(choices.set ?? [], architectures);
  const corpus = await openCorpus(text, { field: choices.field, signal });
  const tokenizer = choices.tokenizer === undefined ? undefined : await openTokenizer(choices.tokenizer);
  const runtime = await openEngine(choices, output);
  const shown = show(output);
  try {
    const { batch, context, seed, noise, out, fresh } = choices;
    const comparison = await compare({
      architectures,
      choices: settings,
      corpus,
      budget: choices.flops === undefined ? { minutes: choices.minutes ?? 1 } : { flops: choices.flops },
      out,
      runtime,
      tokenizer,
      batch,
      length: context,
      seed,
      heldOutBytes: choices.bytes,
      noise,
      fresh,
      signal,
      report: shown.report,
    });
    shown.end();
    const plot = choices.plot ?? join(out, 'plot.svg');
    await writeFileAtomic(plot, await plotComparison(comparison));
    output.result({ ...comparison, plot } as unknown as Json, () => asText(comparison, plot));
  } finally {
    shown.end();
    await runtime.dispose();
  }
}

/** `gpt.layers=6` as `{ gpt: { layers: 6 } }`. @throws bad-option for what no compared architecture has. */
function settingsOf(
  given: readonly string[],
  architectures: readonly string[],
): Readonly<Record<string, Readonly<Record<string, unknown>>>> {
  const settings: Record<string, Record<string, unknown>> = {};
  for (const choice of given) {
    const [, name = '', option = '', value = ''] = /^([^.=]+)\.([^=]+)=(.+)$/.exec(choice) ?? [];
    if (!architectures.includes(name)) {
      throw new TesseraError('bad-option', `--set ${choice} chooses nothing of an architecture that is compared.`, {
        hint: 'Write it as gpt.layers=6.',
      });
    }
    const known = architectureOf(name).options.find((one) => one.name === option || flagOf(one.name) === `--${option}`);
    if (known === undefined) {
      throw new TesseraError('bad-option', `${name} has no option "${option}".`, {
        hint: `It has ${architectureOf(name)
          .options.map((one) => one.name)
          .join(', ')}.`,
      });
    }
    settings[name] = { ...settings[name], [known.name]: parsed(known.kind, value, choice) };
  }
  return settings;
}

function parsed(kind: string, value: string, choice: string): unknown {
  if (kind === 'choice' || kind === 'text') return value;
  if (kind === 'flag' || kind === 'off') return value === 'true';
  const number = Number(value);
  if (Number.isFinite(number)) return number;
  throw new TesseraError('bad-option', `--set ${choice} takes a number.`);
}

/** Shows how far a comparison is. */
function show(output: Output): { readonly report: (event: CompareEvent) => void; readonly end: () => void } {
  let progress: Progress | undefined;
  const end = (): void => {
    progress?.end();
    progress = undefined;
  };
  return {
    end,
    report: (event) => {
      switch (event.type) {
        case 'model':
          if (event.kept) output.note(`${event.name}: measured before with these settings.`);
          break;
        case 'budget':
          output.note(
            `${event.name}: ${count(event.steps)} updates of ${operations(event.flopsPerUpdate)} are in the budget.`,
          );
          break;
        case 'step':
          progress ??= output.progress(`${event.name}: update`, event.steps);
          progress.update(event.step, `loss ${event.loss.toFixed(3)}`, event.secondsLeft);
          break;
        case 'measure':
          end();
          output.note(`${event.name}: measuring ${event.what}.`);
          break;
      }
    },
  };
}

function asText(comparison: Comparison, plot: string): string {
  const { budget, models, heldOutBytes, noise } = comparison;
  const exact = models.filter(({ likelihood }) => likelihood !== 'none');
  const others = models.filter(({ likelihood }) => likelihood === 'none');
  const head = [
    'architecture',
    'bits/byte',
    'with noise',
    'parameters',
    'updates',
    'FLOP',
    'training',
    'trains B/s',
    'decodes B/s',
    'weights and moments',
    'memory',
  ];
  const spent =
    'flops' in budget ? `${operations(budget.flops)} in matrix products` : `${budget.minutes} minutes of training`;
  const parts = [
    `Budget of each: ${spent}. Measured on ${count(heldOutBytes)} held-out bytes; noise changes ${Math.round(noise * 100)} % of the characters.`,
    table(head, exact.map(rowOf)),
  ];
  if (others.length > 0) {
    parts.push(
      `${others.map(({ name }) => name).join(', ')}: no exact likelihood of a text, so there are no bits per byte to put beside these.`,
      table(head, others.map(rowOf)),
    );
  }
  parts.push(`The plot is in ${plot}`);
  return parts.join('\n\n');
}

function rowOf(model: ComparedModel): string[] {
  const bits = model.bitsPerByte === undefined ? '-' : model.bitsPerByte.toFixed(3);
  return [
    model.name,
    model.error === undefined ? bits : `${bits} +- ${model.error.toFixed(3)}`,
    model.noisyBitsPerByte === undefined ? '-' : model.noisyBitsPerByte.toFixed(3),
    count(model.parameters),
    count(model.steps),
    operations(model.flops),
    duration(model.trainingSeconds),
    count(model.trainingBytesPerSecond),
    model.decodingBytesPerSecond === undefined ? '-' : count(model.decodingBytesPerSecond),
    size(model.stateBytes),
    size(model.memoryBytes),
  ];
}
