/** Runs a reproduction on the screen: progress on stderr, its result on stdout and in files. */

import { existsSync, statSync } from 'node:fs';
import { createWriter } from '#host';
import {
  type DataSet,
  type ReproductionEvent,
  type ReproductionResult,
  resultToJson,
  runReproduction,
  SYSTEMS,
  type System,
  type SystemEntry,
  summaryToJson,
  systemOf,
} from '../systems/index.js';
import { TesseraError } from '../tensor/index.js';
import { openEngine } from './engine.js';
import type { Job } from './options.js';
import { duration, type Output, type Progress } from './output.js';
import type { ReproduceChoices } from './reproduce.js';
import { savePath } from './reproduce-results.js';
import { resultLines } from './reproduce-show.js';
import { packageVersion } from './version.js';

/** Milliseconds after which a process that was stopped ends, whatever still runs in it. */
const LINGER = 200;

/** Another catalogue than the package's own. */
export interface ReproducePlaces {
  readonly systems?: readonly SystemEntry[];
  readonly dataSets?: readonly DataSet[];
  /** The checkout for `--save`. */
  readonly root?: string;
}

/** The work of the sub-command. @throws not-found for an unknown slug or missing data; bad-option; aborted. */
export async function reproduce(
  slug: string,
  choices: ReproduceChoices,
  { output, signal }: Job,
  { systems = SYSTEMS, dataSets, root }: ReproducePlaces = {},
): Promise<void> {
  const entry = systemOf(slug, systems);
  const { quick = false, save = false, strict = false, out } = choices;
  if (quick && save) throw quickProvesNothing('--save');
  if (quick && strict) throw quickProvesNothing('--strict');
  const targets = [...(out === undefined ? [] : [out]), ...(save ? [savePath(slug, root)] : [])];
  const files = await openTargets(targets);
  try {
    const system = await entry.load();
    const result = await run(system, choices, { output, signal }, dataSets);
    output.result(summaryToJson(result), () => [`${system.name}`, ...resultLines(result)].join('\n'));
    const text = new TextEncoder().encode(`${JSON.stringify(resultToJson(result), null, 2)}\n`);
    for (const file of files) {
      await file.write(text);
      await file.commit();
    }
    for (const path of targets) output.note(`The result is in ${path}.`);
    if (save) output.note('Make the table anew with: node scripts/reproductions.mjs');
    if (strict && result.verdict !== 'reproduced') process.exitCode = 1;
  } finally {
    for (const file of files) await file.abort();
    // What was stopped has told so; a step of the engine that is still under way is not waited for.
    if (signal.aborted) setTimeout(() => process.exit(1), LINGER).unref();
  }
}

function quickProvesNothing(option: string): TesseraError {
  return new TesseraError('bad-option', `A quick run proves nothing, so ${option} does not go with --quick.`, {
    hint: 'Leave one of them away.',
  });
}

/** Opens the files to be written before the work begins, so that one that cannot be is met at once. */
async function openTargets(paths: readonly string[]): Promise<Awaited<ReturnType<typeof createWriter>>[]> {
  const files: Awaited<ReturnType<typeof createWriter>>[] = [];
  try {
    for (const path of paths) {
      if (existsSync(path) && statSync(path).isDirectory()) {
        throw new TesseraError('bad-option', `${path} is a folder; --out names a file.`);
      }
      files.push(await createWriter(path));
    }
  } catch (error) {
    for (const file of files) await file.abort();
    throw error;
  }
  return files;
}

async function run(
  system: System,
  choices: ReproduceChoices,
  { output, signal }: Job,
  dataSets?: readonly DataSet[],
): Promise<ReproductionResult> {
  const { quick = false, seed, fresh, device, threads } = choices;
  const runtime = await openEngine(choices, output);
  const screen = follow(output);
  try {
    return await runReproduction(system, {
      runtime,
      seed,
      size: quick ? 'quick' : 'full',
      device: runtime.device === device ? runtime.device : undefined,
      threads,
      fresh,
      dataSets,
      version: packageVersion(),
      signal,
      onEvent: (event) => {
        if (event.type === 'start' && !quick) output.note(expected(system));
        screen.show(event);
      },
    });
  } finally {
    screen.end();
    const ended = runtime.dispose();
    if (signal.aborted) ended.catch(() => undefined);
    else await ended;
  }
}

/** How long a full run takes, as a sentence. */
function expected({ reproduction: { minutes } }: System): string {
  return `It takes about ${minutes} ${minutes === 1 ? 'minute' : 'minutes'} on two cores.`;
}

/** Shows events: a bar for the part that is under way. */
function follow(output: Output): { show(event: ReproductionEvent): void; end(): void } {
  let bar: { readonly part: string; readonly total: number; readonly progress: Progress } | undefined;
  const end = (): void => {
    bar?.progress.end();
    bar = undefined;
  };
  return {
    end,
    show: (event) => {
      switch (event.type) {
        case 'start':
          output.note(`Seed ${event.seed}; ${event.machine}.`);
          break;
        case 'part':
          end();
          output.note(
            event.from === 'kept'
              ? `Kept from an earlier run: ${event.name} (${duration(event.seconds)} of work).`
              : `Made: ${event.name}, in ${duration(event.seconds)}.`,
          );
          break;
        case 'progress':
          if (bar?.part !== event.part || bar.total !== event.total) {
            end();
            bar = { part: event.part, total: event.total, progress: output.progress(capital(event.part), event.total) };
          }
          bar.progress.update(event.done, event.detail);
          break;
      }
    },
  };
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
