/** The optimizer of a run, as the command line chose it. */

import {
  type AdamWStart,
  adafactor,
  adam,
  adamW,
  adEmaMix,
  lion,
  muonWithAdamW,
  sgd,
  type TreeOptimizer,
} from '../nn/index.js';
import type { Device, NDArray } from '../tensor/index.js';
import { OPTIMIZERS, type OptimizerName } from './optimizer-names.js';

/** What the optimizer is made from. */
export interface OptimizerChoice {
  readonly name: OptimizerName;
  /** Default: the optimizer's own. */
  readonly weightDecay?: number;
  /** Factors of the rate by path. */
  readonly multiplier?: (path: string) => number | NDArray | undefined;
  /** Moments of an earlier run of AdamW; the others begin afresh. */
  readonly start?: AdamWStart;
  readonly device: Device;
  /** Updates of the run, where they are known: over these the slow average of AdEMAMix rises. */
  readonly steps?: number;
}

/** Makes the optimizer. @throws bad-option for a decay out of range. */
export function optimizerOf({ name, multiplier, start, device, steps, ...choice }: OptimizerChoice): TreeOptimizer {
  const { weightDecay = OPTIMIZERS[name].decay } = choice;
  const scalars = device === 'webgpu' ? 'float32' : 'float64';
  const shared = { multiplier, weightDecay };
  switch (name) {
    case 'adamw':
      return adamW({ ...shared, scalars, start });
    case 'sgd':
      return sgd({ ...shared, nesterov: true });
    case 'adam':
      return adam({ ...shared, scalars });
    case 'lion':
      return lion(shared);
    case 'muon':
      return muonWithAdamW({ ...shared, rest: { scalars } });
    case 'adafactor':
      return adafactor({ ...shared, scalars });
    case 'ademamix':
      return adEmaMix({ ...shared, scalars, warmup: steps });
  }
}
