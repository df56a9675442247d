/** A run with dropout, accumulation and an average; started as a program it kills itself at the step given. */

import { arraySource, dropout, initLinear, linear, train } from 'tessera-kit/nn';
import { array, constant, mul, random, sub, sum, tanh } from 'tessera-kit/tensor';

const x = random(5).normal([60, 2]);
const y = array(
  Float32Array.from({ length: 60 }, (_, i) => Number(x.data[2 * i]) * Number(x.data[2 * i + 1])),
  [60, 1],
);

/** The run's events. @param {string | undefined} out */
export function start(out) {
  return train({
    model: {
      init: (/** @type {import('tessera-kit/tensor').Random} */ draws) =>
        /** @type {any} */ ({
          first: initLinear(draws.child('first'), 2, 8, { bias: true, deviation: 0.5 }),
          second: initLinear(draws.child('second'), 8, 1, { deviation: 0.5 }),
        }),
      apply: (/** @type {any} */ parameters, /** @type {any} */ batch, call) =>
        linear(parameters.second, dropout(tanh(linear(parameters.first, batch.x)), 0.2, call.at('hidden'))),
    },
    objective: {
      loss: (model, _own, batch, call) => {
        const error = sub(model(batch, call), batch.y);
        return { total: sum(mul(error, error)), count: constant(5) };
      },
    },
    source: arraySource({ x, y }, { batch: 5, seed: 1 }),
    steps: 20,
    rate: 0.02,
    accumulate: 2,
    ema: 0.9,
    saveEvery: 5,
    threads: 2,
    out,
  });
}

const [, , out, at] = process.argv;
if (at !== undefined) {
  for await (const event of start(out)) {
    if (event.type === 'step' && event.step === Number(at)) process.kill(process.pid, 'SIGKILL');
  }
}
