/** Language models of any architecture with low-rank adapters: to be trained, opened, saved as PEFT's folders, and merged. */

import {
  initLora,
  LORA_FREEZE,
  type Lora,
  type LoraOptions,
  type LoraParameters,
  type LoraTree,
  lora,
  loraModule,
  mergeLora,
  readAdapter,
  requireFit,
  weightsOf,
  writeAdapter,
} from '../nn/index.js';
import { type Arrays, arrayLeaves, type Random, TesseraError } from '../tensor/index.js';
import type { Adaptable, TextModel } from './contract.js';

/** A language model with adapters. Its folder is the adapters' alone. */
export interface AdaptedModel extends TextModel<LoraParameters<unknown>> {
  readonly adapters: Lora;
  /** What is to be frozen while it is trained, beside what a person freezes of the base. */
  readonly freeze: readonly string[];
}

/** Options of {@link adaptModel}. */
export interface AdaptModelOptions extends Omit<LoraOptions, 'targets'> {
  /** Default: those that PEFT takes for the layout, where the architecture has a published one. */
  readonly targets?: LoraOptions['targets'];
  /** What the adapter's folder names as its base: a folder, or a published name. */
  readonly base?: string;
}

/** A head or a table, which `all-linear` leaves out, by the last step of its name. */
const NO_LAYER = /(^|\.)(head|lm_head|[a-z_]*embedding|positions)$/;

/**
 * What of a model can be adapted: its published modules, or else every matrix of its parameters under its own path (without
 * `.weight`).
 */
export function adaptableOf<P>(model: TextModel<P>, parameters: Arrays<P>): Adaptable {
  if (model.adaptable !== undefined) return model.adaptable;
  const modules = arrayLeaves(parameters).flatMap(([path, { shape, dtype }]) => {
    if (shape.length !== 2 || dtype !== 'float32') return [];
    const name = path.replace(/\.weight$/, '');
    return [{ name, paths: [path], ...(NO_LAYER.test(name) ? { isHead: true } : {}) }];
  });
  return { modules, usual: [], fanInFanOut: false };
}

/**
 * A model with fresh adapters, and the parameters that training starts from. Trained with `freeze: model.freeze`, only the
 * adapters change; `save` writes PEFT's folder, and `open` runs the model with the adapters merged.
 * @throws bad-option for options out of range, unknown targets, or none where the architecture has no usual ones.
 */
export function adaptModel<P>(
  model: TextModel<P>,
  parameters: Arrays<P>,
  random: Random,
  options: AdaptModelOptions = {},
): { readonly model: AdaptedModel; readonly parameters: Arrays<LoraParameters<unknown>> } {
  const { targets, base, ...rest } = options;
  const adaptable = adaptableOf(model, parameters);
  const chosen = targets ?? adaptable.usual;
  if (chosen.length === 0) {
    const ends = [...new Set(adaptable.modules.map(({ name }) => name.split('.').at(-1)))];
    throw new TesseraError('bad-option', `A ${model.name} has no usual modules for adapters.`, {
      hint: `Choose some: ${ends.join(', ')}, or all-linear.`,
    });
  }
  const settings = lora(adaptable.modules, { ...rest, targets: chosen });
  return {
    model: adapted(model, settings, { base, fanInFanOut: adaptable.fanInFanOut }),
    parameters: { base: parameters, adapters: initLora(settings, parameters, random) },
  };
}

function adapted<P>(
  model: TextModel<P>,
  settings: Lora,
  folder: { readonly base?: string; readonly fanInFanOut: boolean },
): AdaptedModel {
  const { rank, alpha, dropout, rankStabilized, dora, modules } = settings;
  const own = { rank, alpha, dropout, rankStabilized, dora, modules: modules.map(({ name }) => name) };
  const merged = (weights: Arrays<LoraParameters<unknown>>): Arrays<P> => {
    const { base, adapters } = weights;
    return mergeLora<P>(base as Arrays<P>, settings, adapters);
  };
  const inner: TextModel = model as unknown as TextModel;
  return {
    ...inner,
    ...loraModule(inner, settings),
    adapters: settings,
    freeze: LORA_FREEZE,
    options: { model: inner.options, adapters: own },
    rates: undefined,
    adaptable: undefined,
    objective: inner.objective,
    open: (runtime, weights) => inner.open(runtime, merged(weights)),
    save: (path, weights, { signal } = {}) => writeAdapter(path, settings, weights.adapters, { ...folder, signal }),
  };
}

/**
 * Reads an adapter's folder of PEFT for a model.
 * @throws not-found, bad-file, unsupported; mismatch when it is of another model.
 */
export async function loadAdapter<P>(
  folder: string,
  model: TextModel<P>,
  parameters: Arrays<P>,
): Promise<{ readonly settings: Lora; readonly adapters: Arrays<LoraTree>; readonly base?: string }> {
  const found = await readAdapter(folder, adaptableOf(model, parameters).modules);
  for (const module of found.settings.modules) {
    const own = found.adapters[module.name];
    if (own !== undefined) requireFit(module.name, weightsOf(parameters, module), own);
  }
  return found;
}
