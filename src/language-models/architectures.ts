/** Every architecture by name, for commands that let a person choose; and opening a folder of any of them. */

import { joinPath, stat } from '#host';
import { readJsonObject } from '../formats/index.js';
import { TesseraError } from '../tensor/index.js';
import type { ArchitectureEntry, LoadedModel } from './contract.js';
import { ARCHITECTURES } from './entries.js';
import { GPT_ENTRY } from './gpt/entry.js';

/** The architecture of a name. @throws bad-option, naming those that there are. */
export function architectureOf(name: string): ArchitectureEntry {
  const found = ARCHITECTURES.find((entry) => entry.name === name);
  if (found !== undefined) return found;
  throw new TesseraError('bad-option', `There is no architecture "${name}".`, {
    hint: `Choose ${ARCHITECTURES.map((entry) => entry.name).join(', ')}.`,
  });
}

/**
 * Opens a model's folder of any architecture, by the `model_type` of its config.json.
 * @throws not-found, bad-file; unsupported for a type that none of them reads; mismatch.
 */
export async function openLanguageModel(folder: string): Promise<LoadedModel & { readonly entry: ArchitectureEntry }> {
  const path = joinPath(folder, 'config.json');
  const config = (await stat(path)) === undefined ? {} : await readJsonObject(path);
  // Some published folders have no type and name a class of theirs instead.
  const [named] = Array.isArray(config.architectures) ? config.architectures : [];
  const type = config.model_type;
  // A folder without a type is told of by the reader of folders, which knows what is wrong with it.
  const entry = ARCHITECTURES.find(({ modelTypes }) => modelTypes.includes(String(type ?? named)));
  if (entry === undefined && type !== undefined) {
    throw new TesseraError('unsupported', `${folder} holds a model of the type ${JSON.stringify(type)}.`, {
      hint: `Models of these types are read: ${ARCHITECTURES.flatMap(({ modelTypes }) => modelTypes).join(', ')}.`,
    });
  }
  const known = entry ?? GPT_ENTRY;
  const architecture = await known.load();
  return { ...(await architecture.open(folder, config)), entry: known };
}
