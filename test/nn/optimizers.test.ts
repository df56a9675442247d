/** Optimizers against slow references in doubles, what they have in common, and runs that are resumed. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSafetensors } from 'tessera-kit/formats';
import {
  adafactor,
  adam,
  adamW,
  adEmaMix,
  byPath,
  type LeafOptions,
  lion,
  muonWithAdamW,
  sgd,
  type TrainOptions,
  type TreeOptimizer,
  train,
} from 'tessera-kit/nn';
import { array, type Tensor } from 'tessera-kit/tensor';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { testRuntime } from '../runtime.js';
import { type Examples, examples, flat, follow, type Perceptron, perceptron, squares } from './models.js';
import { distance, expected, numbers, RATE, type Reference, run, start } from './optimizer-run.js';

const at = (values: readonly number[], i: number): number => values[i] ?? Number.NaN;
const zeros = (p: readonly number[]): number[] => p.map(() => 0);
const mean = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;
const isMatrix = (shape: readonly number[]): boolean => shape.length >= 2;

/** A reference that works number by number; `decay` is for matrices only. */
function elementwise(
  decay: number,
  coupled: boolean,
  step: (g: number, kept: number[], t: number) => number,
  moments = 3,
): Reference {
  return (begin, shape) => {
    let p = [...begin];
    const kept = p.map(() => Array.from({ length: moments }, () => 0));
    const d = isMatrix(shape) ? decay : 0;
    return (gradient, t) => {
      p = p.map((x, i) => {
        const g = at(gradient, i) + (coupled ? d * x : 0);
        const still = coupled ? x : x * (1 - RATE * d);
        return still - RATE * step(g, kept[i] ?? [], t);
      });
      return p;
    };
  };
}

const sgdReference = (momentum: number, nesterov: boolean, decay: number): Reference =>
  elementwise(decay, true, (g, kept) => {
    kept[0] = momentum * at(kept, 0) + g;
    return nesterov ? g + momentum * at(kept, 0) : at(kept, 0);
  });

const adamReference = (decay: number, amsgrad: boolean): Reference =>
  elementwise(decay, true, (g, kept, t) => {
    kept[0] = 0.9 * at(kept, 0) + 0.1 * g;
    kept[1] = 0.999 * at(kept, 1) + 0.001 * g * g;
    kept[2] = Math.max(at(kept, 2), at(kept, 1));
    const v = amsgrad ? at(kept, 2) : at(kept, 1);
    return at(kept, 0) / (1 - 0.9 ** t) / (Math.sqrt(v / (1 - 0.999 ** t)) + 1e-8);
  });

const lionReference: Reference = elementwise(1, false, (g, kept) => {
  const direction = Math.sign(0.9 * at(kept, 0) + 0.1 * g);
  kept[0] = 0.99 * at(kept, 0) + 0.01 * g;
  return direction;
});

const adEmaMixReference = (warmup: number): Reference =>
  elementwise(0.1, false, (g, kept, t) => {
    const share = warmup === 0 ? 1 : Math.min(t / warmup, 1);
    const [low, high] = [Math.log(0.9), Math.log(0.9999)];
    const beta3 = Math.min(Math.exp((low * high) / ((1 - share) * high + share * low)), 0.9999);
    kept[0] = 0.9 * at(kept, 0) + 0.1 * g;
    kept[1] = beta3 * at(kept, 1) + (1 - beta3) * g;
    kept[2] = 0.999 * at(kept, 2) + 0.001 * g * g;
    return (
      (at(kept, 0) / (1 - 0.9 ** t) + 5 * share * at(kept, 1)) / (Math.sqrt(at(kept, 2) / (1 - 0.999 ** t)) + 1e-8)
    );
  });

/** Algorithms 4 and 5 of arXiv 1804.04235, with a constant rate for `rho`. */
function adafactorReference(momentum: number, relative: boolean): Reference {
  return (begin, shape) => {
    let p = [...begin];
    const [rows, columns] = isMatrix(shape) ? [at(shape, 0), at(shape, 1)] : [1, p.length];
    const [r, c, full, m] = [Array.from({ length: rows }, () => 0), zeros(p).slice(0, columns), zeros(p), zeros(p)];
    return (g, t) => {
      const kept = 1 - t ** -0.8;
      const squared = g.map((x) => x * x + 1e-30);
      const cell = (i: number, j: number): number => at(squared, i * columns + j);
      for (let i = 0; i < rows; i++) r[i] = kept * at(r, i) + (1 - kept) * mean(c.map((_, j) => cell(i, j)));
      for (let j = 0; j < columns; j++) c[j] = kept * at(c, j) + (1 - kept) * mean(r.map((_, i) => cell(i, j)));
      for (const [i, x] of squared.entries()) full[i] = kept * at(full, i) + (1 - kept) * x;
      const v = isMatrix(shape)
        ? p.map((_, i) => (at(r, Math.floor(i / columns)) * at(c, i % columns)) / mean(r))
        : full;
      const u = g.map((x, i) => x / Math.sqrt(at(v, i)));
      const size = Math.max(1, Math.sqrt(mean(u.map((x) => x * x))));
      const alpha = RATE * (relative ? Math.max(1e-3, Math.sqrt(mean(p.map((x) => x * x)))) : 1);
      p = p.map((x, i) => {
        m[i] = momentum * at(m, i) + ((1 - momentum) * at(u, i)) / size;
        return x - alpha * at(m, i);
      });
      return p;
    };
  };
}

const references: readonly (readonly [string, TreeOptimizer, Reference])[] = [
  ['SGD', sgd({ momentum: 0 }), sgdReference(0, false, 0)],
  ['SGD with momentum and decay', sgd({ weightDecay: 0.1 }), sgdReference(0.9, false, 0.1)],
  ['SGD with Nesterov momentum', sgd({ momentum: 0.8, nesterov: true }), sgdReference(0.8, true, 0)],
  ['Adam', adam(), adamReference(0, false)],
  ['Adam with decay in the gradient', adam({ weightDecay: 0.3 }), adamReference(0.3, false)],
  ['AMSGrad', adam({ amsgrad: true }), adamReference(0, true)],
  ['Lion', lion(), lionReference],
  ['Adafactor', adafactor(), adafactorReference(0, true)],
  [
    'Adafactor with momentum and plain steps',
    adafactor({ momentum: 0.9, relative: false }),
    adafactorReference(0.9, false),
  ],
  ['AdEMAMix', adEmaMix(), adEmaMixReference(0)],
  ['AdEMAMix with a warm-up', adEmaMix({ warmup: 4 }), adEmaMixReference(4)],
];

describe('updates', () => {
  it.each(references)('%s', async (_name, optimizer, reference) => {
    const wanted = expected(reference);
    const found = await run(optimizer);
    expect(distance(found, wanted)).toBeLessThan(4e-6);
    const still = Object.fromEntries(Object.entries(start).map(([name, leaf]) => [name, numbers(leaf)]));
    expect(distance(found, still)).toBeGreaterThan(1e-3);
  });
});

type Make = (options: LeafOptions) => TreeOptimizer;
const makers: readonly (readonly [string, Make])[] = [
  ['sgd', sgd],
  ['adam', (options) => adam({ ...options, amsgrad: true })],
  ['lion', lion],
  ['adafactor', (options) => adafactor({ ...options, momentum: 0.5 })],
  ['ademamix', adEmaMix],
  ['muon', (options) => muonWithAdamW(options)],
];

describe('parameters by path', () => {
  it.each(makers)('%s freezes leaves, and rows by a factor of the rate', async (_name, make) => {
    const rows = array([0, 1, 1], [3, 1]);
    const optimizer = make({ freeze: ['ta*'], multiplier: (path) => (path === 'wide' ? rows : undefined) });
    expect([optimizer.frozen?.('tall', [6, 4]), optimizer.frozen?.('wide', [3, 5])]).toEqual([true, false]);
    const found = await run(optimizer);
    const of = (name: string): number[] => flat(found[name]);
    expect(of('tall')).toEqual(flat(start.tall));
    expect(of('wide').slice(0, 5)).toEqual(flat(start.wide).slice(0, 5));
    for (const [i, x] of of('wide').entries()) if (i >= 5) expect(x).not.toBe(flat(start.wide)[i]);
    expect(of('bias')).not.toEqual(flat(start.bias));
  });

  it('two optimizers move their own, and what belongs to neither stays', async () => {
    const parts = { a: { optimizer: sgd(), paths: ['wide'] }, b: { optimizer: lion(), paths: ['w*', 'bias'] } };
    const both = byPath(parts);
    expect(['wide', 'bias', 'tall'].map((path) => both.frozen(path, [2]))).toEqual([false, false, true]);
    const found = await run(both);
    const [first, second] = [await run(sgd()), await run(lion())];
    expect(flat(found.wide)).toEqual(flat(first.wide));
    expect(flat(found.bias)).toEqual(flat(second.bias));
    expect(flat(found.tall)).toEqual(flat(start.tall));
  });
});

const runtime = await testRuntime();

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-optimizers-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

type Options = TrainOptions<Perceptron, Examples, Tensor>;

describe('runs', () => {
  it.each(makers)('%s learns, and resumes bit for bit', async (name, make) => {
    const options = (more: Partial<Options> = {}): Options => ({
      model: perceptron(0.1),
      objective: squares,
      source: examples(16),
      steps: 40,
      rate: name === 'adafactor' ? 0.1 : 0.01,
      saveEvery: 20,
      optimizer: make({}),
      runtime,
      ...more,
    });
    const whole = await follow(train(options()));
    expect(whole.losses.at(-1)).toBeLessThan(0.8 * Number(whole.losses[0]));
    for await (const event of train(options({ source: examples(16), out: folder })))
      if (event.type === 'step' && event.step === 25) break;
    const rest = await follow(train(options({ source: examples(16), out: folder })));
    expect(rest.events[0]).toMatchObject({ step: 20, resumed: true });
    expect(rest.losses).toEqual(whole.losses.slice(20));
    expect(flat(await rest.end.parameters())).toEqual(flat(await whole.end.parameters()));
    const other = train(options({ out: folder, optimizer: adamW() }));
    await expect(follow(other)).rejects.toThrow('was started with optimizer');
  });

  it('Adafactor keeps rows and columns of matrices only', async () => {
    const options: Options = { model: perceptron(), objective: squares, source: examples(16), steps: 2, runtime };
    await follow(train({ ...options, rate: 0.1, optimizer: adafactor(), out: folder }));
    const file = await openSafetensors(join(folder, 'checkpoints/step-2/optimizer.safetensors'));
    const shapes = Object.fromEntries(file.names.map((name) => [name, file.tensor(name).shape]));
    await file.close();
    expect(shapes).toEqual({
      'model.row.hidden.weight': [3],
      'model.column.hidden.weight': [16],
      'model.second.hidden.bias': [16],
      'model.row.out.weight': [16],
      'model.column.out.weight': [1],
      'model.second.out.bias': [1],
    });
  });
});

describe('bad options', () => {
  it.each<readonly [() => unknown, RegExp]>([
    [() => sgd({ momentum: 1 }), /The momentum of SGD must be at least 0 and below 1, not 1/],
    [() => sgd({ momentum: 0, nesterov: true }), /Nesterov's SGD needs a momentum above 0/],
    [() => adam({ betas: [0.9, 1.5] }), /The betas of Adam must be/],
    [() => lion({ weightDecay: -1 }), /The weight decay of Lion must be at least 0, not -1/],
    [() => adafactor({ threshold: 0 }), /The threshold of Adafactor must be above 0/],
    [() => adEmaMix({ warmup: -2 }), /The warm-up of AdEMAMix must be at least 0/],
    [() => byPath({}), /needs at least one part/],
  ])('%s', (make, message) => {
    expect(make).toThrow(message);
  });
});
