/** The devices beside the native CPU: WebAssembly runs every operation, WebGPU keeps its state and names what leaves it. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { array, cast, createRuntime, type Runtime, type Tensor } from 'tessera-kit/tensor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { softwareVulkan } from '../../bench/verify/page/browser.js';
import { checkOperation, operations } from './operations-table.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

describe('on wasm', () => {
  let runtime: Runtime;
  beforeAll(async () => {
    runtime = await createRuntime({ device: 'wasm', threads: 1, worker: false });
  });
  afterAll(() => runtime.dispose());

  test.each(operations.map((row) => [row.operation, row] as const))('%s is what it is on cpu', async (_name, row) => {
    const report = await checkOperation(runtime, row, 'float32');
    expect(report.holds, JSON.stringify(report)).toBe(true);
  });

  test('nothing leaves the device', async () => {
    const program = await runtime.compile<object, { x: Tensor }, Tensor>((_s, { x }) => ({ out: cast(x, 'float64') }), {
      state: {},
      input: { x: array([1]) },
    });
    expect(program.report.fallbacks).toEqual([]);
    await program.dispose();
  });
});

/** Runs the same small programs on a device and prints what they gave. */
const SCRIPT = `
import * as t from 'tessera-kit/tensor';
const device = process.argv[1];
const told = {};
const failed = (error) => [error.code, error.message];
try {
  for (const worker of [false, true]) {
    const runtime = await t.createRuntime({ device, worker });
    const values = { w: t.random(1).normal([8, 8], 0.4), frozen: t.random(2).normal([8]), count: t.array([1], [1], 'int32') };
    const state = await runtime.upload(values);
    const input = { x: t.random(3).normal([4, 8]) };
    const step = await runtime.compile((s, { x }) => {
      const loss = t.sum(t.logSoftmax(t.rmsNorm(t.matmul(x, s.w), s.frozen)));
      return { state: { w: t.sub(s.w, t.mul(t.gradients(loss, s.w), 0.01)), count: t.add(s.count, 1) }, out: loss };
    }, { state: t.specsOf(values), input });
    const losses = [];
    for (let i = 0; i < 3; i++) losses.push((await step.run(state, input)).out.data[0]);
    const cache = await runtime.upload({ k: t.zeros([2, 1, 4, 2]) });
    const append = await runtime.compile(({ k }, { rows, at }) => ({ append: [{ leaf: k, rows: t.mul(rows, 1), at }], out: {} }), {
      state: { k: { dtype: 'float32', shape: [2, 1, 4, 2] } },
      input: { rows: { dtype: 'float32', shape: [2, 1, 2, 2] }, at: { dtype: 'int32', shape: [2] } },
    });
    const rows = t.array([1, 2, 3, 4, 5, 6, 7, 8], [2, 1, 2, 2]);
    await append.run(cache, { rows, at: t.array([0, 2], [2], 'int32') });
    const over = await append.run(cache, { rows, at: t.array([3, 0], [2], 'int32') }).catch(failed);
    const wide = { x: t.array([1, 2], [2], 'float64') };
    const elsewhere = await runtime.compile((_s, { x }, call) => {
      call.at('wide');
      return { out: t.add(x, x) };
    }, { state: {}, input: wide });
    const half = await runtime.compile((_s, { x }) => ({ out: t.cast(t.mul(t.cast(x, 'float16'), t.cast(x, 'float16')), 'float32') }), { state: {}, input });
    const halved = await half.run(runtime.join({}), input).then(({ out }) => [...out.data], failed);
    const picture = { x: t.random(5).normal([2, 2, 5, 5]), g: t.random(6).normal([2, 2, 3, 3]) };
    const pool = await runtime.compile((_s, { x, g }) => ({
      out: t.gradients(t.sum(t.mul(t.maxPool2d(x, { kernel: 3, stride: 2, padding: 1 }), g)), x),
    }), { state: {}, input: picture });
    const { w, count } = await state.read();
    await state.view('frozen').write(t.random(4).normal([8]));
    const after = (await step.run(state, input)).out.data[0];
    told[worker] = {
      losses: [...losses, after], w: [...w.data], count: [...count.data], cache: [...(await cache.read()).k.data], over, halved,
      fallbacks: [step.report.fallbacks, append.report.fallbacks, elsewhere.report.fallbacks],
      pooled: [...(await pool.run(runtime.join({}), picture)).out.data],
      wide: [...(await elsewhere.run(runtime.join({}), wide)).out.data],
    };
    await runtime.dispose();
  }
} catch (error) {
  told.refused = [error.code, error.message, error.hint];
}
console.log(JSON.stringify(told));
process.exit(0);
`;

interface Told {
  readonly losses: readonly number[];
  readonly w: readonly number[];
  readonly count: readonly number[];
  readonly cache: readonly number[];
  readonly over: readonly string[];
  readonly fallbacks: readonly (readonly string[])[];
  /** The gradient of a maximum over windows that overlap. */
  readonly pooled: readonly number[];
  readonly wide: readonly number[];
  /** A product in half precision, or the code and sentence of a device without it. */
  readonly halved: readonly (number | string)[];
}

async function tell(device: string, env: Readonly<Record<string, string>>) {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', SCRIPT, device], {
    cwd: root,
    env: { ...process.env, ...env },
  });
  return JSON.parse(stdout) as Record<'true' | 'false', Told> & { readonly refused?: readonly string[] };
}

const vulkan = await softwareVulkan();
const missing = 'missing' in vulkan ? vulkan.missing : undefined;

describe.skipIf(missing !== undefined)(`on webgpu${missing === undefined ? '' : ` (${missing})`}`, () => {
  test('state stays on the device, is read and written, and what left the device is named', {
    timeout: 240_000,
  }, async () => {
    const [cpu, gpu] = await Promise.all([tell('cpu', {}), tell('webgpu', 'missing' in vulkan ? {} : vulkan)]);
    expect(gpu.refused).toBeUndefined();
    for (const worker of ['false', 'true'] as const) {
      const [here, there] = [cpu[worker], gpu[worker]];
      for (const name of ['losses', 'w', 'pooled'] as const) {
        expect(there[name]).toHaveLength(here[name].length);
        for (const [i, value] of here[name].entries()) expect(there[name][i]).toBeCloseTo(value, 4);
      }
      for (const name of ['count', 'cache', 'over', 'wide'] as const) expect(there[name]).toEqual(here[name]);
      if (there.halved[0] === 'unsupported')
        expect(there.halved[1]).toMatch(/"webgpu" here has no float16, which \w+ needs/);
      else for (const [i, value] of here.halved.entries()) expect(there.halved[i]).toBeCloseTo(Number(value), 2);
      expect(here.fallbacks).toEqual([[], [], []]);
      expect(there.fallbacks).toEqual([[], [], ['Add (add in wide)']]);
    }
  });

  test('without a graphics driver it is refused in a sentence', async () => {
    const { refused } = await tell('webgpu', { VK_ICD_FILENAMES: '/nothing' });
    expect(refused).toEqual([
      'not-found',
      'The device "webgpu" is not there: no graphics adapter was found.',
      expect.stringContaining('Vulkan'),
    ]);
  });
});
