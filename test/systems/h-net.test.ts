/** The reproduction of H-Net in its quick size, on two short texts in the place of the novels. */

import type { ReproductionResult } from 'tessera-kit/systems';
import { beforeAll, describe, expect, it } from 'vitest';
import { quickOnTwoTexts } from './two-texts.js';

let result: ReproductionResult;
let parts: readonly string[];
beforeAll(async () => {
  ({ result, parts } = await quickOnTwoTexts('h-net'));
});

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
