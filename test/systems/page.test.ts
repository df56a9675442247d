/** reproductions/README.md is what reproductions/results/*.json give, and these are results. */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseResult, systemOf } from 'tessera-kit/systems';
import { afterAll, describe, expect, it } from 'vitest';
import { pageOf } from '../../scripts/reproductions.mjs';

const root = fileURLToPath(new URL('../../reproductions', import.meta.url));
const results = join(root, 'results');
const files = existsSync(results) ? readdirSync(results).filter((name) => name.endsWith('.json')) : [];
const folder = mkdtempSync(join(tmpdir(), 'tessera-page-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the table of reproductions', () => {
  it('is not stale (make it with: node scripts/reproductions.mjs)', () => {
    expect(readFileSync(join(root, 'README.md'), 'utf8')).toBe(pageOf(results));
  });

  it('says so when there is no result', () => {
    expect(pageOf(join(folder, 'nothing'))).toMatch(/There is no result yet\.\n$/);
  });

  it('has a row for each result, with what the row needs', () => {
    const result = {
      slug: 'bees',
      name: 'Bees | all',
      claim: 'Bees\nbuzz.',
      baseline: 'wasps',
      verdict: 'partly',
      criteria: [
        { says: 'buzz', measured: 0.123456, needs: 'at least 0.1', holds: true, direction: true },
        { says: 'sting', measured: null, needs: 'at most 2', holds: false, direction: true },
      ],
      remarks: ['The bound of sting was 1 before the pilot.'],
      command: 'tessera reproduce bees --seed 1',
      machine: '2 cores',
      date: '2025-01-31',
      seed: 1,
      seconds: 61.4,
    };
    writeFileSync(join(folder, 'bees.json'), JSON.stringify(result));
    writeFileSync(join(folder, 'ants.json'), JSON.stringify({ ...result, slug: 'ants', name: 'Ants' }));
    const page = pageOf(folder);
    expect(page).toContain(
      '| [Bees \\| all](results/bees.json) | Bees buzz. | wasps | partly | ' +
        'buzz: **0.1235** (at least 0.1)<br>sting: **not finite** (at most 2: fails) | ' +
        '`tessera reproduce bees --seed 1` | 61 |\n',
    );
    expect(page).toContain('**Bees | all**: run 2025-01-31 with seed 1 on 2 cores.\n- The bound of sting');
    expect(page.indexOf('[Ants]')).toBeLessThan(page.indexOf('[Bees'));
  });
});

describe.skipIf(files.length === 0)('a committed result', () => {
  it.each(files)('is whole, of a system of the catalogue, and has the verdict of its criteria: %s', (file) => {
    const text = readFileSync(join(results, file), 'utf8');
    const { slug, size, verdict, criteria, command, machine } = parseResult(text, file);
    expect(slug).toBe(basename(file, '.json'));
    expect(systemOf(slug).slug).toBe(slug);
    expect(size).toBe('full');
    expect(verdict).not.toBe('smoke');
    expect(criteria.length).toBeGreaterThan(0);
    expect(command).toContain(`tessera reproduce ${slug}`);
    expect(machine).not.toContain(hostname());
    expect(text).not.toMatch(/\/(home|root|work|tmp|Users)\//);
  });
});
