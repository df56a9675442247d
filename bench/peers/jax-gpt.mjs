/**
 * A GPT-2-style training step on jax-js (wasm backend, worker threads), as a benchmark's peer: one JSON line in, one
 * out, as torch_gpt.py.
 *
 *     node jax-gpt.mjs '{"layers": 4, "width": 128, "heads": 4, "vocabulary": 512, "batch": 16, "length": 128}'
 *
 * More options: eps, rate, weightDecay, clip, threads, and initial and batches (safetensors files as torch_parity.py
 * reads them). {"steps": n} is answered by {"milliseconds", "losses"}; {"gradients": FILE} writes the gradients of the
 * next batch as safetensors and is answered by {"loss"}. The whole step is one jitted function: forward, backward,
 * clipping and AdamW. The library starts its threads only where it finds a page's Worker and
 * navigator.hardwareConcurrency: both are given to it here.
 */

import { resolveObjectURL } from 'node:buffer';
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Worker as Thread } from 'node:worker_threads';

const options = {
  layers: 4,
  width: 128,
  heads: 4,
  vocabulary: 512,
  batch: 16,
  length: 128,
  eps: 1e-5,
  rate: 1e-3,
  weightDecay: 0.1,
  clip: 1,
  threads: 2,
  seed: 0,
  ...JSON.parse(process.argv[2] ?? '{}'),
};
const { layers, width, heads, vocabulary, batch, length, eps } = options;
const size = width / heads;
const rows = batch * length;

/** What a page's Worker is to jax-js, on a thread of Node. */
class PageWorker {
  onmessage = undefined;
  onerror = undefined;
  #thread;
  constructor(url) {
    const before = `const { parentPort } = require('node:worker_threads');
      globalThis.self = globalThis;
      globalThis.postMessage = (message) => parentPort.postMessage(message);
      parentPort.on('message', (data) => globalThis.onmessage({ data }));`;
    this.#thread = resolveObjectURL(url)
      .text()
      .then((source) => {
        const thread = new Thread(`${before}\n${source}`, { eval: true });
        thread.on('message', (data) => this.onmessage?.({ data }));
        thread.on('error', (error) => this.onerror?.(error));
        this.#thread = thread;
        return thread;
      });
  }
  postMessage(message) {
    if (this.#thread instanceof Thread) this.#thread.postMessage(message);
    else this.#thread.then((thread) => thread.postMessage(message));
  }
}
globalThis.Worker = PageWorker;
Object.defineProperty(globalThis, 'navigator', { value: { hardwareConcurrency: options.threads }, configurable: true });

const { blockUntilReady, defaultDevice, init, jit, nn, numpy: np, valueAndGrad } = await import('@jax-js/jax');
await init('wasm');
defaultDevice('wasm');

/** A safetensors file's tensors, as [name, { shape, data }]. */
function readTensors(path) {
  const bytes = readFileSync(path);
  const end = 8 + Number(bytes.readBigUInt64LE(0));
  const kinds = { F32: Float32Array, I64: BigInt64Array };
  return Object.entries(JSON.parse(bytes.toString('utf8', 8, end)))
    .filter(([name]) => name !== '__metadata__')
    .map(([name, entry]) => {
      const [from, to] = entry.data_offsets;
      const copy = Uint8Array.prototype.slice.call(bytes, end + from, end + to);
      return [name, { shape: entry.shape, data: new kinds[entry.dtype](copy.buffer) }];
    });
}

/** Writes float32 tensors. */
function writeTensors(path, tensors) {
  let at = 0;
  const header = {};
  for (const [name, { shape, data }] of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [at, at + data.byteLength] };
    at += data.byteLength;
  }
  const text = Buffer.from(JSON.stringify(header));
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(BigInt(text.length));
  const bodies = tensors.map(([, { data }]) => Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  writeFileSync(path, Buffer.concat([head, text, ...bodies]));
}

/** Normal numbers (Box and Muller, 1958) from a small generator, so that every run starts the same. */
function normals(count, deviation) {
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 4294967296;
  };
  return Float32Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(uniform()));
    return deviation * radius * Math.cos(2 * Math.PI * uniform());
  });
}
let state = options.seed + 1;

/** Parameters by Hugging Face's names; linear weights as [in, out]. */
function initialParameters() {
  if (options.initial !== undefined) {
    return Object.fromEntries(
      readTensors(options.initial).map(([name, { shape, data }]) => [name, np.array(data).reshape(shape)]),
    );
  }
  const p = {};
  const draw = (name, shape, deviation = 0.02) => {
    p[name] = np.array(normals(shape[0] * shape[1], deviation)).reshape(shape);
  };
  const linear = (name, inputs, outputs, deviation) => {
    draw(`${name}.weight`, [inputs, outputs], deviation);
    p[`${name}.bias`] = np.zeros([outputs]);
  };
  const norm = (name) => {
    p[`${name}.weight`] = np.ones([width]);
    p[`${name}.bias`] = np.zeros([width]);
  };
  draw('transformer.wte.weight', [vocabulary, width]);
  draw('transformer.wpe.weight', [length, width]);
  const residual = 0.02 / Math.sqrt(2 * layers);
  for (let layer = 0; layer < layers; layer++) {
    const at = `transformer.h.${layer}`;
    norm(`${at}.ln_1`);
    linear(`${at}.attn.c_attn`, width, 3 * width);
    linear(`${at}.attn.c_proj`, width, width, residual);
    norm(`${at}.ln_2`);
    linear(`${at}.mlp.c_fc`, width, 4 * width);
    linear(`${at}.mlp.c_proj`, 4 * width, width, residual);
  }
  norm('transformer.ln_f');
  return p;
}

/** Mean cross-entropy over all positions; ids and targets are [batch * length] int32. Arrays are consumed by use. */
function lossOf(p, ids, targets) {
  const norm = (x, name) => {
    const centered = x.ref.sub(np.mean(x, -1, { keepdims: true }));
    const variance = np.mean(np.square(centered.ref), -1, { keepdims: true });
    return centered
      .mul(np.reciprocal(np.sqrt(variance.add(eps))))
      .mul(p[`${name}.weight`].ref)
      .add(p[`${name}.bias`].ref);
  };
  const dense = (x, name) => np.matmul(x, p[`${name}.weight`].ref).add(p[`${name}.bias`].ref);
  const gelu = (x) => {
    const inner = x.ref.mul(0.7978845608028654).mul(np.square(x.ref).mul(0.044715).add(1));
    return x.mul(0.5).mul(np.tanh(inner).add(1));
  };
  const split = (x) => x.reshape([batch, length, heads, size]).transpose([0, 2, 1, 3]);
  const mask = np.tri(length, length, 0, { dtype: 'bool' });
  const attend = (qkv) => {
    const [query, key, value] = np.split(qkv, 3, 1).map(split);
    const scores = np.matmul(query.mul(1 / Math.sqrt(size)), key.transpose([0, 1, 3, 2]));
    const shares = nn.softmax(np.where(mask.ref, scores, -1e30), -1);
    return np.matmul(shares, value).transpose([0, 2, 1, 3]).reshape([rows, width]);
  };
  const table = p['transformer.wte.weight'];
  // Rows stay [batch * length, width] here: the scatter in this gather's gradient does not compile behind a reshape.
  const positions = np.broadcastTo(p['transformer.wpe.weight'].ref, [batch, length, width]).reshape([rows, width]);
  let x = np.take(table.ref, ids, 0).add(positions);
  for (let layer = 0; layer < layers; layer++) {
    const at = `transformer.h.${layer}`;
    x = x.ref.add(dense(attend(dense(norm(x, `${at}.ln_1`), `${at}.attn.c_attn`)), `${at}.attn.c_proj`));
    x = x.ref.add(dense(gelu(dense(norm(x, `${at}.ln_2`), `${at}.mlp.c_fc`)), `${at}.mlp.c_proj`));
  }
  const logits = np.matmul(norm(x, 'transformer.ln_f'), table.ref.transpose());
  const picked = nn.logSoftmax(logits, -1).mul(nn.oneHot(targets, vocabulary));
  mask.dispose();
  for (const tensor of Object.values(p)) tensor.dispose();
  return np.sum(picked).mul(-1 / rows);
}

/** One step: clipping by the global norm, then AdamW (Loshchilov and Hutter, 2019); each tree is consumed. */
function step(p, m, v, ids, targets, corrections) {
  const [loss, gradients] = valueAndGrad(lossOf)(refs(p), ids, targets);
  const squares = Object.values(gradients).map((gradient) => np.sum(np.square(gradient.ref)));
  const norm = np.sqrt(squares.reduce((sum, square) => sum.add(square)));
  const scale = np.minimum(np.array(options.clip).div(norm.add(1e-6)), 1);
  const [first, second] = np.split(corrections, 2).map((one) => one.reshape([]));
  const next = { p: {}, m: {}, v: {} };
  for (const [name, tensor] of Object.entries(p)) {
    const decay = tensor.shape.length > 1 ? 1 - options.rate * options.weightDecay : 1;
    const gradient = gradients[name].mul(scale.ref);
    const mean = m[name].mul(0.9).add(gradient.ref.mul(0.1));
    const square = v[name].mul(0.95).add(np.square(gradient).mul(0.05));
    const move = mean.ref.mul(first.ref).div(np.sqrt(square.ref.mul(second.ref)).add(1e-8));
    next.p[name] = tensor.mul(decay).sub(move.mul(options.rate));
    next.m[name] = mean;
    next.v[name] = square;
  }
  for (const rest of [scale, first, second]) rest.dispose();
  return [loss, next.p, next.m, next.v];
}

function refs(tree) {
  return Object.fromEntries(Object.entries(tree).map(([name, tensor]) => [name, tensor.ref]));
}

function zerosLike(tree) {
  return Object.fromEntries(Object.entries(tree).map(([name, tensor]) => [name, np.zeros(tensor.shape)]));
}

/** Batches of ids, [batch, length + 1] flat: rows of n -> 5 n + 3 with a stray id now and then. */
function batchesOf() {
  if (options.batches !== undefined) {
    const [, { shape, data }] = readTensors(options.batches).find(([name]) => name === 'batches');
    const each = shape[1] * shape[2];
    return Array.from({ length: shape[0] }, (_, at) => Array.from(data.subarray(at * each, (at + 1) * each), Number));
  }
  let random = 1;
  return Array.from({ length: 8 }, () => {
    const all = [];
    for (let row = 0; row < batch; row++) {
      for (let at = 0; at <= length; at++) {
        random = (Math.imul(random, 1103515245) + 12345) & 0x7fffffff;
        const stray = at === 0 || (random >> 16) % 10 === 0;
        all.push(stray ? (random >> 8) % vocabulary : (5 * all[all.length - 1] + 3) % vocabulary);
      }
    }
    return all;
  });
}

/** A batch's rows as the step takes them. */
function idsAndTargets(flat) {
  const row = (at) => flat.slice(at * (length + 1), (at + 1) * (length + 1));
  const all = Array.from({ length: batch }, (_, at) => row(at));
  const ids = (parts) => np.array(Int32Array.from(parts.flat()), { dtype: np.int32 });
  return [ids(all.map((one) => one.slice(0, -1))), ids(all.map((one) => one.slice(1)))];
}

const jitted = jit(step);
const batches = batchesOf();
let p = initialParameters();
let m = zerosLike(p);
let v = zerosLike(p);
let done = 0;

async function train() {
  const start = performance.now();
  const [ids, targets] = idsAndTargets(batches[done % batches.length]);
  const at = done + 1;
  const corrections = np.array(Float32Array.of(1 / (1 - 0.9 ** at), 1 / (1 - 0.95 ** at)));
  let loss;
  [loss, p, m, v] = jitted(p, m, v, ids, targets, corrections);
  await blockUntilReady([loss, p, m, v]);
  const [value] = await loss.data();
  done = at;
  return { milliseconds: performance.now() - start, loss: value };
}

async function gradientsTo(path) {
  const [ids, targets] = idsAndTargets(batches[done % batches.length]);
  const [loss, gradients] = jit((...inputs) => valueAndGrad(lossOf)(...inputs))(refs(p), ids, targets);
  await blockUntilReady(gradients);
  const tensors = [];
  for (const [name, gradient] of Object.entries(gradients)) {
    tensors.push([name, { shape: gradient.shape, data: Float32Array.from(await gradient.data()) }]);
  }
  writeTensors(path, tensors);
  return { loss: (await loss.data())[0] };
}

const manifest = new URL('../package.json', import.meta.resolve('@jax-js/jax'));
const { version } = JSON.parse(readFileSync(manifest, 'utf8'));
const note = 'wasm, worker threads on worker_threads, the whole step jitted';
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
say({ ready: true, version, threads: options.threads, note });
for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  if (asked.gradients !== undefined) {
    say(await gradientsTo(asked.gradients));
    continue;
  }
  const answer = { milliseconds: [], losses: [] };
  for (let at = 0; at < asked.steps; at++) {
    const one = await train();
    answer.milliseconds.push(one.milliseconds);
    answer.losses.push(one.loss);
  }
  say(answer);
}
process.exit(0);
