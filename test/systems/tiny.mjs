/**
 * A system for the tests of the catalogue alone: it counts the letter e of a text on the engine, after a part that is
 * kept. Started as a program it is `tessera reproduce` for a catalogue of this one system.
 */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { atLeast, atMost } from 'tessera-kit/systems';
import { array, constant, equal, sum, where } from 'tessera-kit/tensor';

/** The text that the tests write; its sum is that of `printf 'the bees keep free trees\n' | sha256sum`. */
export const TEXT = 'the bees keep free trees\n';

/** @type {import('tessera-kit/systems').DataSet} */
export const WORDS = {
  name: 'tiny-words',
  about: 'one line about bees',
  licence: 'none needed',
  files: [
    {
      name: 'words.txt',
      repository: 'nobody/nothing',
      path: 'words/words.txt',
      bytes: TEXT.length,
      sha256: '86d0340a4ffb046e433d101d1b464374dfab3c38689eb33adeb3cc39d1037fe0',
    },
  ],
};

/**
 * @typedef {object} TinyOptions
 * @property {number} [least] the count that the claim needs
 * @property {number} [than] the baseline's count
 * @property {boolean} [slow] go on until the signal fires
 * @property {boolean} [deaf] go on for four seconds, whether the signal fires or not
 * @property {() => void} [onMake] called when the part is made
 * @property {readonly import('tessera-kit/systems').Criterion[]} [criteria] in place of the own ones
 */

/** @param {TinyOptions} [options] @returns {import('tessera-kit/systems').System} */
export function tiny({ least = 5, than = 2, slow = false, deaf = false, onMake, criteria } = {}) {
  return {
    slug: 'tiny-bees',
    name: 'Tiny bees',
    paper: { title: 'On bees', year: 2001, arxiv: '0101.00001' },
    family: 'tests',
    gives: 'a count of a letter',
    claim: 'Bees hold many an e.',
    library: "import { count } from 'bees';\n\ncount('bees');",
    command: 'tessera bees',
    limits: ['only the letter e'],
    reproduction: {
      baseline: 'a line of two',
      data: ['tiny-words'],
      minutes: 1,
      run: async ({ data, kept, report, runtime, seed, signal, size }) => {
        const part = await kept('letters', { seed, size }, async (folder) => {
          onMake?.();
          const bytes = await readFile(await data('tiny-words', 'words.txt'));
          const text = bytes[0] === 0x1f ? gunzipSync(bytes) : bytes;
          await writeFile(join(folder, 'letters.json'), JSON.stringify([...text]));
          for (let step = 0; slow || (deaf && step < 200); step++) {
            report('counting, letter', step % 100, 100, `letter ${step}`);
            await sleep(20);
            if (!deaf) signal.throwIfAborted();
          }
        });
        report('counting, letter', 1, 1);
        /** @type {number[]} */
        const letters = JSON.parse(await readFile(join(part, 'letters.json'), 'utf8'));
        const input = { letters: array(Float32Array.from(letters), [letters.length]) };
        const program = await runtime.compile(
          (_state, /** @type {{ letters: import('tessera-kit/tensor').Tensor }} */ given) => ({
            out: { found: sum(where(equal(given.letters, 'e'.charCodeAt(0)), constant(1), constant(0))) },
          }),
          { state: {}, input: { letters: { dtype: 'float32', shape: [letters.length] } } },
        );
        const { out } = await program.run(await runtime.upload({}), input);
        const found = Number(out.found.data[0]);
        return {
          figures: { found, share: found / letters.length, by: { seed, list: [1, 2.5] } },
          criteria: criteria ?? [
            atLeast(least, { says: 'letters e', measured: found, than }),
            atMost(0.5, { says: 'share of e', measured: found / letters.length }),
          ],
          remarks: ['The bees were asked | once.'],
        };
      },
    },
  };
}

/** @param {TinyOptions} [options] @returns {import('tessera-kit/systems').SystemEntry} */
export function tinyEntry(options) {
  const { slug, name, family, gives } = tiny(options);
  return { slug, name, family, gives, load: async () => tiny(options) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { fail } = await import('../../dist/cli/errors.js');
  const { runJob } = await import('../../dist/cli/options.js');
  const { reproduceCommand } = await import('../../dist/cli/reproduce.js');
  const { reproduce } = await import('../../dist/cli/reproduce-run.js');
  const { BEES, BEES_ROOT: root, BEES_LEAST: least } = process.env;
  const systems = [
    tinyEntry({ slow: BEES === 'slow', deaf: BEES === 'deaf', least: least === undefined ? undefined : Number(least) }),
  ];
  const command = reproduceCommand();
  command
    .exitOverride()
    .action((slug, choices) =>
      runJob(choices, (job) => reproduce(slug, choices, job, { systems, dataSets: [WORDS], root })),
    );
  try {
    await command.parseAsync(process.argv);
  } catch (error) {
    process.exitCode = fail(error, process.argv);
  }
}
