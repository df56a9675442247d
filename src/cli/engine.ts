/** Opens engines and models for commands, with sentences for what is not there. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadAdapter, openLanguageModel } from '../language-models/index.js';
import { mergeLora } from '../nn/index.js';
import { createRuntime, DEVICES, type Device, type Runtime, TesseraError } from '../tensor/index.js';
import type { Output } from './output.js';

/** What `--device` and `--threads` gave. */
export interface EngineChoices {
  readonly device?: string;
  readonly threads?: number;
}

/** Starts an engine. @throws bad-option for an unknown name; not-found or unsupported for one that is not there. */
export async function openEngine(choices: EngineChoices, output?: Output): Promise<Runtime> {
  const device = deviceOf(choices.device ?? 'auto');
  const runtime = await createRuntime({ device, threads: choices.threads });
  // The slow engine is told of, with the way to the fast one; nobody needs to know of the usual one.
  if (runtime.device === 'wasm' && device === 'auto') output?.note(runtime.about);
  return runtime;
}

function deviceOf(name: string): Device | 'auto' {
  const found = (['auto', ...DEVICES] as const).find((device) => device === name);
  if (found !== undefined) return found;
  throw new TesseraError('bad-option', `There is no device "${name}".`, {
    hint: `Choose auto, ${DEVICES.join(', ')}; tessera doctor tells which are there.`,
  });
}

/** The model's own folder: `path` itself, or `model` in it when it is the folder of a run. */
export function modelFolderOf(path: string): string {
  const inside = join(path, 'model');
  return existsSync(join(inside, 'config.json')) ? inside : path;
}

/** An adapter's own folder: `path` itself, or `adapter` in it when it is the folder of a run. */
export function adapterFolderOf(path: string): string {
  const inside = join(path, 'adapter');
  return existsSync(join(inside, 'adapter_config.json')) ? inside : path;
}

/**
 * Opens a model's folder, or that of a run; with an adapter, its weights are read merged.
 * @throws not-found, with what to do for a run that is not finished; what the adapter is refused for when weights are read.
 */
export async function openModel(
  path: string,
  adapter?: string,
): Promise<Awaited<ReturnType<typeof openLanguageModel>> & { readonly folder: string }> {
  const folder = modelFolderOf(path);
  if (folder === path && existsSync(join(path, 'checkpoints'))) {
    if (adapterFolderOf(path) !== path) {
      throw new TesseraError('not-found', `The run in ${path} trained an adapter, which is no model by itself.`, {
        hint: `Name its base model, and --adapter ${path}, or merge the two with tessera merge.`,
      });
    }
    throw new TesseraError('not-found', `The run in ${path} has no model yet.`, {
      hint: 'Give the command that started it again: it goes on from its last checkpoint and writes the model at its end.',
    });
  }
  const loaded = await openLanguageModel(folder);
  if (adapter === undefined) return { ...loaded, folder };
  const parameters = async () => {
    const base = await loaded.parameters();
    const { settings, adapters } = await loadAdapter(adapterFolderOf(adapter), loaded.model, base);
    return mergeLora(base, settings, adapters);
  };
  return { ...loaded, parameters, folder };
}
