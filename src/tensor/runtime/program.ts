/** Compiled programs: what a run binds, and what it gives back. */

import { TesseraError } from '../../host/error.js';
import { isInput, type Tensor } from '../graph.js';
import type { NDArray } from '../ndarray.js';
import { encodeOnnxFiles } from '../onnx/write.js';
import type { Trace } from '../trace.js';
import { type Arrays, arrayLeaves, mapTree } from '../tree.js';
import { cellsOf } from './device-tree.js';
import type { Engine, Plan } from './engine.js';
import { lowerForExport } from './export.js';
import type { LoweredRuns } from './lower-runs.js';
import type { Device } from './provider.js';
import type { DeviceTree, Program, ProgramReport, RunOutput } from './types.js';

const FILE = 'model.onnx';

/** A program on an engine. */
export class CompiledProgram<S, In, Out> implements Program<S, In, Out> {
  constructor(
    private readonly engine: Engine,
    private readonly id: number,
    private readonly found: Trace,
    private readonly plan: Plan,
    private readonly replaced: Pick<LoweredRuns, 'updated' | 'appended'>,
    private readonly inputNames: ReadonlySet<string>,
    private readonly checked: readonly Tensor[],
    private readonly device: Device,
    readonly report: ProgramReport,
  ) {}

  async run(
    state: DeviceTree<S>,
    input: Arrays<In>,
    at: { readonly step?: number; readonly micro?: number } = {},
  ): Promise<RunOutput<Out>> {
    const cells = cellsOf(state);
    const cell = (path: string): number => {
      const found = cells.get(path);
      if (found === undefined)
        throw new TesseraError('mismatch', `The program needs state "${path}", which the tree given does not have.`);
      return found.id;
    };
    const { step = 0, micro = 0 } = at;
    const result = await this.engine.run({
      program: this.id,
      state: this.plan.state.map((name) => cell(name.slice('state:'.length))),
      updates: this.replaced.updated.map(cell),
      appends: this.replaced.appended.map(cell),
      input: this.bindInput(input),
      step,
      micro,
    });
    if (result.failed !== undefined && result.failed >= 0) throw this.notFinite(result.failed, step);
    let index = 0;
    const out: Arrays<Out> = mapTree(
      this.found.outTree,
      (value): value is Tensor => isTensorLike(value),
      () => result.out[index++],
    );
    return {
      out,
      figures: Object.fromEntries(this.found.figures.map(([path], at) => [path, result.figures[at] ?? Number.NaN])),
    };
  }

  private bindInput(input: Arrays<In>): Record<string, NDArray> {
    const given = new Map(arrayLeaves(input));
    const bound: Record<string, NDArray> = {};
    for (const [path, spec] of this.found.input) {
      const value = given.get(path);
      if (value === undefined) throw new TesseraError('bad-input', `The program needs the input "${path}".`);
      const fits =
        value.dtype === spec.dtype &&
        value.shape.length === spec.shape.length &&
        spec.shape.every((d, i) => typeof d === 'string' || d === value.shape[i]);
      if (!fits) {
        throw new TesseraError(
          'bad-shape',
          `The input "${path}" is ${spec.dtype} [${spec.shape.join(', ')}], not ${value.dtype} [${value.shape.join(', ')}].`,
        );
      }
      if (this.inputNames.has(`in:${path}`)) bound[`in:${path}`] = value;
    }
    return bound;
  }

  private notFinite(index: number, step: number): TesseraError {
    const tensor = this.checked[index];
    if (tensor === undefined) throw new Error('a check of no tensor');
    const { operation, scope, attributes } = tensor.node;
    const source = isInput(tensor)
      ? `from outside, in "${String(attributes.name)}"`
      : `out of ${operation.name}${scope === '' ? '' : ` in ${scope}`}`;
    return new TesseraError('not-finite', `At step ${step} the first value that is not finite came ${source}.`);
  }

  toONNX(weights?: Arrays<S>): Iterable<{ readonly file: string; readonly bytes: Uint8Array }> {
    return encodeOnnxFiles(
      lowerForExport(this.found, { device: this.device, weights: new Map(arrayLeaves(weights)) }),
      FILE,
    );
  }

  dispose(): Promise<void> {
    return this.engine.unload(this.id);
  }
}

function isTensorLike(value: unknown): value is Tensor {
  return typeof value === 'object' && value !== null && 'node' in value;
}
