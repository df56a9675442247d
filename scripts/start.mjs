/** `npm start`: everything that is missing, then the main job, `tessera demo`, in this very process. */

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ensure } from './ensure.mjs';
import { root } from './processes.mjs';

ensure();
// In this process, so that Ctrl-C, the terminal and the exit code are the command's own.
const command = join(root, 'dist', 'cli', 'main.js');
process.argv.splice(1, 1, command, 'demo');
await import(pathToFileURL(command).href);
