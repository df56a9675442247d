/** JSON values as types, and JSON files read with errors that say where they are wrong. */

import { readTextFile, writeFileAtomic } from '#host';
import { TesseraError } from '../host/error.js';

/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** A JSON object. */
export interface JsonObject {
  readonly [key: string]: Json;
}

/** True for a JSON object: neither null nor an array. */
export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Parses JSON; `where` names the source in the error. @throws bad-file with the reason. */
export function parseJson(text: string, where: string): Json {
  try {
    const value: Json = JSON.parse(text);
    return value;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TesseraError('bad-file', `${where} is not valid JSON: ${reason}.`, { cause: error });
  }
}

/** Reads a file that must hold a JSON object. @throws not-found, bad-file. */
export async function readJsonObject(path: string): Promise<JsonObject> {
  const value = parseJson(await readTextFile(path), path);
  if (isJsonObject(value)) return value;
  throw new TesseraError('bad-file', `${path} must hold a JSON object, { ... }, and holds something else.`);
}

/** Writes a JSON file as Hugging Face does: indented by two, a newline at the end; atomic. @throws no-space. */
export function writeJson(path: string, value: Json): Promise<void> {
  return writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`);
}
