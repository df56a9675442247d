/** `tessera train --dry-run`: what a run would take, from its programs and a few measured updates. Nothing is written. */

import { type StartEvent, type TrainOptions, train } from '../nn/index.js';
import { count, duration, type Output, operations, size } from './output.js';

const UPDATES = 6;

/** Makes a few updates in memory and tells what the whole run would take. */
export async function dryRun(
  options: TrainOptions<unknown, unknown, unknown>,
  { tokensPerUpdate, output }: { readonly tokensPerUpdate: number; readonly output: Output },
): Promise<void> {
  let start: StartEvent | undefined;
  let memory = 0;
  const times: number[] = [];
  let before = performance.now();
  for await (const event of train({ ...options, steps: UPDATES, minutes: undefined })) {
    if (event.type === 'start') start = event;
    if (event.type !== 'step') continue;
    times.push((performance.now() - before) / 1000);
    before = performance.now();
    memory = Math.max(memory, event.memory);
  }
  if (start === undefined) throw new Error('a run has a start');
  // The first update includes what is done once; the median of the others is the speed.
  const sorted = times.slice(1).sort((a, b) => a - b);
  const each = sorted[sorted.length >> 1] ?? times[0] ?? 0;
  const steps = options.steps ?? Math.max(1, Math.floor(((options.minutes ?? 0) * 60) / Math.max(each, 1e-6)));
  const figures = {
    parameters: start.parameters,
    trained: start.trained,
    flopsPerUpdate: start.flops,
    steps,
    flops: start.flops * steps,
    tokens: tokensPerUpdate * steps,
    tokensPerSecond: tokensPerUpdate / each,
    stateBytes: start.stateBytes,
    memoryBytes: memory,
    secondsPerUpdate: each,
    minutes: (each * steps) / 60,
    engine: start.about,
  };
  output.result(figures, () =>
    [
      `parameters      ${count(figures.parameters)}${figures.trained < figures.parameters ? `, ${count(figures.trained)} of them trained` : ''}`,
      `an update       ${operations(figures.flopsPerUpdate)}, ${count(tokensPerUpdate)} tokens, ${each.toFixed(3)} s`,
      `the whole run   ${count(steps)} updates, ${operations(figures.flops)}, ${count(figures.tokens)} tokens`,
      `memory          ${size(figures.memoryBytes)} resident, of it ${size(figures.stateBytes)} weights and moments`,
      `time            ${duration(each * steps)} (${count(figures.tokensPerSecond)} tokens/s, from ${sorted.length} measured updates)`,
      `engine          ${figures.engine}`,
    ].join('\n'),
  );
}
