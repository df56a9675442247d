/**
 * `npm run verify -- NAME`: a claim of the README, measured. bench/verify/NAME.ts gives `{ ok, figures }`; the
 * figures are printed (or, where it gives one, its own `text`) and written to bench/results/verify-NAME.json. Exit code 0
 * when the claim holds, else 1.
 */

import { relative } from 'node:path';
import { root } from './processes.mjs';
import { asLines, runNamed, writeFigures } from './programs.mjs';

const done = await runNamed('bench/verify', 'npm run verify --');
if (done !== undefined) {
  const { ok, figures, text } = /** @type {{ ok: boolean, figures: object, text?: string }} */ (done.result);
  process.stdout.write(text ?? asLines(figures));
  const file = writeFigures(`verify-${done.name}`, { ok, figures });
  console.log(`${done.name}: ${ok ? 'holds' : 'does not hold'}; figures in ${relative(root, file)}`);
  process.exit(ok ? 0 : 1);
}
