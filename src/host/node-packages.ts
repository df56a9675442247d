/** Files of installed packages, for the Node half. */

import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cwd } from 'node:process';
import { fileURLToPath } from 'node:url';

/**
 * A file below a `node_modules` folder (`package/path/in/it`), searched upward from the working folder and then from the
 * place of this package; undefined where there is none.
 */
export async function findInstalledFile(path: string): Promise<string | undefined> {
  for (const start of [cwd(), dirname(fileURLToPath(import.meta.url))]) {
    for (let folder = start; ; folder = dirname(folder)) {
      const file = join(folder, 'node_modules', path);
      if (await isFile(file)) return file;
      if (dirname(folder) === folder) break;
    }
  }
  return undefined;
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
