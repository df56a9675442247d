/**
 * A process that trains one row of the bench and prints its resident size after collections: `node _memory-row.js ROW STEPS
 * EVERY`, with a line of JSON `{ step, resident }` each time.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { arraySource, train } from 'tessera-kit/nn';
import { createRuntime } from 'tessera-kit/tensor';
import { type Row, withRow } from './_rows.js';

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

async function resident(): Promise<number> {
  // Several times, with rests: what finalizers of one collection free, the next can return.
  for (let turn = 0; turn < 3; turn++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return process.memoryUsage.rss();
}

async function watch<P, B, O>(row: Row<P, B, O>, steps: number, every: number): Promise<void> {
  const runtime = await createRuntime({ device: 'cpu' });
  const source = arraySource(row.batch as object, { batch: row.rows, shuffle: false, seed: 1 });
  const options = {
    model: row.model,
    objective: row.objective,
    source: source as never,
    steps,
    rate: 1e-3,
    seed: 1,
    runtime,
  };
  for await (const event of train<P, B, O>(options)) {
    if (event.type === 'step' && event.step % every === 0)
      console.log(JSON.stringify({ step: event.step, resident: await resident() }));
  }
  await runtime.dispose();
}

const [name = '', steps = '1000', every = '200'] = process.argv.slice(2);
await withRow(name, (row) => watch(row, Number(steps), Number(every)));
