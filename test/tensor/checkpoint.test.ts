/** Checkpointed blocks: the same values and gradients as the blocks themselves, computed a second time. */

import { corpusFromStrings } from 'tessera-kit/formats';
import { gpt, hNet, type TextModel, tokenformer } from 'tessera-kit/language-models';
import { train } from 'tessera-kit/nn';
import {
  add,
  checkpoint,
  gradients,
  mul,
  type NDArray,
  random,
  reshape,
  sin,
  sum,
  type Tensor,
  tanh,
} from 'tessera-kit/tensor';
import { byteTokenizer } from 'tessera-kit/tokenizers';
import { describe, expect, test } from 'vitest';
import { testRuntime } from '../runtime.js';

const runtime = await testRuntime();

type Block = (x: Tensor, y: Tensor) => { readonly first: Tensor; readonly second: Tensor };

/** The slopes of a sum over two outputs of a block that also uses a tensor of its closure, plain or checkpointed. */
async function slopesOf(wrap: (block: Block) => Block): Promise<{ slopes: number[][]; nodes: number }> {
  const spec = { dtype: 'float64', shape: [3, 4] } as const;
  const draw = (name: string): NDArray<'float64'> => ({
    ...spec,
    data: Float64Array.from(random(3).child(name).normal([12]).data),
  });
  const program = await runtime.compile<{ w: Tensor }, { x: Tensor; y: Tensor }, { slopes: Tensor[] }>(
    ({ w }, { x, y }) => {
      const block: Block = (a, b) => {
        const inner = tanh(mul(add(a, w), sin(b)));
        return { first: mul(inner, sin(inner)), second: add(mul(inner, w), b) };
      };
      const { first, second } = wrap(block)(sin(x), y);
      const again = wrap(block)(first, second);
      const loss = sum(add(mul(again.first, again.second), first));
      const once = gradients(loss, { x, y, w });
      const twice = gradients(sum(mul(once.x, once.x)), { x, w });
      return { out: { slopes: [once.x, once.y, once.w, twice.x, twice.w] } };
    },
    { state: { w: spec }, input: { x: spec, y: spec } },
  );
  const state = await runtime.upload<{ w: NDArray }>({ w: draw('w') });
  const { out } = await program.run(state as never, { x: draw('x'), y: draw('y') } as never);
  await program.dispose();
  return { slopes: out.slopes.map(({ data }) => Array.from(data as Float64Array)), nodes: program.report.nodes };
}

describe('a checkpointed block', () => {
  test('has the gradients of the block, also the second ones, and of what its closure uses', async () => {
    const plain = await slopesOf((block) => block);
    const again = await slopesOf((block) => checkpoint(block));
    for (const [index, slopes] of plain.slopes.entries()) {
      for (const [place, slope] of slopes.entries()) expect(again.slopes[index]?.[place]).toBeCloseTo(slope, 12);
    }
    expect(again.nodes).toBeGreaterThan(plain.nodes);
  });

  /** What a block of one input makes of an input of this shape, as the trace sees it. */
  async function made(
    shape: readonly (number | string)[],
    block: (x: Tensor) => Tensor,
  ): Promise<[x: Tensor, y: Tensor]> {
    const found: [Tensor, Tensor][] = [];
    const program = await runtime.compile<object, { x: Tensor }, { y: Tensor }>(
      (_state, { x }) => {
        const y = checkpoint(block)(x);
        found.push([x, y]);
        return { out: { y: sum(y) } };
      },
      { state: {}, input: { x: { dtype: 'float32', shape } } },
    );
    await program.dispose();
    const [first] = found;
    if (first === undefined) throw new Error('nothing was traced');
    return first;
  }

  test('needs sizes that are known', async () => {
    await expect(made(['batch', 4], tanh)).rejects.toThrow(/known sizes/);
  });

  test('that computes nothing is what it was given', async () => {
    const [x, y] = await made([2, 4], (given) => given);
    expect(y).toBe(x);
    const [, flat] = await made([2, 4], (given) => reshape(given, [8]));
    expect(flat.shape).toEqual([8]);
  });
});

describe('training with rematerialize', () => {
  const text = 'It was the best of times, it was the worst of times, it was the age of wisdom. '.repeat(8);
  const models = {
    gpt: gpt({ tokenizer: byteTokenizer(), layers: 2, width: 32, heads: 2, context: 32, dropout: 0.2 }),
    tokenformer: tokenformer({ tokenizer: byteTokenizer(), layers: 2, width: 32, heads: 2, context: 32 }),
    'h-net': hNet({ layout: 'm1,[T1],T1', widths: [32, 48], context: 32 }),
  };

  async function losses<P, B, O>(model: TextModel<P, B, O>, rematerialize: boolean): Promise<number[]> {
    const found: number[] = [];
    const source = model.source(corpusFromStrings([text]), { batch: 2, length: 32 }, random(1));
    for await (const event of train({ model, source, steps: 4, rate: 1e-2, seed: 5, runtime, rematerialize })) {
      if (event.type === 'step') found.push(event.loss);
    }
    return found;
  }

  const tests: Readonly<Record<string, (rematerialize: boolean) => Promise<number[]>>> = {
    gpt: (again) => losses(models.gpt, again),
    tokenformer: (again) => losses(models.tokenformer, again),
    'h-net': (again) => losses(models['h-net'], again),
  };

  test.each(Object.entries(tests))('gives the losses of training without: %s', async (_name, lossesOf) => {
    const [kept, again] = [await lossesOf(false), await lossesOf(true)];
    expect(kept).toHaveLength(4);
    for (const [step, loss] of kept.entries()) expect(again[step]).toBeCloseTo(loss, 5);
  });
});
