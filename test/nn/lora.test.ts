/** Low-rank adapters: products and gradients against merged weights, what is trained, and what is refused. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSafetensors } from 'tessera-kit/formats';
import {
  chooseModules,
  countLora,
  initLinear,
  initLora,
  LORA_FREEZE,
  type LoraModule,
  type LoraOptions,
  type LoraTree,
  linear,
  lora,
  loraModule,
  type Module,
  mergeLora,
  readAdapter,
  targetsOf,
  train,
  unmergeLora,
  writeAdapter,
} from 'tessera-kit/nn';
import {
  type Arrays,
  add,
  gradients,
  mapArrays,
  matmul,
  mul,
  type NDArray,
  random,
  reshape,
  specsOf,
  sum,
  type Tensor,
  tanh,
} from 'tessera-kit/tensor';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { testRuntime } from '../runtime.js';
import { examples, flat, follow, type Perceptron, perceptron, squares } from './models.js';

const runtime = await testRuntime();

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-lora-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Two layers side by side that share an adapter, one with a bias, and a matrix that is used without `linear`. */
interface Net {
  readonly left: { readonly weight: Tensor; readonly bias?: Tensor };
  readonly right: { readonly weight: Tensor; readonly bias?: Tensor };
  readonly plain: Tensor;
}
const net: Module<Net, Tensor, Tensor> = {
  init: (draws) => ({
    left: initLinear(draws.child('left'), 6, 5, { bias: true, deviation: 0.5 }),
    right: initLinear(draws.child('right'), 6, 4, { deviation: 0.5 }),
    plain: draws.child('plain').normal([5, 4], 0.5),
  }),
  apply: ({ left, right, plain }, x) => add(linear(right, x), matmul(tanh(linear(left, x)), plain)),
};
const modules: readonly LoraModule[] = [
  { name: 'block.0.fused', paths: ['left.weight', 'right.weight'] },
  { name: 'block.0.out', paths: ['plain'] },
];
const x = random(2).normal([3, 6]);
const base = net.init(random(1)) as Arrays<Net>;

/** Adapters whose every number is drawn, so that each part matters. */
const filled = (settings: ReturnType<typeof lora>): Arrays<LoraTree> =>
  mapArrays(initLora(settings, base, random(3)), ({ shape }) => {
    const drawn = random(4).child(shape.join()).normal(shape, 0.4);
    return shape.length === 1 ? { ...drawn, data: drawn.data.map((v) => 1 + 0.5 * v) } : drawn;
  });

/** Output and gradients of the sum of squares, in a program. */
async function slopesOf<P>(model: Module<P, Tensor, Tensor>, parameters: Arrays<P>) {
  const program = await runtime.compile(
    (from: P, given: Tensor, call) => {
      const out = model.apply(from, given, call);
      return { out: { out, slopes: gradients(sum(mul(out, out)), from) } };
    },
    { state: specsOf<P>(parameters), input: specsOf<Tensor>(x) },
  );
  const state = await runtime.upload(parameters);
  try {
    return (await program.run(state as never, x as never)).out as Arrays<{ out: Tensor; slopes: P }>;
  } finally {
    await program.dispose();
    await state.dispose();
  }
}

const apart = (a: unknown, b: unknown): number => {
  const [left, right] = [flat(a), flat(b)];
  expect(left).toHaveLength(right.length);
  return Math.max(...left.map((v, i) => Math.abs(v - (right[i] ?? Number.NaN))));
};

const kinds: readonly (readonly [string, Omit<LoraOptions, 'targets'>])[] = [
  ['LoRA', { rank: 2, alpha: 6 }],
  ['rank-stabilized LoRA', { rank: 3, alpha: 2, rankStabilized: true }],
  ['DoRA', { rank: 2, alpha: 4, dora: true }],
];

describe('a module with adapters', () => {
  it.each(kinds)('%s computes what the merged model does', async (_name, options) => {
    const settings = lora(modules, { ...options, targets: ['fused', 'out'] });
    const adapters = filled(settings);
    const merged = mergeLora<Net>(base, settings, adapters);
    const [found, wanted, before] = [
      await slopesOf(loraModule(net, settings), { base, adapters }),
      await slopesOf(net, merged),
      await slopesOf(net, base),
    ];
    expect(apart(found.out, wanted.out)).toBeLessThan(1e-5);
    expect(apart(found.out, before.out)).toBeGreaterThan(0.1);
    expect(flat(merged.left.bias)).toEqual(flat(base.left.bias));
  });

  it.each(kinds)('%s changes nothing before it is trained', async (_name, options) => {
    const settings = lora(modules, { ...options, targets: 'all-linear' });
    const adapters = initLora(settings, base, random(3));
    const found = await slopesOf(loraModule(net, settings), { base, adapters });
    expect(apart(found.out, (await slopesOf(net, base)).out)).toBeLessThan(2e-6);
    const a = flat(adapters['block.0.fused']?.a);
    expect(Math.max(...a.map(Math.abs))).toBeLessThanOrEqual(1 / Math.sqrt(6));
    expect(Math.max(...a)).toBeGreaterThan(0.2);
    expect(new Set(flat(adapters['block.0.fused']?.b))).toEqual(new Set([0]));
  });

  it("LoRA's gradients are those of the merged weight's, through the product", async () => {
    const settings = lora(modules, { rank: 2, alpha: 6, targets: ['fused'] });
    const adapters = filled(settings);
    const found = await slopesOf(loraModule(net, settings), { base, adapters });
    const whole = await slopesOf(net, mergeLora<Net>(base, settings, adapters));
    // dA = s dW B', dB = s A' dW, with dW side by side.
    const [dLeft, dRight] = [flat(whole.slopes.left.weight), flat(whole.slopes.right.weight)];
    const dW = (i: number, j: number): number => (j < 5 ? (dLeft[i * 5 + j] ?? 0) : (dRight[i * 4 + j - 5] ?? 0));
    const [a, b] = [flat(adapters['block.0.fused']?.a), flat(adapters['block.0.fused']?.b)];
    const over = (n: number, f: (k: number) => number): number =>
      Array.from({ length: n }, (_, k) => f(k)).reduce((total, v) => total + v, 0);
    const dA = a.map((_, at) => 3 * over(9, (j) => dW(Math.floor(at / 2), j) * (b[(at % 2) * 9 + j] ?? 0)));
    const dB = b.map((_, at) => 3 * over(6, (i) => (a[i * 2 + Math.floor(at / 9)] ?? 0) * dW(i, at % 9)));
    const own = found.slopes.adapters['block.0.fused'];
    expect(apart(own?.a, { dtype: 'float32', data: dA })).toBeLessThan(1e-4);
    expect(apart(own?.b, { dtype: 'float32', data: dB })).toBeLessThan(1e-4);
  });

  it('is taken out of a merged model again, and DoRA is not', () => {
    const settings = lora(modules, { rank: 2, alpha: 6, targets: 'all-linear' });
    const adapters = filled(settings);
    const merged = mergeLora<Net>(base, settings, adapters);
    expect(apart(unmergeLora<Net>(merged, settings, adapters), base)).toBeLessThan(1e-6);
    expect(apart(merged, base)).toBeGreaterThan(0.1);
    const dora = lora(modules, { dora: true, targets: 'all-linear' });
    expect(() => unmergeLora<Net>(merged, dora, filled(dora))).toThrow('cannot be taken out');
  });
});

const layers: readonly LoraModule[] = [
  { name: 'hidden', paths: ['hidden.weight'] },
  { name: 'out', paths: ['out.weight'] },
];

describe('training', () => {
  const trained = async (options: Partial<LoraOptions>, more: object = {}) => {
    const settings = lora(layers, { rank: 4, targets: ['hidden'], ...options });
    const start = perceptron().init(random(7)) as Arrays<Perceptron>;
    const parameters = { base: start, adapters: initLora(settings, start, random(8)) };
    const run = train({
      model: loraModule(perceptron(), settings),
      objective: squares,
      source: examples(16),
      steps: 30,
      rate: 0.05,
      freeze: LORA_FREEZE,
      parameters: parameters as never,
      runtime,
      ...more,
    });
    return { ...(await follow(run)), start };
  };

  it.each([false, true])('moves the adapters alone, and keeps no moments of the base (DoRA: %s)', async (dora) => {
    // Every batch is the whole data, so that losses can be compared.
    const { events, losses, end, start } = await trained({ dora }, { out: folder, source: examples(64), rate: 0.02 });
    const own = 3 * 4 + 4 * 16 + (dora ? 16 : 0);
    expect(events[0]).toMatchObject({ parameters: 81 + own, trained: own });
    const after = await end.parameters();
    expect(flat(after.base)).toEqual(flat(start));
    expect(losses.at(-1)).toBeLessThan(0.8 * Number(losses[0]));
    expect(countLora(after.adapters)).toBe(own);
    const moments = await openSafetensors(join(folder, 'checkpoints/step-30/optimizer.safetensors'));
    expect(moments.names.every((name) => /^model\.(first|second)\.adapters\.hidden\.(a|b|magnitude)$/.test(name))).toBe(
      true,
    );
    expect(moments.names).toHaveLength(dora ? 6 : 4);
    await moments.close();
  });

  it('takes no gradient of the base: the products of an update are those of the adapters', async () => {
    const wide: Module<{ readonly layer: { readonly weight: Tensor } }, Tensor, Tensor> = {
      init: (draws) => ({ layer: initLinear(draws, 64, 64) }),
      apply: ({ layer }, input) => linear(layer, input),
    };
    const settings = lora([{ name: 'layer', paths: ['layer.weight'] }], { rank: 2, targets: ['layer'] });
    const start = wide.init(random(1));
    const parameters = { base: start, adapters: initLora(settings, start, random(2)) };
    const input = random(3).normal([32, 64]);
    const program = await runtime.compile(
      (from: { base: typeof start; adapters: LoraTree }, given: Tensor, call) => {
        const out = loraModule(wide, settings).apply(from as never, given, call);
        return { out: gradients(sum(mul(out, out)), from.adapters) };
      },
      { state: specsOf<never>(parameters), input: specsOf<Tensor>(input) },
    );
    // x W forward; x A and (x A) B forward; two products back to B's side and two to A's. No 64 x 64 gradient.
    const whole = 2 * 32 * 64 * 64;
    const low = 2 * 32 * 64 * 2;
    expect(program.report.flops).toBe(whole + 5 * low);
    await program.dispose();
  });

  it('drops inputs of the adapters while training, and resumes bit for bit', async () => {
    const options = { dropout: 0.5, targets: ['hidden', 'out'] };
    const [once, none] = [await trained(options), await trained({ targets: ['hidden', 'out'] })];
    expect(once.losses[0]).toBe(none.losses[0]);
    expect(once.losses.slice(2)).not.toEqual(none.losses.slice(2));
    await trained(options, { out: folder, steps: 30, saveEvery: 15 });
    await rm(join(folder, 'checkpoints/step-30'), { recursive: true });
    const resumed = await trained(options, { out: folder, steps: 30, saveEvery: 15 });
    expect(resumed.losses).toEqual(once.losses.slice(15));
    expect(flat(await resumed.end.parameters())).toEqual(flat(await once.end.parameters()));
  });

  it('refuses a dropout where a weight is used without a linear layer', async () => {
    const settings = lora(modules, { dropout: 0.1, targets: 'all-linear' });
    const parameters = { base, adapters: initLora(settings, base, random(3)) };
    const compiled = runtime.compile(
      (from: { base: Net; adapters: LoraTree }, given: Tensor, call) => ({
        out: loraModule(net, settings).apply(from, reshape(given, [3, 6]), call),
      }),
      { state: specsOf<{ base: Net; adapters: LoraTree }>(parameters), input: specsOf<Tensor>(x), training: true },
    );
    await expect(compiled).rejects.toThrow('The dropout of adapters would not act on plain');
  });
});

describe('choosing modules', () => {
  const all = ['a.0.q_proj', 'a.0.my_q_proj', 'a.1.q_proj', 'a.1.v_proj', 'lm_head'].map(
    (name): LoraModule => ({ name, paths: [name], isHead: name === 'lm_head' }),
  );
  const chosen = (targets: string | readonly string[]): string[] => chooseModules(all, targets).map(({ name }) => name);

  it('takes whole names, ends of names, patterns, and regular expressions', () => {
    expect(chosen(['q_proj'])).toEqual(['a.0.q_proj', 'a.1.q_proj']);
    expect(chosen(['1.q_proj', 'lm_head'])).toEqual(['a.1.q_proj', 'lm_head']);
    expect(chosen(['a.0.*'])).toEqual(['a.0.q_proj', 'a.0.my_q_proj']);
    expect(chosen('a\\.\\d\\.v_proj|lm_head')).toEqual(['a.1.v_proj', 'lm_head']);
    expect(chosen('all-linear')).toEqual(['a.0.q_proj', 'a.0.my_q_proj', 'a.1.q_proj', 'a.1.v_proj']);
  });

  it('are named by the ends of their names where that names no others', () => {
    expect(targetsOf(chooseModules(all, ['q_proj', 'v_proj']), all)).toEqual(['q_proj', 'v_proj']);
    expect(targetsOf(chooseModules(all, ['a.0.q_proj']), all)).toEqual(['a.0.q_proj']);
  });

  it('names what there is when nothing is meant', () => {
    expect(() => chosen(['k_proj'])).toThrow('No module is named "k_proj"');
    expect(() => chosen([])).toThrow('No module was named');
    expect(() => chosen('(')).toThrow('no regular expression');
  });
});

describe('bad options and folders', () => {
  it.each<readonly [Partial<LoraOptions>, RegExp]>([
    [{ rank: 0 }, /rank of adapters must be a whole number from 1, not 0/],
    [{ alpha: -1 }, /alpha of adapters must be above 0/],
    [{ dropout: 1 }, /dropout of adapters must be at least 0 and below 1/],
  ])('%j', (options, message) => {
    expect(() => lora(modules, { targets: ['out'], ...options })).toThrow(message);
  });

  it('a weight that is not there, or is no matrix', () => {
    const of = (path: string) => lora([{ name: 'm', paths: [path] }], { targets: ['m'] });
    expect(() => initLora(of('nothing'), base, random(1))).toThrow('has no parameter "nothing"');
    expect(() => initLora(of('left.bias'), base, random(1))).toThrow('Adapters are for matrices');
  });

  const written = async (change: (config: Record<string, unknown>) => object = (config) => config): Promise<void> => {
    const settings = lora(modules, { rank: 2, targets: ['fused'] });
    await writeAdapter(join(folder, 'adapter'), settings, filled(settings));
    const path = join(folder, 'adapter/adapter_config.json');
    const { readFile } = await import('node:fs/promises');
    await writeFile(path, JSON.stringify(change(JSON.parse(await readFile(path, 'utf8')))));
  };
  const reading = (available: readonly LoraModule[] = modules) => readAdapter(join(folder, 'adapter'), available);

  it('comes back as it was written', async () => {
    for (const options of kinds.map(([, own]) => own)) {
      const settings = lora(modules, { ...options, dropout: 0.25, targets: ['fused', 'out'] });
      await writeAdapter(join(folder, 'adapter'), settings, filled(settings), { base: 'somebody/model' });
      const found = await reading();
      expect(found.settings).toEqual(settings);
      expect(found.base).toBe('somebody/model');
      expect(found.adapters).toEqual(filled(settings));
    }
  });

  it("reads PEFT's patterns of ranks and alphas", async () => {
    await written((config) => ({
      ...config,
      r: 16,
      rank_pattern: { fused: 2 },
      alpha_pattern: { '^block.0.fused': 1 },
    }));
    const [module] = (await reading()).settings.modules;
    // A caret within PEFT's pattern stands after an optional prefix, and so matches the whole name.
    expect(module).toMatchObject({ rank: 2, alpha: 1, scale: 0.5 });
  });

  it.each<readonly [string, (config: Record<string, unknown>) => object, RegExp]>([
    ['another kind', (config) => ({ ...config, peft_type: 'IA3' }), /adapter of the type "IA3"/],
    ['biases', (config) => ({ ...config, bias: 'all' }), /has bias = "all", which is not supported/],
    ['whole modules', (config) => ({ ...config, modules_to_save: ['head'] }), /modules_to_save = \["head"\]/],
    ['another rank', (config) => ({ ...config, r: 4 }), /has rank 2 and 2; its configuration says 4/],
    ['no number', (config) => ({ ...config, lora_alpha: 'much' }), /lora_alpha = "much"/],
    [
      'more targets than tensors',
      (config) => ({ ...config, target_modules: ['fused', 'out'] }),
      /no tensors for block\.0\.out/,
    ],
    ['lengths that are missing', (config) => ({ ...config, use_dora: true }), /no tensor ".*lora_magnitude_vector"/],
  ])('%s: a sentence', async (_name, change, message) => {
    await written(change);
    await expect(reading()).rejects.toThrow(message);
  });

  it('of another model, of nothing, and over strange files', async () => {
    await written();
    await expect(reading(modules.slice(1))).rejects.toThrow(
      'for a module block.0.fused, which the model does not have',
    );
    await expect(readAdapter(join(folder, 'none'), modules)).rejects.toThrow('There is no folder');
    await expect(readAdapter(folder, modules)).rejects.toThrow('is no adapter: it has no adapter_config.json');
    await writeFile(join(folder, 'adapter/notes.txt'), 'mine');
    const settings = lora(modules, { targets: ['out'] });
    await expect(writeAdapter(join(folder, 'adapter'), settings, filled(settings))).rejects.toThrow('holds notes.txt');
    const small: NDArray = { dtype: 'float32', shape: [2, 2], data: new Float32Array(4) };
    const other = { 'block.0.out': { a: small, b: small } };
    expect(() => mergeLora<Net>(base, settings, other)).toThrow(
      'The adapter of block.0.out is for 2 inputs and 2 outputs',
    );
  });
});
