/** `tessera generate`: continuations of prompts, streamed. */

import { Command } from 'commander';
import type { Json } from '../formats/index.js';
import { examples, type Job, numberFrom, runJob, several, wholeNumber, withCommon, withEngine } from './options.js';

interface GenerateChoices {
  readonly adapter?: string;
  readonly prompt?: readonly string[];
  readonly lines?: boolean;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly repetitionPenalty?: number;
  readonly stop?: readonly string[];
  readonly seed: number;
  readonly echo: boolean;
  readonly device?: string;
  readonly threads?: number;
  readonly json?: boolean;
}

/** The sub-command. */
export function generateCommand(): Command {
  const command = new Command('generate')
    .description('Continue one or several texts with a model.')
    .argument('<folder>', 'a model, or the run that made it')
    .argument('[prompt...]', 'texts to continue; without any, standard input is one')
    .option('--adapter <folder>', 'an adapter for the model, or the run that made it')
    .option('--prompt <text>', 'a text to continue; repeatable', several)
    .option('--lines', 'each line of standard input is a text to continue')
    .option('--max-tokens <n>', 'new tokens at most', wholeNumber(1), 128)
    .option('--temperature <number>', '0 takes the likeliest token', numberFrom(0), 0.8)
    .option('--top-k <n>', 'only the k likeliest tokens', wholeNumber(1))
    .option('--top-p <share>', 'only the likeliest tokens of this probability together', numberFrom(0, 1))
    .option('--repetition-penalty <number>', 'above 1 makes seen tokens less likely', numberFrom(0.01))
    .option('--stop <text>', 'ends a continuation and is left out; repeatable', several)
    .option('--seed <n>', 'of the draws', wholeNumber(0), 0)
    .option('--no-echo', 'write the continuation without its prompt');
  withCommon(withEngine(command));
  return examples(command, [
    'tessera generate runs/demo --prompt "My fellow citizens"',
    'tessera generate runs/gpt/model "Once" "Twice" --temperature 0 --max-tokens 40',
    'tessera generate runs/small --adapter runs/tuned "Once"',
    'tessera generate runs/gpt/model --lines --json < prompts.txt',
  ]).action((folder: string, prompts: readonly string[], choices: GenerateChoices) =>
    runJob(choices, (job) => generate(folder, prompts, choices, job)),
  );
}

async function generate(
  folder: string,
  given: readonly string[],
  choices: GenerateChoices,
  { output, signal }: Job,
): Promise<void> {
  const { openEngine, openModel } = await import('./engine.js');
  const prompts = await promptsOf([...given, ...(choices.prompt ?? [])], choices.lines === true);
  const loaded = await openModel(folder, choices.adapter);
  const runtime = await openEngine(choices, output);
  try {
    const runner = await loaded.model.open(runtime, await loaded.parameters());
    const screen = streamRows(prompts, choices, output.json ? () => undefined : output.write);
    const encoder = new TextEncoder();
    const { maxTokens, temperature, topK, topP, repetitionPenalty, stop, seed } = choices;
    if (runner.generate === undefined) {
      const { TesseraError } = await import('../host/error.js');
      throw new TesseraError('unsupported', `A ${loaded.model.name} does not continue texts.`);
    }
    const pieces = runner.generate(
      prompts.map((prompt) => encoder.encode(prompt)),
      { maxTokens, temperature, topK, topP, repetitionPenalty, stop, seed, signal },
    );
    for await (const { row, bytes } of pieces) screen.push(row, bytes);
    const texts = screen.end();
    await runner.dispose();
    if (!output.json) return;
    const results: Json = prompts.map((prompt, row) => ({ prompt, continuation: texts[row] ?? '' }));
    output.result({ model: loaded.folder, results }, () => '');
  } finally {
    await loaded.close();
    await runtime.dispose();
  }
}

async function promptsOf(given: readonly string[], lines: boolean): Promise<readonly string[]> {
  if (given.length > 0) return given;
  // At a terminal without a prompt the model begins by itself.
  if (process.stdin.isTTY === true) return [''];
  const { TesseraError } = await import('../host/error.js');
  const chunks: Uint8Array[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch (cause) {
    throw new TesseraError('bad-input', 'Standard input is not UTF-8 text.', { cause });
  }
  if (!lines) return [text.replace(/\r?\n$/, '')];
  const prompts = text.split(/\r?\n/).filter((line) => line !== '');
  if (prompts.length === 0) throw new TesseraError('bad-input', 'Standard input has no line to continue.');
  return prompts;
}

/** Writes the first row as it comes, and each later one when those before it are whole. */
function streamRows(
  prompts: readonly string[],
  choices: GenerateChoices,
  write: (text: string) => void,
): { push(row: number, bytes: Uint8Array): void; end(): readonly string[] } {
  const rows = prompts.map(() => ({ decoder: new TextDecoder(), text: '' }));
  const head = (row: number): string => (choices.echo ? (prompts[row] ?? '') : '');
  write(head(0));
  return {
    push: (row, bytes) => {
      const state = rows[row];
      if (state === undefined) return;
      const text = state.decoder.decode(bytes, { stream: true });
      state.text += text;
      if (row === 0) write(text);
    },
    end: () => {
      for (const [row, state] of rows.entries()) {
        const rest = state.decoder.decode();
        state.text += rest;
        write(row === 0 ? `${rest}\n` : `\n${head(row)}${state.text}\n`);
      }
      return rows.map(({ text }) => text);
    },
  };
}
