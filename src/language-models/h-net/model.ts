/**
 * H-Net (Hwang, Wang & Gu, arXiv 2507.07955): a byte-level language model that learns where to cut its own tokens. Each
 * stage encodes its positions, routes, hands the vectors at boundaries to the stage inside, spreads what comes back by a
 * moving average over chunks, adds a skip, and decodes.
 *
 * Notable: widths grow on the way in by a learned vector; decisions are hard going forward and soft in the gradient; the
 * ratio loss holds chunks at a length. Weights are `[in, out]`.
 */

import { causal, initLinear, type LinearParameters, linear, windowed } from '../../nn/index.js';
import {
  type Arrays,
  add,
  broadcastTo,
  type Call,
  cast,
  concat,
  constant,
  equal,
  gather,
  greater,
  lessEqual,
  logicalAnd,
  logicalOr,
  matmul,
  mul,
  type NDArray,
  type Random,
  range,
  reshape,
  slice,
  type Tensor,
  TesseraError,
  where,
  zeros,
} from '../../tensor/index.js';
import { heightOf, type Layout, parseLayout, stagesOf } from './layout.js';
import { BOS, type HNetOptions, VOCABULARY } from './options.js';
import {
  alwaysOne,
  boundaryProbabilities,
  boundaryRates,
  type Chunks,
  chunksOf,
  confidence,
  flagsOfChunks,
  type RoutingParameters,
  ratioLoss,
  spreadChunks,
  takeChunks,
} from './routing.js';
import { applyStack, initStack, type StackForm, type StackParameters, stackForm } from './stack.js';

/** Parameters of a stage: the innermost has `main`, the others the rest. */
export interface StageParameters<L = Tensor> {
  /** What is added to each position on entering a wider stage: `[width - width outside]`. */
  readonly pad?: L;
  readonly encoder?: StackParameters<L>;
  readonly routing?: RoutingParameters<L>;
  readonly residual?: LinearParameters<L>;
  readonly decoder?: StackParameters<L>;
  readonly main?: StackParameters<L>;
}

/** Parameters of an H-Net. */
export interface HNetParameters<L = Tensor> {
  readonly embedding: { readonly weight: L };
  readonly stages: readonly StageParameters<L>[];
  /** `[width, 256]`. */
  readonly head: { readonly weight: L };
}

/** What a model computes of a batch. */
export interface HNetOutput {
  /** `[batch * time, 256]`. */
  readonly logits: Tensor;
  /** The sum of the stages' ratio losses; a scalar. */
  readonly ratioLoss: Tensor;
}

/** A stage that chunks: its parts are there. */
export interface OuterStage {
  readonly encoder: StackForm;
  readonly decoder: StackForm;
  readonly encode: StackParameters;
  readonly decode: StackParameters;
  readonly routing: RoutingParameters;
  readonly residual: LinearParameters;
}

/** The parts of a stage that chunks, or undefined for the innermost. */
export function outerStage(
  options: HNetOptions,
  layout: Layout,
  stage: number,
  parameters: StageParameters,
): OuterStage | undefined {
  if ('main' in layout) return undefined;
  const { encoder, decoder, routing, residual } = parameters;
  if (encoder === undefined || decoder === undefined || routing === undefined || residual === undefined) {
    throw new TesseraError('mismatch', `The parameters of stage ${stage} lack an encoder, a router or a decoder.`);
  }
  return {
    encoder: stackForm(options, stage, layout.encoder),
    decoder: stackForm(options, stage, layout.decoder),
    encode: encoder,
    decode: decoder,
    routing,
    residual,
  };
}

/** Fresh parameters. */
export function initHNet(options: HNetOptions, random: Random): Arrays<HNetParameters> {
  const stages = stagesOf(parseLayout(options.layout));
  let residuals = 0;
  const parameters: HNetParameters<NDArray> = {
    embedding: {
      weight: random.child('embedding').normal([VOCABULARY, options.widths[0] ?? 1], options.embeddingDeviation),
    },
    stages: stages.map((layout, stage) => {
      const own = random.child('stages').child(stage);
      const width = options.widths[stage] ?? 1;
      const wider = stage === 0 ? 0 : width - (options.widths[stage - 1] ?? 0);
      const pad = wider > 0 ? { pad: zeros([wider]) } : {};
      if ('main' in layout) {
        const form = stackForm(options, stage, layout.main);
        return { ...pad, main: initStack(form, residuals + heightOf(layout.main), own.child('main')) };
      }
      residuals += heightOf(layout.encoder) + heightOf(layout.decoder);
      return {
        ...pad,
        encoder: initStack(stackForm(options, stage, layout.encoder), residuals, own.child('encoder')),
        routing: { query: { weight: identity(width) }, key: { weight: identity(width) } },
        residual: {
          weight: zeros([width, width]),
          // What PyTorch gives a bias: uniform within 1 / sqrt(inputs).
          bias: own.child('residual').uniform([width], -1 / Math.sqrt(width), 1 / Math.sqrt(width)),
        },
        decoder: initStack(stackForm(options, stage, layout.decoder), residuals, own.child('decoder')),
      };
    }),
    head: { weight: initLinear(random.child('head'), options.widths[0] ?? 1, VOCABULARY).weight },
  };
  return parameters as Arrays<HNetParameters>;
}

function identity(size: number): NDArray {
  const matrix = zeros([size, size]);
  for (let i = 0; i < size; i++) matrix.data[i * size + i] = 1;
  return matrix;
}

/** How a forward pass is made. */
export interface ForwardOptions {
  /** The most chunks, as a share of positions (default: all of them, so that none is dropped). */
  readonly capacity?: number;
  /** Told of each stage's chunks, the outermost first. */
  readonly chunks?: (stage: number, chunks: Chunks) => void;
}

/** Logits and ratio losses of `ids` int32 `[batch, time]`; every row is a sequence of its own. */
export function forward(
  options: HNetOptions,
  parameters: HNetParameters,
  ids: Tensor,
  call: Call,
  choices: ForwardOptions = {},
): HNetOutput {
  const [batch = 1, time = 1] = ids.shape.map(Number);
  const stages = stagesOf(parseLayout(options.layout));
  const losses: Tensor[] = [];
  const opening = constant({
    dtype: 'bool',
    shape: [1, time],
    data: Uint8Array.from({ length: time }, (_, t) => Number(t === 0)),
  });
  const starts = logicalOr(broadcastTo(opening, [batch, time]), equal(ids, BOS));

  const through = (stage: number, x: Tensor, place: Place): Tensor => {
    const [layout, own] = [stages[stage], parameters.stages[stage]];
    if (layout === undefined || own === undefined)
      throw new TesseraError('mismatch', `The model has no stage ${stage}.`);
    const here = call.at('stages').at(stage);
    const outside = Number(x.shape[1]);
    const entered = widen(x, own.pad);
    const mix = (form: StackForm) => wholeRows(batch, place.time, form.window);
    const outer = outerStage(options, layout, stage, own);
    if (outer === undefined) {
      if (own.main === undefined || !('main' in layout))
        throw new TesseraError('mismatch', 'There is no main network.');
      const form = stackForm(options, stage, layout.main);
      return slice(applyStack(form, own.main, entered, mix(form), here.at('main')), 1, 0, outside);
    }
    const hidden = applyStack(outer.encoder, outer.encode, entered, mix(outer.encoder), here.at('encoder'));
    const chunks = route(options, stage, outer.routing, hidden, place, choices.capacity ?? 1);
    choices.chunks?.(stage, chunks);
    const { share, probability } = boundaryRates(chunks, place.valid);
    const ratio = options.ratios[stage] ?? 2;
    const loss = ratioLoss(share, probability, ratio);
    losses.push(loss);
    here.record('ratio', share);
    here.record('ratioLoss', loss);
    here.record('dropped', chunks.dropped);
    const inner: Place = {
      time: chunks.most,
      starts: flagsOfChunks(place.starts, chunks),
      valid: chunks.exists,
    };
    const z = through(stage + 1, takeChunks(hidden, chunks), inner);
    const scale = reshape(alwaysOne(confidence(chunks)), [-1, 1]);
    const joined = add(mul(spreadChunks(z, chunks), scale), linear(outer.residual, hidden));
    return slice(
      applyStack(outer.decoder, outer.decode, joined, mix(outer.decoder), here.at('decoder')),
      1,
      0,
      outside,
    );
  };

  const x = gather(parameters.embedding.weight, reshape(ids, [-1]), 0); // [batch * time, width]
  const decoded = through(0, x, { time, starts, ids });
  call.at('head');
  const logits = matmul(decoded, parameters.head.weight);
  return { logits, ratioLoss: losses.reduce((total, loss) => add(total, loss)) };
}

/** The positions of a stage: bytes or chunks. */
interface Place {
  readonly time: number;
  /** bool `[batch, time]`: a document begins. */
  readonly starts: Tensor;
  /** bool `[batch, time]`: the position exists; absent: all do. */
  readonly valid?: Tensor;
  /** int32 `[batch, time]`: the bytes, in the outermost stage. */
  readonly ids?: Tensor;
}

function route(
  options: HNetOptions,
  stage: number,
  parameters: RoutingParameters,
  hidden: Tensor,
  place: Place,
  capacity: number,
): Chunks {
  const { time, starts, valid } = place;
  const width = Number(hidden.shape[1]);
  const most = Math.max(1, Math.min(time, Math.ceil(time * capacity)));
  const given = fixedBoundaries(options, stage, place);
  const probabilities =
    given === undefined ? boundaryProbabilities(parameters, reshape(hidden, [-1, time, width]), starts) : given;
  return chunksOf(probabilities, starts, valid, most);
}

/** Probabilities of 0 and 1 by a rule instead of a router; undefined where the router decides. */
function fixedBoundaries(options: HNetOptions, stage: number, { time, starts, ids }: Place): Tensor | undefined {
  if (options.boundaries === 'learned') return undefined;
  if (options.boundaries === 'stride' || ids === undefined) {
    const stride = options.ratios[stage] ?? 1;
    const every = Float32Array.from({ length: time }, (_, t) => Number(t % stride === 0));
    return where(starts, 1, constant({ dtype: 'float32', shape: [1, time], data: every }));
  }
  const spaces = isSpace(ids);
  const batch = ids.shape[0] ?? 1;
  const first = broadcastTo(constant(1), [batch, 1]);
  const after = cast(spaces, 'float32');
  return where(starts, 1, time === 1 ? first : concat([first, slice(after, 1, 0, -1)], 1));
}

/** Bytes that are a space or one of the controls from tab to carriage return. */
export function isSpace(ids: Tensor): Tensor {
  return logicalOr(equal(ids, 32), logicalAnd(greater(ids, 8), lessEqual(ids, 13)));
}

/** `x` `[rows, width]` with the learned vector at the end of each row. */
export function widen(x: Tensor, pad: Tensor | undefined): Tensor {
  if (pad === undefined) return x;
  const more = pad.shape[0] ?? 1;
  return concat([x, broadcastTo(reshape(pad, [1, more]), [x.shape[0] ?? 1, more])], 1);
}

/** Whole sequences from position 0, each position seeing those before it. */
function wholeRows(batch: number, time: number, window: number) {
  const positions = reshape(range(time, { dtype: 'int64' }), [1, time]);
  const attend = window < 0 ? causal(time) : windowed(time, window);
  return { batch, time, positions: broadcastTo(positions, [batch, time]), attend };
}
