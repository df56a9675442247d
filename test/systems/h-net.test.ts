/** The reproduction of H-Net in its quick size, on two short texts in the place of the novels. */

import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DataSet, type ReproductionResult, runReproduction, systemOf } from 'tessera-kit/systems';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleText } from '../../scripts/smoke.mjs';

const folder = mkdtempSync(join(tmpdir(), 'tessera-h-net-'));
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
  result = await runReproduction(await systemOf('h-net').load(), {
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

interface Log {
  readonly step: readonly number[];
  readonly loss: readonly number[];
  readonly ratio: readonly number[];
  readonly ratioLoss: readonly number[];
  readonly dropped: number;
}

describe('the quick reproduction', () => {
  it('measures the learned chunks beside two rules in bits per byte', () => {
    const figures = result.figures.bitsPerByte as Readonly<Record<string, number>>;
    expect(Object.keys(figures)).toEqual(['learned', 'stride', 'spaces']);
    for (const [name, bits] of Object.entries(figures)) expect(bits > 1 && bits < 8.1, `${name}: ${bits}`).toBe(true);
  });

  it('writes down how the ratio went', () => {
    const log = result.figures.log as unknown as Readonly<Record<string, Log>>;
    for (const part of ['learned', 'stride', 'spaces']) {
      expect(log[part]?.step).toEqual([5, 10, 15, 20]);
      expect(log[part]?.loss.at(-1)).toBeLessThan(log[part]?.loss[0] ?? 0);
    }
    // 11 chunks of 64 bytes, a few more where a document begins inside a row.
    for (const ratio of log.stride?.ratio ?? []) expect(ratio).toBeCloseTo(11 / 64, 2);
    expect(log.spaces?.ratio[0]).toBeGreaterThan(0.1);
    expect(log.spaces?.ratio[0]).toBeLessThan(0.25);
    expect(log.learned?.ratio).not.toEqual(log.stride?.ratio);
  });

  it('computes what it asks for from its figures', () => {
    expect(result.verdict).toBe('smoke');
    const { learned = 0, stride = 0, spaces = 0 } = result.figures.bitsPerByte as Readonly<Record<string, number>>;
    const { ratio, touching, chance } = result.figures.boundaries as Readonly<Record<string, number>>;
    const measured = result.criteria.map((criterion) => criterion.measured);
    expect(measured[0]).toBe(ratio);
    expect(measured[1]).toBe(touching);
    expect(measured[2]).toBeCloseTo(stride - learned, 8);
    expect(measured[3]).toBeCloseTo(learned - spaces, 8);
    // In English prose about a byte in six is white space, and it and the next one touch it.
    expect(chance).toBeGreaterThan(0.3);
    expect(chance).toBeLessThan(0.42);
  });

  it('trains each part once and tells of it', () => {
    expect(parts).toEqual(['h-net-learned', 'h-net-stride', 'h-net-spaces']);
  });
});
