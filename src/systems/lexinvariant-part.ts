/** Training one of the small models of the lexinvariant experiments, kept for later runs. */

import { joinPath } from '#host';
import type { Json, JsonObject } from '../formats/index.js';
import {
  forward,
  type GptOptions,
  type GptParameters,
  initGpt,
  initGptBody,
  type LexinvariantOptions,
  type LexinvariantParameters,
  lexinvariantModule,
  lexinvariantObjective,
  NOT_COUNTED,
} from '../language-models/index.js';
import {
  type BatchSource,
  cosineRate,
  type Module,
  nextToken,
  type Objective,
  readTree,
  type TokenBatch,
  train,
  writeTree,
} from '../nn/index.js';
import { type Arrays, random, type Tensor, TesseraError } from '../tensor/index.js';
import type { ReproductionContext } from './contract.js';

/** A model of one of the two kinds, with what it is trained to do. */
export type TrainedModule<P> = Module<P, TokenBatch, Tensor> & { readonly objective: Objective<TokenBatch, Tensor> };

/** A standard decoder whose body begins as that of a lexinvariant model does. */
export function standardModule(options: GptOptions): TrainedModule<GptParameters> {
  return {
    init: (draws) => {
      const deviation = 1 / Math.sqrt(options.width);
      return { ...initGpt(options, draws), ...initGptBody(options, draws, deviation) };
    },
    apply: (parameters, { inputs }, call) => forward(options, parameters, inputs, call),
    objective: nextToken({ ignoreIndex: NOT_COUNTED }),
  };
}

/** A lexinvariant model; targets may be ones that are not counted. */
export function freeModule(options: LexinvariantOptions): TrainedModule<LexinvariantParameters> {
  return { ...lexinvariantModule(options), objective: lexinvariantObjective(options, { ignoreIndex: NOT_COUNTED }) };
}

/** How a part is trained. */
export interface PartOptions {
  readonly source: BatchSource<TokenBatch>;
  readonly steps: number;
  readonly rate: number;
  /** What else the part depends on. */
  readonly settings: JsonObject;
}

const FILE = 'model.safetensors';

/** The parameters of a trained part, made now or taken from an earlier run. @throws aborted. */
export async function trainPart<P>(
  context: ReproductionContext,
  part: string,
  model: TrainedModule<P>,
  { source, steps, rate, settings }: PartOptions,
): Promise<Arrays<P>> {
  const { seed, runtime, signal } = context;
  const schedule = cosineRate({ rate });
  const all = { ...settings, seed, steps, rate: { ...schedule } as Json };
  const folder = await context.kept(`lexinvariant-${part}`, all, async (made) => {
    // A look-up that forms is a fall of the loss, and a longer row a rise: neither is an explosion.
    const run = train({ model, source, steps, rate: schedule, seed, runtime, signal, explosion: false });
    for await (const event of run) {
      if (event.type === 'step') {
        context.report(`${part}, update`, event.step, steps, `loss ${event.loss.toFixed(3)}`);
      } else if (event.type === 'end') {
        if (event.reason !== 'finished') throw new TesseraError('aborted', `The training of ${part} was stopped.`);
        await writeTree(joinPath(made, FILE), await event.parameters(), signal);
      }
    }
  });
  return (await readTree(joinPath(folder, FILE), model.init(random(seed)))) as Arrays<P>;
}
