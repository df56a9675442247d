/** The committed results, which the package carries, and writing a new one in a checkout. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readTextFile } from '#host';
import { parseResult, type ReproductionResult } from '../systems/index.js';
import { TesseraError } from '../tensor/index.js';

/** The folder of the package. */
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The folder of results below a checkout or an installed package. */
function resultsFolder(root: string): string {
  return join(root, 'reproductions', 'results');
}

/** The committed result of a system; undefined when there is none. @throws bad-file. */
export async function committedResult(slug: string, root = ROOT): Promise<ReproductionResult | undefined> {
  const path = join(resultsFolder(root), `${slug}.json`);
  return existsSync(path) ? parseResult(await readTextFile(path), path) : undefined;
}

/** Where `--save` writes a system's result. @throws bad-option outside of a checkout. */
export function savePath(slug: string, root = ROOT): string {
  if (existsSync(join(root, '.git')) && existsSync(join(root, 'reproductions'))) {
    return join(resultsFolder(root), `${slug}.json`);
  }
  throw new TesseraError('bad-option', '--save writes into reproductions/results of a checkout of the repository.', {
    hint: 'Write the result to a file of yours with --out FILE.',
  });
}
