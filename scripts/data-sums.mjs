/**
 * `node scripts/data-sums.mjs FOLDER`: the rows of name, bytes and SHA-256 that a file of src/systems/data-sets/ lists,
 * for every file below a folder. A file `NAME.gz` is summed as the content of NAME; with `--packed` as it is.
 */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, sep } from 'node:path';
import { gunzipSync } from 'node:zlib';

const [folder, ...options] = process.argv.slice(2);
if (folder === undefined) {
  console.error('Usage: node scripts/data-sums.mjs FOLDER [--packed]');
  process.exit(2);
}
const packed = options.includes('--packed');
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
  statSync(join(folder, name)).isFile(),
);
for (const file of files.sort()) {
  const unpack = file.endsWith('.gz') && !packed;
  const bytes = readFileSync(join(folder, file));
  const content = unpack ? gunzipSync(bytes) : bytes;
  const name = (unpack ? file.slice(0, -'.gz'.length) : file).split(sep).join('/');
  const sum = createHash('sha256').update(content).digest('hex');
  console.log(`    ['${name.replaceAll("'", "\\'")}', ${content.length}, '${sum}'],`);
}
