/** The work of `tessera tokenizer show` and `convert`. */

import { isJsonObject, type Json, type JsonObject, parseJson } from '../formats/index.js';
import { type OpenOptions, openTokenizer, type Tokenizer } from '../tokenizers/index.js';
import { writeTokenizer } from './learn-tokenizer.js';
import { count, type Output, table } from './output.js';

/** Choices of `show`. */
export interface ShowChoices extends OpenOptions {
  readonly special?: boolean;
  readonly addSpecial?: boolean;
}

/** Shows what a tokenizer is made of, and the tokens of a text. @throws as `openTokenizer`. */
export async function show(
  name: string,
  text: string | undefined,
  choices: ShowChoices,
  output: Output,
): Promise<void> {
  const tokenizer = await openTokenizer(name, choices);
  const facts = describe(tokenizer);
  const tokens = text === undefined ? undefined : tokensOf(tokenizer, text, choices);
  output.result(
    { tokenizer: name, ...facts.value, ...(tokens === undefined ? {} : { text: text ?? '', tokens: [...tokens] }) },
    () => (tokens === undefined ? facts.lines : tokenLines(tokens)),
  );
}

/** Writes a tokenizer as Hugging Face's files. @throws as `openTokenizer`; no-space. */
export async function convert(name: string, out: string, choices: OpenOptions, output: Output): Promise<void> {
  const tokenizer = await openTokenizer(name, choices);
  const files = await writeTokenizer(out, tokenizer);
  output.result({ tokenizer: name, size: tokenizer.vocabulary.size, files: [...files] }, () => files.join('\n'));
}

function describe(tokenizer: Tokenizer): { readonly value: JsonObject; readonly lines: string } {
  const special = [...tokenizer.special];
  const components = componentsOf(tokenizer);
  const value = {
    kind: tokenizer.name,
    size: tokenizer.vocabulary.size,
    endOfText: tokenizer.endOfText ?? null,
    lossy: tokenizer.lossy,
    special: Object.fromEntries(special),
    components,
  };
  const more = special.length > 8 ? ` and ${count(special.length - 8)} more` : '';
  const lines = table(
    ['tokenizer', 'value'],
    [
      ['kind', tokenizer.name],
      ['ids', count(tokenizer.vocabulary.size)],
      ['end of text', tokenizer.endOfText === undefined ? 'none' : String(tokenizer.endOfText)],
      ['gives text back', tokenizer.lossy ? 'not always' : 'always'],
      [
        'special tokens',
        special
          .slice(0, 8)
          .map(([token, id]) => `${token} ${id}`)
          .join(', ') + more || 'none',
      ],
      ...Object.entries(components).map(([part, types]) => [part.replace('_', ' '), types.join(', ') || 'none']),
    ],
  );
  return { value, lines };
}

/** The types of each component, as the tokenizer.json says them. */
function componentsOf(tokenizer: Tokenizer): Readonly<Record<string, readonly string[]>> {
  const saved = tokenizer.save().find(({ file }) => file === 'tokenizer.json');
  const file = saved === undefined ? {} : parseJson(saved.text, 'tokenizer.json');
  const parts = isJsonObject(file) ? file : {};
  const names = ['normalizer', 'pre_tokenizer', 'model', 'post_processor', 'decoder'];
  return Object.fromEntries(names.map((name) => [name, typesOf(parts[name])]));
}

function typesOf(value: Json | undefined): readonly string[] {
  if (!isJsonObject(value)) return [];
  const list = ['normalizers', 'pretokenizers', 'processors', 'decoders']
    .map((name) => value[name])
    .find(Array.isArray);
  if (Array.isArray(list)) return list.flatMap((part: Json) => typesOf(part));
  return typeof value.type === 'string' ? [value.type] : [];
}

interface ShownToken {
  readonly id: number;
  /** The token's bytes in hexadecimal. */
  readonly bytes: string;
  readonly text: string;
  /** Where it starts and ends in the text's UTF-8; null where the text was rewritten. */
  readonly start: number | null;
  readonly end: number | null;
}

function tokensOf(tokenizer: Tokenizer, text: string, choices: ShowChoices): readonly (ShownToken & JsonObject)[] {
  const ids = tokenizer.encode(text, {
    parseSpecialTokens: choices.special === true,
    addSpecialTokens: choices.addSpecial === true,
  });
  const whole = new TextEncoder().encode(text);
  let at = 0;
  return [...ids].map((id) => {
    const bytes = tokenizer.vocabulary.token(id);
    const place = placeOf(whole, at, tokenizer, bytes) ?? placeOf(whole, at, tokenizer, tokenizer.decodeBytes([id]));
    if (place !== undefined) at = place.end;
    const { start = null, end = null } = place ?? {};
    return { id, bytes: hex(bytes), text: new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes), start, end };
  });
}

/** Where a token's bytes are at or after a place, marks of words aside; undefined where they are not. */
function placeOf(
  whole: Uint8Array,
  at: number,
  tokenizer: Tokenizer,
  token: Uint8Array,
): { readonly start: number; readonly end: number } | undefined {
  if (isAt(whole, at, token)) return { start: at, end: at + token.length };
  if (!tokenizer.lossy) return undefined;
  const plain = new TextDecoder()
    .decode(token)
    .replace(/^##|<\/w>$/g, '')
    .replaceAll('\u2581', ' ');
  for (const form of [plain, plain.trimStart()]) {
    const bytes = new TextEncoder().encode(form);
    if (bytes.length === 0) continue;
    let start = at;
    while (isSpace(whole[start]) && !isAt(whole, start, bytes)) start++;
    if (isAt(whole, start, bytes)) return { start, end: start + bytes.length };
  }
  return undefined;
}

/** Bytes of a token stand at a place; letters of ASCII in either case. */
function isAt(whole: Uint8Array, at: number, token: Uint8Array): boolean {
  if (token.length === 0 || at + token.length > whole.length) return false;
  return token.every((byte, i) => byte === fold(whole[at + i] as number) || byte === whole[at + i]);
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || (byte !== undefined && byte >= 9 && byte <= 13);
}

function fold(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte;
}

function tokenLines(tokens: readonly ShownToken[]): string {
  const rows = tokens.map(({ id, bytes, text, start, end }) => [
    id,
    start === null ? '-' : `${start}..${end}`,
    JSON.stringify(text),
    bytes,
  ]);
  return `${table(['id', 'bytes at', 'token', 'hexadecimal'], rows)}\n${count(tokens.length)} tokens`;
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
}
