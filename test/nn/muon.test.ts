/** Muon against a slow reference in doubles, and what its iteration does to singular values. */

import { adamW, muon, muonWithAdamW, NEWTON_SCHULZ, orthogonalized } from 'tessera-kit/nn';
import { evaluate, random, type Tensor } from 'tessera-kit/tensor';
import { describe, expect, it } from 'vitest';
import { flat } from './models.js';
import { distance, expected, numbers, RATE, type Reference, run, start } from './optimizer-run.js';

type Matrix = readonly (readonly number[])[];

const product = (a: Matrix, b: Matrix): number[][] =>
  a.map((row) => (b[0] ?? []).map((_, j) => row.reduce((sum, x, k) => sum + x * (b[k]?.[j] ?? Number.NaN), 0)));
const turned = (a: Matrix): number[][] => (a[0] ?? []).map((_, j) => a.map((row) => row[j] ?? Number.NaN));
const mixed = (a: Matrix, x: number, b: Matrix, y: number): number[][] =>
  a.map((row, i) => row.map((value, j) => x * value + y * (b[i]?.[j] ?? Number.NaN)));
const rowsOf = (values: readonly number[], [rows = 1, columns = 1]: readonly number[]): number[][] =>
  Array.from({ length: rows }, (_, i) => values.slice(i * columns, (i + 1) * columns));

/** As torch.optim.Muon has it: always with the shorter side first. */
function newtonSchulz(g: Matrix): number[][] {
  const isTall = g.length > (g[0]?.length ?? 0);
  const size = Math.sqrt(g.flat().reduce((sum, x) => sum + x * x, 0));
  let x = mixed(isTall ? turned(g) : g, 1 / (size + 1e-7), isTall ? turned(g) : g, 0);
  const [a, b, c] = NEWTON_SCHULZ;
  for (let i = 0; i < 5; i++) {
    const gram = product(x, turned(x));
    x = mixed(x, a, product(mixed(gram, b, product(gram, gram), c), x), 1);
  }
  return isTall ? turned(x) : x;
}

function reference(nesterov: boolean, scale: (inputs: number, outputs: number) => number): Reference {
  return (begin, shape) => {
    let p = rowsOf(begin, shape);
    let m: number[][] = p.map((row) => row.map(() => 0));
    return (gradient) => {
      const g = rowsOf(gradient, shape);
      m = mixed(m, 0.95, g, 0.05);
      const update = newtonSchulz(nesterov ? mixed(g, 0.05, m, 0.95) : m);
      p = mixed(p, 1 - RATE * 0.1, update, -RATE * scale(shape[0] ?? 1, shape[1] ?? 1));
      return p.flat();
    };
  };
}

const matrices = Object.fromEntries(Object.entries(start).filter(([name]) => name !== 'bias'));
const alike = (inputs: number, outputs: number): number => 0.2 * Math.sqrt(Math.max(inputs, outputs));

describe('Muon', () => {
  it.each<readonly [string, Parameters<typeof muon>[0], Reference]>([
    ['with updates as large as those of AdamW', {}, reference(true, alike)],
    [
      'with its first scale, sqrt(max(1, out / in))',
      { adjust: 'original' },
      reference(true, (inputs, outputs) => Math.sqrt(Math.max(1, outputs / inputs))),
    ],
    ['without looking ahead', { nesterov: false }, reference(false, alike)],
  ])('makes the updates of PyTorch %s', async (_name, options, wanted) => {
    expect(distance(await run(muon(options), matrices), expected(wanted, matrices))).toBeLessThan(2e-5);
  });

  it('brings every singular value near 1, of wide and of tall matrices, also several at once', async () => {
    for (const shape of [
      [2, 12, 30],
      [30, 12],
    ]) {
      const x = random(8).normal(shape);
      const found = numbers(await evaluate((g: Tensor) => orthogonalized(g), x));
      const count = shape.length === 3 ? 2 : 1;
      for (let i = 0; i < count; i++) {
        const matrix = rowsOf(found.slice(i * 360, (i + 1) * 360), shape.slice(-2));
        const short = matrix.length > 12 ? turned(matrix) : matrix;
        // Eigenvalues of X X' are squared singular values: their mean is the trace's, and the rest of X X' is small.
        const gram = product(short, turned(short));
        const diagonal = gram.map((row, j) => row[j] ?? Number.NaN);
        expect(diagonal.reduce((sum, v) => sum + v, 0) / 12).toBeGreaterThan(0.6);
        expect(Math.max(...diagonal)).toBeLessThan(1.5);
        expect(Math.min(...diagonal)).toBeGreaterThan(0.4);
        expect(Math.max(...gram.flatMap((row, j) => row.map((v, k) => (j === k ? 0 : Math.abs(v)))))).toBeLessThan(0.3);
      }
    }
  });

  it('refuses vectors, naming the parameter', () => {
    expect(() => muon().init(start)).toThrow('Muon moves matrices; the parameter "bias" is [4]');
    expect(() => muon({ iterations: 0 })).toThrow('whole number of iterations from 1');
  });
});

describe('Muon with AdamW', () => {
  it('leaves vectors to AdamW', async () => {
    const found = await run(muonWithAdamW());
    const [alone, other] = [await run(muon(), matrices), await run(adamW())];
    expect(flat(found.wide)).toEqual(flat(alone.wide));
    expect(flat(found.bias)).toEqual(flat(other.bias));
  });

  it('leaves embeddings, positions and heads to AdamW, by their paths', () => {
    const matrix = random(1).normal([2, 2]);
    const tree = {
      embedding: { weight: matrix },
      positions: { weight: matrix },
      head: { weight: matrix },
      blocks: [{ attention: { query: { weight: matrix } }, inner: { embedding: matrix } }],
    };
    const moments = muonWithAdamW().init(tree) as Record<'muon' | 'adamw', { first: unknown }>;
    const kept = (part: unknown): string => JSON.stringify(part, (key, value) => (key === 'data' ? 0 : value));
    expect(kept(moments.muon.first)).toMatch(/query/);
    expect(kept(moments.muon.first)).not.toMatch(/(embedding|positions|head)":\{"(weight|dtype)/);
    expect(kept(moments.adamw.first)).toMatch(/"embedding":\{"weight".*"positions":\{"weight".*"head":\{"weight"/);
    expect(kept(moments.adamw.first)).not.toMatch(/"query":\{"weight"/);
  });
});
