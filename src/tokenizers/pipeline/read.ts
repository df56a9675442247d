/** Fields of a tokenizer.json's components, read with errors that name the component and the field. */

import { isJsonObject, type Json, type JsonObject } from '../../formats/json.js';
import { TesseraError } from '../../host/error.js';

/** A component that says its type. */
export type Component = JsonObject & { readonly type: string };

/** The component in a field. @throws bad-file where it is no object with a "type". */
export function componentOf(value: Json, what: string, where: string): Component {
  if (isJsonObject(value)) {
    const { type } = value;
    if (typeof type === 'string') return { ...value, type };
  }
  throw new TesseraError('bad-file', `${where}: the ${what} has no "type".`);
}

/** The list in a field, which may be empty. @throws bad-file. */
export function listOf(value: Component, field: string, where: string): readonly Json[] {
  const list: Json | undefined = value[field];
  if (Array.isArray(list)) return list;
  throw wrong(value, field, 'a list', where);
}

/** The string in a field. @throws bad-file. */
export function stringOf(value: Component, field: string, where: string, fallback?: string): string {
  const text: Json | undefined = value[field] ?? fallback;
  if (typeof text === 'string') return text;
  throw wrong(value, field, 'a string', where);
}

/** The string of one character in a field. @throws bad-file. */
export function characterOf(value: Component, field: string, where: string): string {
  const text = stringOf(value, field, where);
  if ([...text].length === 1) return text;
  throw wrong(value, field, 'one character', where);
}

/** The boolean in a field. @throws bad-file. */
export function booleanOf(value: Component, field: string, where: string, fallback?: boolean): boolean {
  const flag: Json | undefined = value[field] ?? fallback;
  if (typeof flag === 'boolean') return flag;
  throw wrong(value, field, 'true or false', where);
}

/** The whole number of at least 0 in a field. @throws bad-file. */
export function countOf(value: Component, field: string, where: string, fallback?: number): number {
  const count: Json | undefined = value[field] ?? fallback;
  if (typeof count === 'number' && Number.isInteger(count) && count >= 0) return count;
  throw wrong(value, field, 'a whole number of at least 0', where);
}

/** @throws unsupported, naming the component. */
export function unknownComponent(what: string, type: string, where: string): never {
  throw new TesseraError('unsupported', `${where}: the ${what} ${JSON.stringify(type)} is not known here.`, {
    hint: 'Every component of tokenizers 0.22 can be read; a name may be misspelt, or newer than that.',
  });
}

function wrong(value: Component, field: string, wanted: string, where: string): TesseraError {
  const given = JSON.stringify(value[field] ?? null);
  const shown = given.length > 60 ? `${given.slice(0, 60)}...` : given;
  return new TesseraError('bad-file', `${where}: "${field}" of ${value.type} is ${shown}, not ${wanted}.`);
}
