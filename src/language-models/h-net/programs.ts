/**
 * The programs of an H-Net for other hosts, one for each step of a stage: 2 S + 1 of them for S stages that chunk. A host
 * keeps caches and states, and hands values from one program to the next as the loop `h-net` says.
 */

import type { JsonObject, PortRole } from '../../formats/index.js';
import { type CachedRows, type ExportSpec, frozen, type Mamba2State, mamba2StateSpecs } from '../../nn/index.js';
import {
  type Arrays,
  exportProgram,
  type Lowered,
  reshape,
  type Spec,
  type Specs,
  type Tensor,
} from '../../tensor/index.js';
import { type ExportedProgram, writePrograms } from '../programs.js';
import { describeSteps, type StepDescription, stepStack } from './describe.js';
import { isAttention } from './layout.js';
import type { HNetParameters } from './model.js';
import { BOS, EOS, type HNetOptions, VOCABULARY } from './options.js';
import type { StackForm } from './stack.js';

/** The programs by name. */
export function programFiles(options: HNetOptions): Readonly<Record<string, ExportSpec>> {
  const outer = options.ratios.map((_, stage) => stage);
  const spec = (name: string): [string, ExportSpec] => [
    name,
    { file: `onnx/${name}.onnx`, about: aboutOf(name, options.ratios.length) },
  ];
  return Object.fromEntries([
    ...outer.map((stage) => spec(`encoder${stage}`)),
    spec('main'),
    ...outer.toReversed().map((stage) => spec(`decoder${stage}`)),
  ]);
}

function aboutOf(name: string, innermost: number): string {
  if (name === 'main') return `a chunk through stage ${innermost}, the innermost`;
  const stage = name.slice(-1);
  return name.startsWith('encoder')
    ? `a position into the hidden state of stage ${stage}, and the probability that a chunk begins there`
    : `the average of chunks, the skip and the decoder of stage ${stage}`;
}

/** Writes the programs and `tessera.json` into a folder. @throws no-space. */
export async function writeHNetPrograms(
  folder: string,
  options: HNetOptions,
  parameters: Arrays<HNetParameters>,
): Promise<void> {
  const { widths, ratios, boundaries, context } = options;
  const loop: JsonObject = { widths: [...widths], ratios: [...ratios], boundaries, begin: BOS };
  await writePrograms(
    folder,
    { system: 'h-net', loop: 'h-net', context, vocabulary: VOCABULARY, endOfText: EOS, options: loop },
    exportHNet(options, parameters),
  );
}

/** Every program with what its ports are for. */
export function exportHNet(
  options: HNetOptions,
  parameters: Arrays<HNetParameters>,
): Readonly<Record<string, ExportedProgram>> {
  const programs: Record<string, ExportedProgram> = {};
  const innermost = options.ratios.length;
  const add = <In, Out extends string>(name: string, step: StepDescription<In, Out>, logits: boolean): void => {
    programs[name] = { ...exportStep(name, step, logits), about: aboutOf(name, innermost) };
  };
  for (const [stage, steps] of describeSteps(options, frozen<HNetParameters>(parameters)).entries()) {
    if (steps.main !== undefined) add('main', steps.main, false);
    else {
      add(`encoder${stage}`, steps.encode, false);
      add(`decoder${stage}`, steps.decode, stage === 0);
    }
  }
  return programs;
}

interface Kept {
  readonly caches: Readonly<Record<string, CachedRows>>;
  readonly states: Readonly<Record<string, Mamba2State>>;
}

interface StepInput extends Kept {
  readonly given: Readonly<Record<string, Tensor>>;
  readonly at: Tensor;
}

function keptSpecs(form: StackForm): Specs<Kept> {
  const cache: Spec = { dtype: 'float32', shape: ['batch', form.heads, 'capacity', form.head] };
  const layers = form.kinds.map((kind, layer) => [String(layer), isAttention(kind)] as const);
  return {
    caches: Object.fromEntries(
      layers.filter(([, attends]) => attends).map(([layer]) => [layer, { key: cache, value: cache }]),
    ),
    states: Object.fromEntries(
      layers.filter(([, attends]) => !attends).map(([layer]) => [layer, mamba2StateSpecs(form.mamba, 'batch')]),
    ),
  };
}

function exportStep<In, Out extends string>(
  name: string,
  step: StepDescription<In, Out>,
  logits: boolean,
): Pick<ExportedProgram, 'lowered' | 'roles'> {
  const { form } = step;
  const given = step.input('batch');
  // Tokens have an axis of time in every program.
  const tokens = Object.entries<Spec>(given).find(([, spec]) => spec.dtype === 'int32' && name === 'encoder0')?.[0];
  const shaped = Object.fromEntries(
    Object.entries<Spec>(given).map(([key, spec]) => [key, key === tokens ? { ...spec, shape: ['batch', 1] } : spec]),
  );
  const lowered = exportProgram<Record<string, never>, StepInput, Record<string, unknown>>(
    (_state, input, call) => {
      const layers = form.kinds.map((_, layer) => ({ cache: input.caches[layer], mamba: input.states[layer] }));
      const rows: Record<string, CachedRows | undefined> = {};
      const next: Record<string, Mamba2State | undefined> = {};
      const values = Object.fromEntries(
        Object.entries(input.given).map(([key, value]) => [key, key === tokens ? reshape(value, ['batch']) : value]),
      );
      const out = step.body(
        values as In,
        (x) => {
          const result = stepStack(form, step.parameters, x, layers, input.at, call);
          for (const [layer, { cache, mamba }] of result.layers.entries()) {
            rows[layer] = cache;
            next[layer] = mamba;
          }
          return result.out;
        },
        call,
      );
      return { out: { out, rows, next } };
    },
    {
      state: {},
      input: { given: shaped, at: { dtype: 'int32', shape: ['batch'] }, ...keptSpecs(form) } as Specs<StepInput>,
    },
  );
  return { lowered, roles: rolesOf(name, lowered, tokens, logits) };
}

function rolesOf(
  program: string,
  lowered: Lowered,
  tokens: string | undefined,
  logits: boolean,
): Readonly<Record<string, PortRole>> {
  const role = (port: string): PortRole => {
    const [kind = '', ...rest] = port.split('.');
    const name = `${program}.${rest.join('.')}`;
    switch (kind) {
      case 'at':
        return { role: 'at' };
      case 'caches':
        return { role: 'cache', cache: name, axis: 2 };
      case 'rows':
        return { role: 'rows', cache: name };
      case 'states':
      case 'next':
        return { role: 'state', state: name };
      case 'out':
        return { role: logits && port === 'out.out' ? 'logits' : 'value' };
      default:
        return { role: port === `given.${tokens}` ? 'tokens' : 'value' };
    }
  };
  const { input, output } = lowered.model.graph;
  return Object.fromEntries([...input, ...output].map(({ name }) => [name, role(name)]));
}
