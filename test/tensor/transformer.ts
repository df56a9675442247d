/** A transformer of two layers with everything that could differ from run to run: scatters, dropout, norms, threads. */

import {
  type Arrays,
  add,
  array,
  attention,
  type Call,
  cast,
  constant,
  crossEntropyRows,
  div,
  gather,
  gelu,
  matmul,
  mean,
  mul,
  type NDArray,
  type Random,
  reshape,
  rmsNorm,
  rotary,
  rotaryTables,
  sqrt,
  sub,
  sum,
  sumSquares,
  type Tensor,
  transpose,
  valueAndGrad,
} from 'tessera-kit/tensor';

/** Sizes of the toy; the vocabulary is large enough for its gradient to be a scatter. */
export const TOY = { vocabulary: 1500, width: 32, heads: 4, time: 16, batch: 4, layers: 2 } as const;

const MATRICES = { qkv: [32, 96], out: [32, 32], up: [32, 64], down: [64, 32] } as const;
const RATE = 0.01;

/** The parameters of the toy. */
export interface Toy {
  readonly table: Tensor;
  readonly norm: Tensor;
  readonly layers: readonly Readonly<Record<keyof typeof MATRICES | 'before' | 'between', Tensor>>[];
}

/** Parameters and momenta. */
export interface ToyState {
  readonly parameters: Toy;
  readonly momenta: Toy;
}

function ones(size: number): NDArray {
  return array(new Array<number>(size).fill(1));
}

/** Fresh parameters. */
export function initToy(random: Random): Arrays<Toy> {
  const { vocabulary, width, layers } = TOY;
  return {
    table: random.child('table').normal([vocabulary, width], 0.1),
    norm: ones(width),
    layers: Array.from({ length: layers }, (_, layer) => {
      const draw = (name: keyof typeof MATRICES) => random.child(layer).child(name).normal(MATRICES[name], 0.1);
      return {
        qkv: draw('qkv'),
        out: draw('out'),
        up: draw('up'),
        down: draw('down'),
        before: ones(width),
        between: ones(width),
      };
    }),
  };
}

function dropout(x: Tensor, call: Call): Tensor {
  return mul(x, mul(cast(call.random.bernoulli(x.shape.map(Number), 0.9), x.dtype), 1 / 0.9));
}

function loss(parameters: Toy, ids: Tensor, targets: Tensor, call: Call): Tensor {
  const { width, heads, time, batch } = TOY;
  const tables = rotaryTables(time, width / heads);
  const positions = constant(
    array(
      Array.from({ length: batch * time }, (_, i) => i % time),
      [batch, time],
      'int64',
    ),
  );
  const bias = constant(
    array(
      Array.from({ length: time * time }, (_, i) => (i % time <= Math.floor(i / time) ? 0 : -1e9)),
      [time, time],
    ),
  );
  const turn = (x: Tensor) => rotary(x, positions, constant(tables.cosines), constant(tables.sines));
  const apart = (x: Tensor) => transpose(reshape(x, [batch, time, heads, width / heads]), [0, 2, 1, 3]);
  let x = gather(parameters.table, ids); // [batch, time, width]
  for (const [index, layer] of parameters.layers.entries()) {
    const inner = call.at('layers').at(index);
    const normal = rmsNorm(x, layer.before);
    const part = (start: number) =>
      apart(
        matmul(
          normal,
          gather(
            layer.qkv,
            constant(
              array(
                Array.from({ length: width }, (_, i) => start + i),
                [width],
                'int32',
              ),
            ),
            1,
          ),
        ),
      );
    const mixed = attention(turn(part(0)), turn(part(width)), part(2 * width), bias);
    const joined = reshape(transpose(mixed, [0, 2, 1, 3]), [batch, time, width]);
    x = add(x, dropout(matmul(joined, layer.out), inner.at('out')));
    x = add(x, matmul(gelu(matmul(rmsNorm(x, layer.between), layer.up), 'tanh'), layer.down));
  }
  const logits = matmul(reshape(rmsNorm(x, parameters.norm), [batch * time, width]), parameters.table, {
    transposeB: true,
  });
  return mean(crossEntropyRows(logits, reshape(targets, [batch * time])));
}

/** One step of momentum with the gradient clipped to norm 1. */
export function trainToy(
  state: ToyState,
  { ids, targets }: { readonly ids: Tensor; readonly targets: Tensor },
  call: Call,
) {
  const { value, gradients } = valueAndGrad(loss)(state.parameters, ids, targets, call);
  const all = [gradients.table, gradients.norm, ...gradients.layers.flatMap((layer) => Object.values(layer))];
  const norm = sqrt(
    add(
      all.map((g) => sumSquares(g)).reduce((a, b) => add(a, b)),
      1e-12,
    ),
  );
  const update = (p: Tensor, m: Tensor, g: Tensor) => {
    const momentum = add(mul(m, 0.9), div(g, norm));
    return { p: sub(p, mul(momentum, RATE)), m: momentum };
  };
  const table = update(state.parameters.table, state.momenta.table, gradients.table);
  const last = update(state.parameters.norm, state.momenta.norm, gradients.norm);
  const layers = state.parameters.layers.map((layer, i) => {
    const [m, g] = [state.momenta.layers[i], gradients.layers[i]];
    if (m === undefined || g === undefined) throw new Error('a momentum and a gradient for every layer');
    const one = (name: keyof typeof layer) => update(layer[name], m[name], g[name]);
    return {
      qkv: one('qkv'),
      out: one('out'),
      up: one('up'),
      down: one('down'),
      before: one('before'),
      between: one('between'),
    };
  });
  const pick = (which: 'p' | 'm'): Toy => ({
    table: table[which],
    norm: last[which],
    layers: layers.map((layer) => ({
      qkv: layer.qkv[which],
      out: layer.out[which],
      up: layer.up[which],
      down: layer.down[which],
      before: layer.before[which],
      between: layer.between[which],
    })),
  });
  return { state: { parameters: pick('p'), momenta: pick('m') }, out: { loss: value, norm: sum(norm) } };
}
