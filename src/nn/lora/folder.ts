/**
 * Adapters as folders of PEFT (huggingface/peft): `adapter_config.json`, and `adapter_model.safetensors` with the tensors
 * `base_model.model.<module>.lora_A.weight` `[rank, in]`, `lora_B.weight` `[out, rank]` and, with DoRA,
 * `lora_magnitude_vector` `[out]`. The same shapes for Llama's linear layers and for GPT-2's transposed ones, which
 * `fan_in_fan_out` tells of.
 */

import { joinPath, listDirectory, makeTemporarySibling, remove, replaceDirectory, stat } from '#host';
import {
  isJsonObject,
  type Json,
  type JsonObject,
  openWeights,
  readJsonObject,
  type Weights,
  writeJson,
  writeSafetensors,
} from '../../formats/index.js';
import { type Arrays, type NDArray, TesseraError } from '../../tensor/index.js';
import { type AdaptedModule, type Lora, type LoraTree, type LoraWeights, scaleOf } from './adapters.js';
import { chooseModules, type LoraModule, targetsOf } from './choose.js';

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';
const PREFIX = 'base_model.model.';

/** What is told of the base. */
export interface AdapterFolderOptions {
  /** The base model's folder, or its published name. */
  readonly base?: string;
  /** True for models whose published weights are `[in, out]`. */
  readonly fanInFanOut?: boolean;
  /** PEFT's name of the task (default `CAUSAL_LM`). */
  readonly task?: string;
  readonly signal?: AbortSignal;
}

/** Adapters read from a folder. */
export interface AdapterFolder {
  readonly settings: Lora;
  readonly adapters: Arrays<LoraTree>;
  /** What the folder says its base is. */
  readonly base?: string;
}

/** The `adapter_config.json` of adapters, with the keys that PEFT writes, in its order. */
export function adapterConfig(settings: Lora, options: AdapterFolderOptions = {}): JsonObject {
  const { modules, rank, alpha } = settings;
  const pattern = (own: (module: AdaptedModule) => number, usual: number): JsonObject =>
    Object.fromEntries(modules.filter((module) => own(module) !== usual).map((module) => [module.name, own(module)]));
  return {
    alpha_pattern: pattern((module) => module.alpha, alpha),
    auto_mapping: null,
    base_model_name_or_path: options.base ?? null,
    bias: 'none',
    fan_in_fan_out: options.fanInFanOut ?? false,
    inference_mode: true,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    loftq_config: {},
    lora_alpha: alpha,
    lora_dropout: settings.dropout,
    megatron_config: null,
    megatron_core: 'megatron.core',
    modules_to_save: null,
    peft_type: 'LORA',
    r: rank,
    rank_pattern: pattern((module) => module.rank, rank),
    revision: null,
    target_modules: targetsOf(modules, settings.available),
    task_type: options.task ?? 'CAUSAL_LM',
    use_dora: settings.dora,
    use_rslora: settings.rankStabilized,
  };
}

/** The tensors of adapters under PEFT's names and in its shapes. @throws mismatch when an adapter is missing. */
export function adapterTensors(
  settings: Lora,
  adapters: Arrays<LoraTree>,
): { readonly name: string; readonly array: NDArray }[] {
  return settings.modules.flatMap(({ name }) => {
    const own = adapters[name];
    if (own === undefined) throw new TesseraError('mismatch', `There is no adapter for ${name}.`);
    const { a, b, magnitude } = own;
    return [
      { name: `${PREFIX}${name}.lora_A.weight`, array: transposed(a) },
      { name: `${PREFIX}${name}.lora_B.weight`, array: transposed(b) },
      ...(magnitude === undefined ? [] : [{ name: `${PREFIX}${name}.lora_magnitude_vector`, array: magnitude }]),
    ];
  });
}

/**
 * Writes adapters as a folder, whole or not at all. An adapter that is there is replaced.
 * @throws bad-input when the folder holds anything else; no-space, aborted.
 */
export async function writeAdapter(
  folder: string,
  settings: Lora,
  adapters: Arrays<LoraTree>,
  options: AdapterFolderOptions = {},
): Promise<void> {
  await refuseStrangers(folder);
  const temporary = await makeTemporarySibling(folder);
  try {
    await writeJson(joinPath(temporary, CONFIG), adapterConfig(settings, options));
    await writeSafetensors(joinPath(temporary, WEIGHTS), adapterTensors(settings, adapters), {
      metadata: { format: 'pt' },
      maxShardBytes: Number.POSITIVE_INFINITY,
      signal: options.signal,
    });
    await replaceDirectory(temporary, folder);
  } catch (error) {
    await remove(temporary).catch(() => undefined);
    throw error;
  }
}

async function refuseStrangers(folder: string): Promise<void> {
  const status = await stat(folder);
  if (status === undefined) return;
  const names = status.kind === 'directory' ? (await listDirectory(folder)).map(({ name }) => name) : [folder];
  const other = names.find(
    (name) => !/^(adapter_config\.json|adapter_model\.(safetensors|bin)|README\.md)$/.test(name),
  );
  if (other === undefined) return;
  throw new TesseraError('bad-input', `${folder} holds ${other}, which is no part of an adapter and would be lost.`, {
    hint: 'Choose another folder.',
  });
}

/**
 * Reads a folder of PEFT for a model with these modules. Tensors of any float type are read as float32.
 * @throws not-found; bad-file for a damaged folder; unsupported, by name, for kinds of adapters that are not LoRA or DoRA on
 * linear layers; mismatch for tensors of modules that the model does not have, or that are missing or of another size.
 */
export async function readAdapter(folder: string, available: readonly LoraModule[]): Promise<AdapterFolder> {
  const names = await filesOf(folder);
  if (!names.has(CONFIG)) {
    throw new TesseraError('not-found', `${folder} is no adapter: it has no ${CONFIG}.`, {
      hint: names.has('config.json') ? 'It holds a whole model.' : 'Check the path.',
    });
  }
  const config = await readJsonObject(joinPath(folder, CONFIG));
  refuseOthers(folder, config);
  const file = [WEIGHTS, 'adapter_model.bin'].find((name) => names.has(name));
  if (file === undefined) throw new TesseraError('not-found', `${folder} has no ${WEIGHTS}.`);
  const weights = await openWeights(joinPath(folder, file));
  try {
    const settings = settingsOf(folder, config, weights, available);
    const adapters: Record<string, LoraWeights<NDArray>> = {};
    for (const module of settings.modules) adapters[module.name] = await readModule(folder, weights, module, settings);
    const known = new Set(adapterTensors(settings, adapters).map(({ name }) => name));
    const unknown = weights.names.find((name) => !known.has(name));
    if (unknown !== undefined) {
      throw new TesseraError('unsupported', `The adapter in ${folder} has the tensor "${unknown}", which is not read.`);
    }
    const { base_model_name_or_path: base } = config;
    return { settings, adapters, ...(typeof base === 'string' ? { base } : {}) };
  } finally {
    await weights.close();
  }
}

async function filesOf(folder: string): Promise<ReadonlySet<string>> {
  const status = await stat(folder);
  if (status?.kind === 'directory') return new Set((await listDirectory(folder)).map(({ name }) => name));
  const what = status === undefined ? `There is no folder ${folder}.` : `${folder} is a file.`;
  throw new TesseraError('not-found', `${what} An adapter's folder was needed.`, { hint: 'Check the path.' });
}

/** Keys of the configuration that change what an adapter computes, and are not read; with the values that do no harm. */
const HARMLESS: Readonly<Record<string, readonly Json[]>> = {
  bias: ['none'],
  modules_to_save: [],
  layer_replication: [],
  trainable_token_indices: [],
  target_parameters: [],
  lora_bias: [false],
  use_qalora: [false],
  use_bdlora: [],
  alora_invocation_tokens: [],
  arrow_config: [],
  velora_config: [],
  monteclora_config: [],
  kasa_config: [],
};

function refuseOthers(folder: string, config: JsonObject): void {
  if (config.peft_type !== 'LORA') {
    throw new TesseraError(
      'unsupported',
      `${folder} holds an adapter of the type ${JSON.stringify(config.peft_type)}.`,
      {
        hint: 'Adapters of the type LORA are read.',
      },
    );
  }
  for (const [key, values] of Object.entries(HARMLESS)) {
    const value = config[key];
    const isEmpty = value === undefined || value === null || (Array.isArray(value) && value.length === 0);
    if (isEmpty || values.includes(value)) continue;
    throw new TesseraError(
      'unsupported',
      `The adapter in ${folder} has ${key} = ${JSON.stringify(value)}, which is not supported.`,
    );
  }
}

function settingsOf(folder: string, config: JsonObject, weights: Weights, available: readonly LoraModule[]): Lora {
  const number = (key: string, usual: number): number => {
    const value = config[key] ?? usual;
    if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
    throw new TesseraError('bad-file', `${joinPath(folder, CONFIG)} has ${key} = ${JSON.stringify(value)}.`);
  };
  const [rank, alpha, dropout] = [number('r', 8), number('lora_alpha', 8), number('lora_dropout', 0)];
  const rankStabilized = config.use_rslora === true;
  const [ranks, alphas] = [patterns(config.rank_pattern), patterns(config.alpha_pattern)];
  const modules = foundModules(folder, config, weights, available).map((module) => {
    const own = { rank: ranks(module.name) ?? rank, alpha: alphas(module.name) ?? alpha };
    return { ...module, ...own, scale: scaleOf(own.alpha, own.rank, rankStabilized) };
  });
  return { modules, available, rank, alpha, dropout, rankStabilized, dora: config.use_dora === true };
}

/** PEFT's patterns: the end of a module's name after a dot, or all of it, as a regular expression; the first one counts. */
function patterns(value: Json | undefined): (name: string) => number | undefined {
  const tests = Object.entries(isJsonObject(value) ? value : {}).map(
    ([pattern, number]) => [new RegExp(`^(.*\\.)?(${pattern})$`), Number(number)] as const,
  );
  return (name) => tests.find(([test]) => test.test(name))?.[1];
}

/** The modules that the file has tensors for. @throws mismatch when that is not what the configuration names. */
function foundModules(
  folder: string,
  config: JsonObject,
  weights: Weights,
  available: readonly LoraModule[],
): readonly LoraModule[] {
  const wanted = new Set(
    weights.names.flatMap((name) => /^base_model\.model\.(.+)\.lora_A\.weight$/.exec(name)?.slice(1, 2) ?? []),
  );
  for (const name of wanted) {
    if (available.some((module) => module.name === name)) continue;
    throw new TesseraError(
      'mismatch',
      `The adapter in ${folder} is for a module ${name}, which the model does not have.`,
      {
        hint: 'The adapter is of another model.',
      },
    );
  }
  const found = available.filter(({ name }) => wanted.has(name));
  if (found.length === 0) {
    throw new TesseraError('bad-file', `The adapter in ${folder} has no tensors of linear layers.`);
  }
  const targets = config.target_modules;
  const isNarrowed = (config.layers_to_transform ?? null) !== null || (config.exclude_modules ?? null) !== null;
  if (isNarrowed || (typeof targets !== 'string' && !Array.isArray(targets))) return found;
  const named = chooseModules(available, typeof targets === 'string' ? targets : targets.map(String));
  const missing = named.find((module) => !found.includes(module));
  if (missing === undefined) return found;
  throw new TesseraError('mismatch', `The adapter in ${folder} has no tensors for ${missing.name}, which it names.`);
}

async function readModule(
  folder: string,
  weights: Weights,
  { name, rank }: AdaptedModule,
  { dora }: Lora,
): Promise<LoraWeights<NDArray>> {
  const read = async (part: string, axes: number): Promise<NDArray> => {
    const full = `${PREFIX}${name}.${part}`;
    if (!weights.has(full)) {
      throw new TesseraError('mismatch', `The adapter in ${folder} has no tensor "${full}".`);
    }
    const array = await weights.read(full, { as: 'float32' });
    if (array.shape.length === axes) return array;
    throw new TesseraError('mismatch', `The tensor "${full}" in ${folder} is [${array.shape.join(', ')}].`);
  };
  const [a, b] = [transposed(await read('lora_A.weight', 2)), transposed(await read('lora_B.weight', 2))];
  if (a.shape[1] !== rank || b.shape[0] !== rank) {
    throw new TesseraError(
      'mismatch',
      `The adapter of ${name} in ${folder} has rank ${a.shape[1]} and ${b.shape[0]}; its configuration says ${rank}.`,
    );
  }
  return dora ? { a, b, magnitude: await read('lora_magnitude_vector', 1) } : { a, b };
}

function transposed({ data, shape: [rows = 0, columns = 0] }: NDArray): NDArray {
  const turned = new Float32Array(rows * columns);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) turned[j * rows + i] = Number(data[i * columns + j]);
  return { dtype: 'float32', shape: [columns, rows], data: turned };
}
