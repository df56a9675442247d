/** The reproduction of TokenFormer in its quick size, on two short texts in the place of the novels. */

import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DataSet, type ReproductionResult, runReproduction, systemOf } from 'tessera-kit/systems';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleText } from '../../scripts/smoke.mjs';

const folder = mkdtempSync(join(tmpdir(), 'tessera-tokenformer-'));
const text = sampleText();
const files = ['first.txt', 'second.txt'].map((name, index) => {
  const content = text.slice(index * 40_000, (index + 1) * 40_000);
  return { name, content, bytes: Buffer.from(content) };
});
const novels: DataSet = {
  name: 'english-novels',
  about: 'two texts',
  licence: 'none needed',
  files: files.map(({ name, bytes }) => ({
    name,
    repository: 'nobody/nothing',
    path: name,
    bytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  })),
};

let result: ReproductionResult;
const parts: string[] = [];
beforeAll(async () => {
  mkdirSync(join(folder, 'english-novels'));
  for (const { name, bytes } of files) writeFileSync(join(folder, 'english-novels', name), bytes);
  result = await runReproduction(await systemOf('tokenformer').load(), {
    size: 'quick',
    seed: 3,
    threads: 1,
    dataSets: [novels],
    dataFolders: [folder],
    onEvent: (event) => {
      if (event.type === 'part') parts.push(event.name);
    },
  });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the quick reproduction', () => {
  it('measures base, growths and scratch in bits per byte', () => {
    const figures = result.figures.bitsPerByte as Readonly<Record<string, number>>;
    expect(Object.keys(figures)).toEqual([
      'base',
      'afterGrowth',
      'grown',
      'scratch',
      'scratchWhole',
      'newTauAfterGrowth',
      'newTauGrown',
      'publishedLoaderAfterGrowth',
      'publishedLoaderGrown',
    ]);
    // Less than a byte that is drawn at random costs, more than nothing.
    for (const [name, bits] of Object.entries(figures)) expect(bits > 1 && bits < 8.1, `${name}: ${bits}`).toBe(true);
    expect(Math.abs((figures.afterGrowth ?? 0) - (figures.base ?? 1))).toBeLessThan(1e-5);
    expect(figures.publishedLoaderAfterGrowth).not.toBe(figures.newTauAfterGrowth);
  });

  it('finds the function kept by the growth, and computes what it asks for from its figures', () => {
    expect(result.verdict).toBe('smoke');
    expect(result.criteria).toHaveLength(4);
    expect(result.criteria[0]).toMatchObject({ holds: true, measured: result.figures.maxLogitDifference });
    const { grown, scratch } = result.figures.bitsPerByte as Readonly<Record<string, number>>;
    expect(result.criteria[1]?.measured).toBeCloseTo((scratch ?? 0) - (grown ?? 0), 6);
  });

  it('trains each part once and tells of it', () => {
    expect(parts).toEqual(
      ['base', 'grown', 'grown-new-tau', 'grown-as-published', 'scratch', 'scratch-whole'].map(
        (part) => `tokenformer-${part}`,
      ),
    );
  });
});
