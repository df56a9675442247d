/** The decoder of an H-Net in this library: its programs compiled, what its layers keep on the device. */

import { frozen, type StepDecoder } from '../../nn/index.js';
import { type Arrays, createRuntime, type Runtime } from '../../tensor/index.js';
import type { HNetParameters } from './model.js';
import { BOS, EOS, type HNetOptions, VOCABULARY } from './options.js';
import { type NestedOptions, type NestedPrograms, NestedSession } from './session.js';
import { openSteps, type Steps } from './steps.js';

/** Below this many weights a byte's products are too small to share among threads, or to send to a worker. */
const ONE_THREAD = 4e6;

/** What a host of an H-Net must know. */
export function nestedOptions({ widths, ratios, boundaries }: HNetOptions): NestedOptions {
  return { widths, ratios, boundaries, vocabulary: VOCABULARY, begin: BOS, end: EOS };
}

/** Opens the programs of a model's decoding; each is compiled when it is first needed. */
export async function openHNetDecoder(
  runtime: Runtime,
  options: HNetOptions,
  weights: Arrays<HNetParameters>,
): Promise<StepDecoder & { dispose(): Promise<void> }> {
  const size = options.widths.reduce((total, width) => total + width * width * 12, 0);
  const own =
    size < ONE_THREAD ? await createRuntime({ device: runtime.device, threads: 1, worker: false }) : undefined;
  const steps = openSteps(own ?? runtime, options, frozen<HNetParameters>(weights));
  return {
    context: options.context,
    vocabulary: VOCABULARY,
    endOfText: EOS,
    open: async ({ batch, expected }) => {
      const programs = programsOf(steps, batch, await steps.open(batch, expected));
      return new NestedSession(nestedOptions(options), programs, batch);
    },
    dispose: () => (own === undefined ? steps.dispose() : own.dispose()),
  };
}

function programsOf(steps: Steps, batch: number, states: Awaited<ReturnType<Steps['open']>>): NestedPrograms {
  const outer = (stage: number) => {
    const found = steps.stages[stage];
    if (found === undefined || 'main' in found) throw new Error(`stage ${stage} does not chunk`);
    return found;
  };
  return {
    encode: (stage, input, place) => outer(stage).encode.run(states, batch, input, place),
    decode: (stage, input, place) => outer(stage).decode.run(states, batch, input, place),
    main: async (stage, input, place) => {
      const found = steps.stages[stage];
      if (found === undefined || !('main' in found)) throw new Error(`stage ${stage} is not the innermost`);
      return found.main.run(states, batch, input, place);
    },
    // Programs see by its place that a row begins.
    begin: () => undefined,
    dispose: () => states.dispose(),
  };
}
