/** The reproduction of lexinvariant models in its quick size, on a short text in the place of Shakespeare. */

import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DataSet, type ReproductionResult, runReproduction, systemOf } from 'tessera-kit/systems';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleText } from '../../scripts/smoke.mjs';

const folder = mkdtempSync(join(tmpdir(), 'tessera-lexinvariant-'));
const bytes = Buffer.from(sampleText().slice(0, 40_000));
const plays: DataSet = {
  name: 'tinyshakespeare',
  about: 'a short text',
  licence: 'none needed',
  files: [
    {
      name: 'input.txt',
      repository: 'nobody/nothing',
      path: 'input.txt',
      bytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    },
  ],
};

let result: ReproductionResult;
const parts: string[] = [];
beforeAll(async () => {
  mkdirSync(join(folder, 'tinyshakespeare'));
  writeFileSync(join(folder, 'tinyshakespeare', 'input.txt'), bytes);
  result = await runReproduction(await systemOf('lexinvariant').load(), {
    size: 'quick',
    seed: 3,
    threads: 1,
    dataSets: [plays],
    dataFolders: [folder],
    onEvent: (event) => {
      if (event.type === 'part') parts.push(event.name);
    },
  });
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A branch of the figures. */
function branch(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (typeof at === 'object' && at !== null ? Object.entries(at).find(([name]) => name === key)?.[1] : at),
    value,
  );
}

describe('the quick reproduction', () => {
  it('measures nats by bucket, plain and ciphered, and exact match of look-up', () => {
    const { figures } = result;
    const buckets = branch(figures, 'nats', 'buckets');
    expect(buckets).toEqual(['0-8', '8-16', '16-32', '32-64']);
    for (const model of ['standard', 'lexinvariant']) {
      for (const text of ['plain', 'ciphered']) {
        const losses = branch(figures, 'nats', model, text);
        expect(losses).toHaveLength(4);
        for (const loss of Array.isArray(losses) ? losses : []) expect(loss > 1 && loss < 7, String(loss)).toBe(true);
      }
    }
    for (const model of ['lexinvariant', 'standard', 'partly']) {
      for (const share of ['seen', 'unseen', 'seenAll', 'unseenAll']) {
        const value = Number(branch(figures, 'lookup', model, share));
        expect(value >= 0 && value <= 1, `${model} ${share}: ${value}`).toBe(true);
      }
    }
    expect(Number(branch(figures, 'nats', 'unigram'))).toBeLessThan(Number(branch(figures, 'nats', 'uniform')));
    const [standard, free] = ['standard', 'lexinvariant'].map((name) => Number(branch(figures, 'parameters', name)));
    expect(free).toBeLessThan(Number(standard));
  });

  it('computes what it asks for from its figures', () => {
    expect(result.verdict).toBe('smoke');
    expect(result.criteria).toHaveLength(8);
    const { figures, criteria } = result;
    const seen = Number(branch(figures, 'lookup', 'lexinvariant', 'seen'));
    const unseen = Number(branch(figures, 'lookup', 'lexinvariant', 'unseen'));
    expect(criteria[0]?.measured).toBeCloseTo(Math.abs(seen - unseen), 9);
    expect(criteria[2]?.measured).toBe(unseen);
    const losses = branch(figures, 'nats', 'lexinvariant', 'plain');
    const [first, last] = Array.isArray(losses) ? [losses[0], losses.at(-1)] : [];
    expect(criteria[5]?.measured).toBeCloseTo(Number(first) - Number(last), 9);
  });

  it('trains each part once and tells of it', () => {
    expect(parts).toEqual(
      ['lookup-lexinvariant', 'lookup-standard', 'lookup-partly', 'standard', 'lexinvariant'].map(
        (part) => `lexinvariant-${part}`,
      ),
    );
  });
});
