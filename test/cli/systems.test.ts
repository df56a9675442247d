/** `tessera systems`, `reproduce` and `data` as a person calls them, and what they get wrong. */

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { DATA_SETS, parseResult, SYSTEMS } from 'tessera-kit/systems';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Output } from '../../dist/cli/output.js';
import { listSystems, showSystem } from '../../dist/cli/systems-run.js';
import { TEXT, tinyEntry } from '../systems/tiny.mjs';
import { bin, type Called, contentOf } from './command.js';

const folder = mkdtempSync(join(tmpdir(), 'tessera-systems-'));
const path = (name: string): string => join(folder, name);
/** `tessera reproduce` for a catalogue of one system. */
const tinyBin = fileURLToPath(new URL('../systems/tiny.mjs', import.meta.url));

function call(script: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Called {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    encoding: 'utf8',
    cwd: path('work'),
    env: { ...process.env, TESSERA_DATA: path('data'), TESSERA_CACHE: path('cache'), ...env },
  });
  return { status, stdout, stderr };
}
const bees = (args: readonly string[], env?: Readonly<Record<string, string>>): Called =>
  call(tinyBin, ['tiny-bees', ...args], env);

/** An output that remembers results. */
function recorder(): { readonly output: Output; readonly texts: string[]; readonly values: unknown[] } {
  const [texts, values]: [string[], unknown[]] = [[], []];
  const output: Output = {
    json: false,
    note: () => undefined,
    write: () => undefined,
    result: (value, lines) => {
      values.push(value);
      texts.push(lines());
    },
    progress: () => ({ update: () => undefined, end: () => undefined }),
  };
  return { output, texts, values };
}

beforeAll(() => {
  for (const name of ['work', 'data/tiny-words', 'broken/tinyshakespeare', 'checkout/reproductions', 'checkout/.git']) {
    mkdirSync(path(name), { recursive: true });
  }
  writeFileSync(path('data/tiny-words/words.txt'), TEXT);
  writeFileSync(path('broken/tinyshakespeare/input.txt.gz'), gzipSync('First Citizen:\nNothing more.\n'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('tessera reproduce', () => {
  it('prints claim, baseline, figures, criteria and the verdict, and what it does on stderr', () => {
    const { status, stdout, stderr } = bees(['--fresh']);
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/^Tiny bees\nclaim +Bees hold many an e\.\nbaseline +a line of two\n/);
    expect(stdout).toMatch(/\nfound +9\nshare +0\.36\nby\.seed +0\nby\.list +1 2\.5\n/);
    expect(stdout).toMatch(/\nletters e +9 +at least 5 +holds\nshare of e +0\.36 +at most 0\.5 +holds\n/);
    expect(stdout).toMatch(/\nverdict +reproduced\nrun +tessera reproduce tiny-bees --seed 0\n/);
    expect(stderr).toMatch(/about 1 minute on two cores\.\nSeed 0; \d+ cores.*\nMade: letters, in 0:0\d\./);
    expect(bees([]).stderr).toMatch(/Kept from an earlier run: letters/);
  });

  it('prints the six parts of a result with --json, and writes the whole one with --out', () => {
    const { status, stdout } = bees(['--json', '--seed', '2', '--out', path('out/result.json')]);
    expect(status).toBe(0);
    const said: Record<string, unknown> = JSON.parse(stdout);
    expect(Object.keys(said)).toEqual(['slug', 'claim', 'figures', 'criteria', 'verdict', 'seconds']);
    expect(said).toMatchObject({ slug: 'tiny-bees', verdict: 'reproduced', figures: { found: 9, by: { seed: 2 } } });
    const whole = parseResult(readFileSync(path('out/result.json'), 'utf8'), 'result.json');
    expect(whole).toMatchObject({ seed: 2, command: 'tessera reproduce tiny-bees --seed 2', seconds: said.seconds });
    expect(readdirSync(path('out'))).toEqual(['result.json']);
  });

  it('exits 0 whatever the verdict, and 1 with --strict unless it is "reproduced"', () => {
    const failing = { BEES_LEAST: '10' };
    expect(bees([], failing)).toMatchObject({ status: 0, stdout: expect.stringMatching(/verdict +partly/) });
    expect(bees(['--strict'], failing)).toMatchObject({ status: 1, stdout: expect.stringMatching(/verdict +partly/) });
  });

  it('runs in seconds with --quick, where it keeps nothing', () => {
    const { status, stdout } = bees(['--quick', '--json'], { TESSERA_CACHE: path('quick-cache') });
    expect({ status, verdict: JSON.parse(stdout).verdict }).toEqual({ status: 0, verdict: 'smoke' });
    expect(existsSync(path('quick-cache'))).toBe(false);
    expect(readdirSync(path('work'))).toEqual([]);
  });

  it('writes the result that the repository keeps with --save', () => {
    const { status, stderr } = bees(['--save', '--strict'], { BEES_ROOT: path('checkout') });
    expect(status, stderr).toBe(0);
    expect(stderr).toMatch(/node scripts\/reproductions\.mjs/);
    const file = path('checkout/reproductions/results/tiny-bees.json');
    expect(parseResult(readFileSync(file, 'utf8'), file)).toMatchObject({ slug: 'tiny-bees', size: 'full' });
  });

  it.each(['slow', 'deaf'])('stops at Ctrl-C with a sentence and leaves nothing half-made: %s', async (kind) => {
    const cache = path(`cache-${kind}`);
    const child = spawn(process.execPath, [tinyBin, 'tiny-bees', '--out', path(`${kind}.json`)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: path('work'),
      env: { ...process.env, TESSERA_DATA: path('data'), TESSERA_CACHE: cache, BEES: kind },
    });
    let [stdout, stderr, stoppedAt] = ['', '', 0];
    child.stdout.on('data', (text) => {
      stdout += String(text);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      if (stoppedAt > 0 || !/letter 0 of 100/.test(stderr)) return;
      stoppedAt = performance.now();
      child.kill('SIGINT');
    });
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
    const seconds = (performance.now() - stoppedAt) / 1000;
    expect(code, stderr).toBe(1);
    expect(stderr).toMatch(/Stopping\..*\ntessera: The reproduction of Tiny bees was stopped\.\n.*kept for the next/);
    expect(stdout).toBe('');
    // The deaf one would go on for four seconds.
    expect(seconds).toBeLessThan(3);
    expect(Object.keys(contentOf(cache))).toEqual([]);
    expect(readdirSync(folder).filter((name) => name.includes(`${kind}.json`))).toEqual([]);
  });
});

describe('tessera systems', () => {
  it('lists every system by family, with --json too', () => {
    const { status, stdout } = call(bin, ['systems']);
    expect(status).toBe(0);
    for (const { slug, family, gives } of SYSTEMS) {
      expect(stdout).toContain(`${family}\n`);
      expect(stdout).toMatch(new RegExp(`\\n  ${slug} .*${gives.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\n`));
    }
    const listed: { readonly slug: string }[] = JSON.parse(call(bin, ['systems', '--json']).stdout);
    expect(listed.map(({ slug }) => slug)).toEqual(SYSTEMS.map(({ slug }) => slug));
  });

  it.each(SYSTEMS.map(({ slug }) => slug))('explains %s', async (slug) => {
    const { output, texts, values } = recorder();
    await showSystem(slug, output);
    for (const label of ['gives', 'paper', 'claim', 'library', 'command', 'limits', 'test']) {
      expect(texts[0]).toMatch(new RegExp(`^${label} +\\S`, 'm'));
    }
    expect(texts[0]).toMatch(/^(result +none yet|The committed result)$/m);
    expect(values[0]).toMatchObject({ slug, reproduction: { command: `tessera reproduce ${slug}` } });
  });

  it.skipIf(SYSTEMS.length === 0)('explains one by its name, with and without "show"', () => {
    const slug = SYSTEMS[0]?.slug ?? '';
    const { status, stdout, stderr } = call(bin, ['systems', 'show', slug]);
    expect(status, stderr).toBe(0);
    expect(stdout).toContain(SYSTEMS[0]?.gives);
    expect(call(bin, ['systems', slug]).stdout).toBe(stdout);
  });

  it('explains a system of another catalogue', async () => {
    const { output, texts } = recorder();
    await listSystems(output, [tinyEntry()]);
    await showSystem('tiny-bees', output, [tinyEntry()]);
    expect(texts[0]).toMatch(/^tests\n {2}slug +verdict +gives\n {2}tiny-bees +no result yet +a count of a letter\n/);
    expect(texts[1]?.split('\n')).toEqual([
      'Tiny bees (tests)',
      'gives     a count of a letter',
      'paper     On bees, 2001, arXiv 0101.00001',
      'claim     Bees hold many an e.',
      "library   import { count } from 'bees';",
      '',
      "          count('bees');",
      'command   tessera bees',
      'limits    - only the letter e',
      'test      tessera reproduce tiny-bees',
      '          against a line of two; reads tiny-words; about 1 min on two cores',
      'result    none yet',
    ]);
  });
});

describe('tessera data', () => {
  it('lists every set with source, licence, size and whether it is here', () => {
    const { status, stdout } = call(bin, ['data', 'list']);
    expect(status).toBe(0);
    for (const { name, licence } of DATA_SETS) {
      expect(stdout).toMatch(new RegExp(`^${name}\nwhat +\\S.*\nsource +https://github\\.com/`, 'm'));
      expect(stdout).toContain(licence);
    }
    expect(stdout.match(/^here +missing$/gm)).toHaveLength(DATA_SETS.length);
    expect(call(bin, ['data']).stdout).toBe(stdout);
  });

  it('lists files with sizes, sums and sources, for a person and for a program', () => {
    const [set] = DATA_SETS;
    if (set === undefined) throw new Error('there is data');
    const { stdout } = call(bin, ['data', 'list', set.name]);
    for (const { name, bytes, sha256, path: place } of set.files) {
      expect(stdout).toMatch(new RegExp(`^${name} +${bytes} +${sha256} +missing +.*${place}$`, 'm'));
    }
    const listed = JSON.parse(call(bin, ['data', 'list', '--json']).stdout);
    expect(listed).toHaveLength(DATA_SETS.length);
    expect(listed[0]).toMatchObject({ name: set.name, licence: set.licence, folder: null, whole: false });
    expect(listed[0].files[0]).toMatchObject({ sha256: set.files[0]?.sha256, state: 'missing', path: null });
  });

  it('checks sums, names what is missing or wrong and where to get it, and exits 2', () => {
    const { status, stdout, stderr } = call(bin, ['data', 'check'], { TESSERA_DATA: path('broken') });
    expect(status).toBe(2);
    expect(stdout).toMatch(/^english-novels +\d+ +\S+ MB +missing +nowhere$/m);
    expect(stdout).toMatch(/^tinyshakespeare +1 +1\.1 MB +1 not as published +\S+tinyshakespeare$/m);
    expect(stderr).toMatch(/input\.txt\.gz has 29 bytes; the published file has 1115394\./);
    expect(stderr).toMatch(
      /not whole: english-novels.*\n +english-novels: Get its 24 files from https:\/\/github\.com/,
    );
    const one = call(bin, ['data', 'check', 'tinyshakespeare', '--json'], { TESSERA_DATA: path('broken') });
    expect(one.status).toBe(2);
    expect(one.stderr).toMatch(/The data set tinyshakespeare is not whole\.\n.*karpathy\/char-rnn/);
    expect(JSON.parse(one.stdout)).toMatchObject([{ whole: false, files: [{ state: 'wrong' }] }]);
  });
});

interface Case {
  readonly what: string;
  readonly call: () => Called;
  readonly says: RegExp;
}

const cases: readonly Case[] = [
  {
    what: 'an unknown slug',
    call: () => call(tinyBin, ['tiny-bes']),
    says: /There is no system "tiny-bes"\.\n +Did you mean tiny-bees\?/,
  },
  {
    what: 'a slug that is like none',
    call: () => call(bin, ['reproduce', 'xylophone']),
    says: /There is no system "xylophone"\.\n +`tessera systems` lists all/,
  },
  { what: 'no slug', call: () => call(bin, ['reproduce']), says: /Missing required argument 'slug'/ },
  {
    what: 'an unknown system to explain',
    call: () => call(bin, ['systems', 'show', 'xylophone']),
    says: /There is no system "xylophone"/,
  },
  {
    what: 'an unknown data set',
    call: () => call(bin, ['data', 'check', 'english-novel']),
    says: /There is no data set "english-novel"\.\n +Did you mean english-novels\?/,
  },
  {
    what: 'data that is not here',
    call: () => bees([], { TESSERA_DATA: path('nowhere') }),
    says: /The data set tiny-words is not here\.\n +Get its file from https:\/\/github\.com\/nobody\/nothing .*TESSERA_DATA/,
  },
  {
    what: 'data with another content',
    call: () => {
      mkdirSync(path('edited/tiny-words'), { recursive: true });
      writeFileSync(path('edited/tiny-words/words.txt'), TEXT.toUpperCase());
      return bees([], { TESSERA_DATA: path('edited') });
    },
    says: /tiny-words is not the published one: .*SHA-256.*\n +Get it again from/,
  },
  { what: 'a seed that is none', call: () => bees(['--seed', 'seven']), says: /'--seed <n>'.*'seven'/ },
  { what: 'a device that does not exist', call: () => bees(['--device', 'abacus']), says: /no device "abacus"/ },
  { what: 'an option that does not exist', call: () => bees(['--quik']), says: /Did you mean --quick\?/ },
  {
    what: 'a quick result to be saved',
    call: () => bees(['--quick', '--save'], { BEES_ROOT: path('checkout') }),
    says: /A quick run proves nothing, so --save does not go/,
  },
  {
    what: 'a strict quick run',
    call: () => bees(['--quick', '--strict']),
    says: /so --strict does not go with --quick/,
  },
  {
    what: 'a place to save that is no checkout',
    call: () => bees(['--save'], { BEES_ROOT: path('work') }),
    says: /--save writes into reproductions\/results of a checkout/,
  },
  {
    what: 'a folder for a file',
    call: () => bees(['--out', path('data')]),
    says: /data is a folder; --out names a file/,
  },
  {
    what: 'a file below a file',
    call: () => bees(['--out', path('data/tiny-words/words.txt/result.json')]),
    says: /could not be written: a part of its path is a file/,
  },
];

describe('bad input', () => {
  it.each(cases)('is met with a sentence: $what', ({ call, says }) => {
    const places = ['work', 'data', 'checkout'];
    const before = places.map((name) => contentOf(path(name)));
    const { status, stdout, stderr } = call();
    expect(stderr).toMatch(says);
    expect(status, stderr).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(places.map((name) => contentOf(path(name)))).toEqual(before);
  });
});
