/** The reproduction of TokenFormer in its quick size, on two short texts in the place of the novels. */

import type { ReproductionResult } from 'tessera-kit/systems';
import { beforeAll, describe, expect, it } from 'vitest';
import { quickOnTwoTexts } from './two-texts.js';

let result: ReproductionResult;
let parts: readonly string[];
beforeAll(async () => {
  ({ result, parts } = await quickOnTwoTexts('tokenformer'));
});

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
