/**
 * `npm run bench -- NAME [--json] [--save]`: bench/NAME.ts against its named peers. It gives `{ ok, report }`;
 * `--json` prints the report as JSON, `--save` also writes it to bench/results/NAME.json. Exit code 0 or 1.
 */

import { asLines, runNamed, writeFigures } from './programs.mjs';

const json = takeFlag('--json');
const save = takeFlag('--save');
const done = await runNamed('bench', 'npm run bench --');
if (done !== undefined) {
  const { ok, report } = /** @type {{ ok: boolean, report: object }} */ (done.result);
  process.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : asLines(report));
  if (save) writeFigures(done.name, { ok, figures: report });
  process.exit(ok ? 0 : 1);
}

/** @param {string} flag @returns {boolean} whether it was on the command line, from which it is removed */
function takeFlag(flag) {
  const at = process.argv.indexOf(flag, 2);
  if (at >= 0) process.argv.splice(at, 1);
  return at >= 0;
}
