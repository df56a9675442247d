/** A trace as the model that an engine runs: which inputs, outputs and draws there are, and under which names. */

import type { Tensor } from '../graph.js';
import { type Lowered, lower, topological } from '../onnx/lower.js';
import { sum } from '../operations/broadcast.js';
import { cast, isFloat, sub } from '../operations/elementwise.js';
import { concat, reshape } from '../operations/shape.js';
import type { ProgramSpecs, Trace } from '../trace.js';
import { appended } from './append.js';
import { canCopy } from './copy-model.js';
import { keepsTensors } from './device-copies.js';
import type { Plan } from './engine.js';
import type { Device } from './provider.js';

/** A lowered trace and how runs bind it. */
export interface LoweredRuns {
  readonly lowered: Lowered;
  readonly plan: Omit<Plan, 'seed'>;
  readonly checked: readonly Tensor[];
  /** Paths of the leaves that the plan's updates and appends replace. */
  readonly updated: readonly string[];
  readonly appended: readonly string[];
}

/** Lowers a trace with the names that runs use: `in:`, `state:`, `out:`, `new:`, `figure:`. */
export function lowerForRuns(
  found: Trace,
  device: Device,
  { checkNumerics = false, precision = 'float32' }: Pick<ProgramSpecs<unknown, unknown>, 'checkNumerics' | 'precision'>,
): LoweredRuns {
  const resident = keepsTensors({ device });
  // Caches of one model share their positions: one output for all of them.
  const places = [...new Set(found.appends.map(({ at }) => at))];
  // Where caches live on the device the graph writes the rows; elsewhere the host does, into the cache itself.
  const appends = (resident ? [] : found.appends).map(({ path, rows, at }, index) => ({
    path,
    rows,
    at,
    names: { rows: `rows${index}:${path}`, at: `at${places.indexOf(at)}` },
  }));
  const leaves = new Map(found.state);
  const updates: (readonly [string, Tensor])[] = [
    ...found.updates,
    ...(resident ? found.appends : []).map(
      ({ path, rows, at }) => [path, appended(leaves.get(path), rows, at)] as const,
    ),
  ];
  const results: (readonly [string, Tensor])[] = [
    ...updates.map(([path, tensor]) => [`new:${path}`, tensor] as const),
    ...appends.map(({ rows, names }) => [names.rows, rows] as const),
    ...places.map((at, index) => [`at${index}`, at] as const),
    ...found.out.map(([path, tensor]) => [`out:${path}`, tensor] as const),
    ...found.figures.map(([path, tensor]) => [`figure:${path}`, tensor] as const),
  ];
  const checked = checkNumerics ? floatTensors(results.map(([, tensor]) => tensor)) : [];
  if (checked.length > 0) results.push(['checks', finiteness(checked)]);
  const needed = new Set(topological(results.map(([, tensor]) => tensor)));
  const used = <T extends readonly [unknown, Tensor]>(list: readonly T[]): T[] =>
    list.filter(([, tensor]) => needed.has(tensor.node));
  const state = used(found.state);
  const draws = used(found.draws);
  const usesStep = needed.has(found.step.node);
  const lowered = lower({
    name: 'tessera',
    device,
    inputs: [
      ...state.map(([path, tensor]) => [`state:${path}`, tensor] as const),
      ...used(found.input).map(([path, tensor]) => [`in:${path}`, tensor] as const),
      ...draws.map(([, tensor], index) => [`draw${index}`, tensor] as const),
      ...(usesStep ? [['step', found.step] as const] : []),
    ],
    outputs: results,
    halfProducts: precision === 'mixed',
  });
  const plan: Omit<Plan, 'seed'> = {
    state: state.map(([path]) => `state:${path}`),
    draws: draws.map(([draw], index) => ({ name: `draw${index}`, draw })),
    usesStep,
    updates: updates.map(([path]) => `new:${path}`),
    ...(resident ? residence(found, updates, places) : {}),
    appends: appends.map(({ names }) => names),
    out: found.out.map(([path]) => `out:${path}`),
    figures: found.figures.map(([path]) => `figure:${path}`),
    ...(checked.length > 0 ? { checks: 'checks' } : {}),
    frozen: found.updates.length === 0 && lowered.initializers.some(({ value }) => value.data.length > 4096),
  };
  return {
    lowered,
    plan,
    checked,
    updated: updates.map(([path]) => path),
    appended: appends.map(({ path }) => path),
  };
}

/** What stays on the device, and which positions of rows are to be looked at before the new caches are taken over. */
function residence(
  found: Trace,
  updates: readonly (readonly [string, Tensor])[],
  places: readonly Tensor[],
): Pick<Plan, 'resident' | 'places'> {
  const leaves = new Map(found.state);
  return {
    resident: updates.flatMap(([path, { dtype, shape }]) =>
      canCopy(dtype) && !shape.includes(0) ? [`new:${path}`] : [],
    ),
    places: found.appends.map(({ path, rows, at }) => ({
      at: `at${places.indexOf(at)}`,
      capacity: Number(leaves.get(path)?.shape[2]),
      added: Number(rows.shape[2]),
    })),
  };
}

/** Float tensors that a program computes, in order. */
function floatTensors(results: readonly Tensor[]): Tensor[] {
  return topological(results).flatMap((node) =>
    node.value !== undefined ? [] : node.outputs.slice(0, 1).filter(({ dtype }) => isFloat(dtype)),
  );
}

/** One number a tensor: 0 where every element is finite (x - x is 0 for a finite x, NaN otherwise). */
function finiteness(tensors: readonly Tensor[]): Tensor {
  const checks = tensors.map((tensor) => reshape(cast(sum(sub(tensor, tensor)), 'float32'), [1]));
  return concat(checks, 0);
}
