/**
 * The moments of a run as a file of their own, so that another run can begin with them: `optimizer.safetensors`, with the
 * leaves named `first.<path>` and `second.<path>` and the number of updates in its metadata.
 */

import { joinPath, stat } from '#host';
import { isJsonObject, openSafetensors, readJsonObject, type Safetensors, writeSafetensors } from '../formats/index.js';
import { arrayLeaves, type Leaf, type NDArray, nest, TesseraError } from '../tensor/index.js';
import type { AdamWMoments, AdamWStart } from './optimizer.js';
import { listCheckpoints, readRun } from './run-folder.js';

const FILE = 'optimizer.safetensors';

/** Writes moments into a folder. @throws no-space, aborted. */
export async function writeAdamWStart(folder: string, start: AdamWStart, signal?: AbortSignal): Promise<void> {
  const tensors = arrayLeaves(start.moments).map(([name, array]) => ({ name, array }));
  await writeSafetensors(joinPath(folder, FILE), tensors, {
    metadata: { format: 'tessera', optimizer: 'adamw', steps: String(start.steps) },
    maxShardBytes: Number.POSITIVE_INFINITY,
    signal,
  });
}

/** The moments that {@link writeAdamWStart} wrote into a folder; undefined when there are none. @throws bad-file. */
export async function readAdamWStart(folder: string): Promise<AdamWStart | undefined> {
  const path = joinPath(folder, FILE);
  if ((await stat(path)) === undefined) return undefined;
  const file = await openSafetensors(path);
  try {
    const steps = Number(file.metadata.steps);
    if (file.metadata.optimizer !== 'adamw' || !Number.isSafeInteger(steps) || steps < 0) {
      throw new TesseraError('bad-file', `${path} does not say of which optimizer and after how many updates it is.`);
    }
    return { moments: await momentsIn(file, ''), steps };
  } finally {
    await file.close();
  }
}

/**
 * The model's moments in the newest checkpoint of a run that AdamW trained; undefined when the folder is no such run or
 * has no checkpoint. Updates that the run's own start had seen are counted too.
 * @throws bad-file for a damaged checkpoint.
 */
export async function readRunMoments(run: string): Promise<AdamWStart | undefined> {
  const summary = await readRun(run);
  const optimizer = summary?.config.optimizer;
  const newest = (await listCheckpoints(run)).at(-1);
  if (newest === undefined || !isJsonObject(optimizer) || optimizer.name !== 'adamw') return undefined;
  const { step } = await readJsonObject(joinPath(newest.path, 'trainer.json'));
  if (typeof step !== 'number') {
    throw new TesseraError('bad-file', `The trainer.json of ${newest.path} does not say where the run stopped.`);
  }
  const before = typeof optimizer.startSteps === 'number' ? optimizer.startSteps : 0;
  const file = await openSafetensors(joinPath(newest.path, FILE));
  try {
    return { moments: await momentsIn(file, 'model.'), steps: step + before };
  } finally {
    await file.close();
  }
}

async function momentsIn(file: Safetensors, prefix: string): Promise<AdamWMoments<unknown>> {
  const leavesOf = async (part: 'first' | 'second'): Promise<unknown> => {
    const start = `${prefix}${part}.`;
    const leaves: Leaf<NDArray>[] = [];
    for (const name of file.names.filter((candidate) => candidate.startsWith(start))) {
      leaves.push([name.slice(start.length), await file.read(name)]);
    }
    return nest(leaves);
  };
  return { first: await leavesOf('first'), second: await leavesOf('second') };
}
