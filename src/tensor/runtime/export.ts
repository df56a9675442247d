/** Traces as ONNX models for other programs, under their own names. */

import type { Tensor } from '../graph.js';
import type { NDArray } from '../ndarray.js';
import { type Lowered, lower, topological } from '../onnx/lower.js';
import { type ProgramSpecs, type Trace, type Traceable, trace } from '../trace.js';
import type { Leaf } from '../tree.js';
import type { Device } from './provider.js';

/** How a trace becomes a model for other programs. */
export interface ExportOptions {
  readonly device?: Device;
  /** Values for state leaves, by path; leaves without one become inputs under their own path. */
  readonly weights?: ReadonlyMap<string, NDArray>;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Lowers a trace under its own names: inputs, state leaves and outputs are called by their paths. */
export function lowerForExport(found: Trace, options: ExportOptions = {}): Lowered {
  const { weights = new Map<string, NDArray>(), device = 'cpu' } = options;
  const called =
    (whole: string) =>
    ([path, tensor]: Leaf<Tensor>) =>
      [path === '' ? whole : path, tensor] as const;
  const outputs = [
    ...found.out.map(called('output')),
    ...found.updates.map(([path, tensor]) => [`new.${path}`, tensor] as const),
  ];
  const needed = new Set(topological(outputs.map(([, tensor]) => tensor)));
  const bound = new Map<Tensor, NDArray>();
  const state = found.state.filter(([path, tensor]) => {
    const value = weights.get(path);
    if (value !== undefined) bound.set(tensor, value);
    return value === undefined && needed.has(tensor.node);
  });
  return lower({
    name: 'tessera',
    device,
    inputs: [
      ...found.input.map(called('input')),
      ...state.map(called('state')),
      ...found.draws
        .filter(([, tensor]) => needed.has(tensor.node))
        .map(([draw, tensor]) => [`draw.${draw.path}.${draw.verb}`, tensor] as const),
      ...(needed.has(found.step.node) ? [['step', found.step] as const] : []),
    ],
    constants: bound,
    outputs,
    metadata: options.metadata,
  });
}

/** Traces a function for export only: nothing is compiled or run. */
export function exportProgram<S, In, Out>(
  f: Traceable<S, In, Out>,
  specs: ProgramSpecs<S, In>,
  options: ExportOptions = {},
): Lowered {
  return lowerForExport(trace(f, specs), options);
}
