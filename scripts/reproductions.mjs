/**
 * `node scripts/reproductions.mjs`: makes reproductions/README.md from reproductions/results/*.json. Needs nothing but
 * Node. A test fails while the table is not what the results give.
 */

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const folder = fileURLToPath(new URL('../reproductions', import.meta.url));

/**
 * A result as `tessera reproduce --save` writes it.
 * @typedef {object} Result
 * @property {string} slug
 * @property {string} name
 * @property {string} claim
 * @property {string} baseline
 * @property {string} verdict
 * @property {{ says: string, measured: number | null, needs: string, holds: boolean, direction: boolean }[]} criteria
 * @property {string[]} remarks
 * @property {string} command
 * @property {string} machine
 * @property {string} date
 * @property {number} seed
 * @property {number} seconds
 */

/** The page for the results in a folder. @param {string} results @returns {string} */
export function pageOf(results) {
  const files = existsSync(results) ? readdirSync(results).filter((file) => file.endsWith('.json')) : [];
  /** @type {Result[]} */
  const all = files.sort().map((file) => JSON.parse(readFileSync(join(results, file), 'utf8')));
  return [
    '# Reproductions',
    '',
    'Each system of the catalogue comes with a small experiment that tests what its paper claims. `tessera reproduce SLUG`',
    'runs it; the verdict is computed from stated criteria: *reproduced* when all hold, *partly* when the direction of',
    'each holds and the size of one does not, *not reproduced* otherwise. `tessera data list` tells where the data is had.',
    '',
    'This page is made from `results/` by `node scripts/reproductions.mjs`.',
    '',
    ...(all.length === 0 ? ['There is no result yet.'] : [...tableOf(all), '', ...all.flatMap(detailsOf)]),
  ]
    .join('\n')
    .trimEnd()
    .concat('\n');
}

/** @param {Result[]} all */
function tableOf(all) {
  return [
    '| system | claim | baseline | verdict | figures | command | seconds |',
    '|---|---|---|---|---|---|---:|',
    ...all.map((result) => {
      const figures = result.criteria.map(
        ({ says, measured, needs, holds }) => `${says}: **${figure(measured)}** (${needs}${holds ? '' : ': fails'})`,
      );
      const { slug, name, claim, baseline, verdict, command, seconds } = result;
      const cells = [
        `[${cell(name)}](results/${slug}.json)`,
        cell(claim),
        cell(baseline),
        verdict,
        figures.map(cell).join('<br>'),
        `\`${command}\``,
        seconds.toFixed(0),
      ];
      return `| ${cells.join(' | ')} |`;
    }),
  ];
}

/** What the table has no room for. @param {Result} result */
function detailsOf({ name, date, seed, machine, remarks }) {
  return [`**${name}**: run ${date} with seed ${seed} on ${machine}.`, ...remarks.map((remark) => `- ${remark}`), ''];
}

/** Text that stays in its cell. @param {string} text */
function cell(text) {
  return text.replace(/\s*\n\s*/g, ' ').replaceAll('|', '\\|');
}

/** @param {number | null} value */
function figure(value) {
  if (value === null) return 'not finite';
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const page = join(folder, 'README.md');
  writeFileSync(page, pageOf(join(folder, 'results')));
  console.error(`Made ${page}.`);
}
