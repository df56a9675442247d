/**
 * Small components of a tokenizer.json: the post-processor, which puts special tokens around a text, for any model; for
 * byte-level ones the normalizers (Unicode's four forms) and the ByteLevel decoder. What is not known is an error that
 * names it.
 */

import { isJsonObject, type Json, type JsonObject } from '../formats/json.js';
import { TesseraError } from '../host/error.js';

/** Special tokens that the post-processor puts before and after a text. */
export interface Surrounding {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** Reads a `normalizer`: a function of strings, or undefined for none. @throws unsupported, bad-file. */
export function readNormalizer(value: Json | undefined, where: string): ((text: string) => string) | undefined {
  if (value === undefined || value === null) return undefined;
  const type = typeOf(value, 'normalizer', where);
  if (type === 'NFC' || type === 'NFD' || type === 'NFKC' || type === 'NFKD') return (text) => text.normalize(type);
  if (type !== 'Sequence') return unknown('normalizer', type, where);
  const parts = listOf(value, 'normalizers', where)
    .map((part) => readNormalizer(part, where))
    .filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : (text) => parts.reduce((result, normalize) => normalize(result), text);
}

/** Reads a `post_processor` for a single text. @throws unsupported, bad-file. */
export function readPostProcessor(value: Json | undefined, where: string): Surrounding {
  if (value === undefined || value === null) return { before: [], after: [] };
  const type = typeOf(value, 'post_processor', where);
  switch (type) {
    case 'ByteLevel':
      return { before: [], after: [] };
    case 'RobertaProcessing':
    case 'BertProcessing':
      return { before: [pairId(value, 'cls', where)], after: [pairId(value, 'sep', where)] };
    case 'TemplateProcessing':
      return readTemplate(value, where);
    case 'Sequence':
      return listOf(value, 'processors', where)
        .map((part) => readPostProcessor(part, where))
        .reduce<Surrounding>(
          (inner, outer) => ({
            before: [...outer.before, ...inner.before],
            after: [...inner.after, ...outer.after],
          }),
          { before: [], after: [] },
        );
    default:
      return unknown('post-processor', type, where);
  }
}

/** Checks that a `decoder` puts bytes together and nothing else. @throws unsupported, bad-file. */
export function checkDecoder(value: Json | undefined, where: string): void {
  if (value === undefined || value === null) {
    throw new TesseraError('unsupported', `${where} has no decoder; a byte-level tokenizer has ByteLevel there.`);
  }
  const type = typeOf(value, 'decoder', where);
  if (type === 'Sequence') for (const part of listOf(value, 'decoders', where)) checkDecoder(part, where);
  else if (type !== 'ByteLevel' && type !== 'Fuse') unknown('decoder', type, where);
}

function readTemplate(value: Json, where: string): Surrounding {
  const before: number[] = [];
  const after: number[] = [];
  let side = before;
  const tokens = isJsonObject(value) && isJsonObject(value.special_tokens) ? value.special_tokens : {};
  for (const piece of listOf(value, 'single', where)) {
    const { Sequence: sequence, SpecialToken: token } = isJsonObject(piece) ? piece : {};
    if (isJsonObject(token) && typeof token.id === 'string') {
      const entry = tokens[token.id];
      const ids = isJsonObject(entry) ? entry.ids : undefined;
      if (!Array.isArray(ids) || !ids.every((id: Json) => typeof id === 'number')) {
        throw new TesseraError(
          'bad-file',
          `${where}: the template's special token ${JSON.stringify(token.id)} has no ids.`,
        );
      }
      side.push(...ids);
    } else if (isJsonObject(sequence) && sequence.id === 'A' && side === before) side = after;
    else if (sequence !== undefined) {
      throw new TesseraError('unsupported', `${where}: the template of a single text must have it once, as "A".`);
    } else throw new TesseraError('bad-file', `${where}: a template holds neither a Sequence nor a SpecialToken.`);
  }
  if (side === before) throw new TesseraError('bad-file', `${where}: the template of a single text lacks the text.`);
  return { before, after };
}

/** The id in a `["<s>", 0]` field. */
function pairId(value: Json, field: string, where: string): number {
  const pair = isJsonObject(value) ? value[field] : undefined;
  const id: Json | undefined = Array.isArray(pair) ? pair[1] : undefined;
  if (typeof id === 'number') return id;
  throw new TesseraError('bad-file', `${where}: the post-processor's "${field}" is not a token and its id.`);
}

function typeOf(value: Json, what: string, where: string): string {
  const type = isJsonObject(value) ? value.type : undefined;
  if (typeof type === 'string') return type;
  throw new TesseraError('bad-file', `${where}: the ${what} has no "type".`);
}

function listOf(value: Json | JsonObject, field: string, where: string): readonly Json[] {
  const list = isJsonObject(value) ? value[field] : undefined;
  if (Array.isArray(list)) return list;
  throw new TesseraError('bad-file', `${where}: "${field}" is not a list.`);
}

function unknown(what: string, type: string, where: string): never {
  throw new TesseraError('unsupported', `${where}: the ${what} ${JSON.stringify(type)} is not known here.`, {
    hint: 'Every component of tokenizers 0.22 can be read; a name may be misspelt, or newer than that.',
  });
}
