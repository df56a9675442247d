/**
 * Where an H-Net cuts a text: spans of bytes at every stage, each with the probability that it begins there. Texts longer
 * than the context are read in windows that overlap by half; every byte is decided once, with half a context before it.
 */

import { type DeviceTree, type Program, type Runtime, type Tensor, TesseraError } from '../../tensor/index.js';
import { begun } from './bytes.js';
import { forward, type HNetParameters } from './model.js';
import type { HNetOptions } from './options.js';

/** A span of bytes: from `start` to before `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
  /** The probability of a boundary at `start`. */
  readonly probability: number;
}

/** The spans of a stage; together they are the text. */
export interface StageSegmentation {
  readonly spans: readonly Span[];
  /** The probability of a boundary at each byte; 0 at bytes that are no position of this stage. */
  readonly probabilities: Float32Array;
}

/** The stages of a text, the outermost, with the shortest spans, first. */
export interface Segmentation {
  readonly bytes: Uint8Array;
  readonly stages: readonly StageSegmentation[];
}

/** A compiled segmenter. */
export interface Segmenter {
  segment(text: string | Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<Segmentation>;
  dispose(): Promise<void>;
}

interface StageOutput {
  readonly probabilities: Tensor;
  readonly boundaries: Tensor;
  readonly positions: Tensor;
  readonly exists: Tensor;
}

type Windows = Program<Record<string, never>, { readonly ids: Tensor }, readonly StageOutput[]>;

/** Compiles the outer stages of a model for windows of its context. */
export async function openSegmenter(
  runtime: Runtime,
  options: HNetOptions,
  parameters: HNetParameters,
): Promise<Segmenter> {
  const { context } = options;
  const program: Windows = await runtime.compile<
    Record<string, never>,
    { readonly ids: Tensor },
    readonly StageOutput[]
  >(
    (_state, { ids }, call) => {
      const stages: StageOutput[] = [];
      forward(options, parameters, ids, call, {
        chunks: (stage, { probabilities, boundaries, positions, exists }) => {
          stages[stage] = { probabilities, boundaries, positions, exists };
        },
      });
      return { out: stages };
    },
    { state: {}, input: { ids: { dtype: 'int32', shape: [1, context] } } },
  );
  return {
    segment: async (text, { signal } = {}) => {
      const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
      const ids = begun(bytes);
      const marks = options.ratios.map(() => ({
        begins: new Uint8Array(ids.length),
        probabilities: new Float32Array(ids.length),
      }));
      const stride = Math.max(1, context >> 1);
      for (let start = 0; start === 0 || start + context - stride < ids.length; start += stride) {
        if (signal?.aborted)
          throw new TesseraError('aborted', 'The segmentation was stopped.', { cause: signal.reason });
        const decided = start === 0 ? 0 : context - stride;
        await readWindow(runtime, program, ids.subarray(start, start + context), { context, start, decided }, marks);
      }
      return { bytes, stages: marks.map(({ begins, probabilities }) => spansOf(begins, probabilities)) };
    },
    dispose: () => program.dispose(),
  };
}

interface Marks {
  readonly begins: Uint8Array;
  readonly probabilities: Float32Array;
}

async function readWindow(
  runtime: Runtime,
  program: Windows,
  window: Int32Array,
  { context, start, decided }: { readonly context: number; readonly start: number; readonly decided: number },
  marks: readonly Marks[],
): Promise<void> {
  const data = new Int32Array(context);
  data.set(window);
  const nothing = runtime.join({}) as DeviceTree<Record<string, never>>;
  const { out } = await program.run(nothing, { ids: { dtype: 'int32', shape: [1, context], data } });
  /** The byte at which each position of the stage stands. */
  let places = Array.from({ length: context }, (_, place) => place);
  for (const [stage, { probabilities, boundaries, positions, exists }] of out.entries()) {
    const into = marks[stage];
    for (const [index, place] of places.entries()) {
      if (into === undefined || place < decided || place >= window.length) continue;
      into.begins[start + place] = Number(boundaries.data[index]);
      into.probabilities[start + place] = Number(probabilities.data[index]);
    }
    const inner: number[] = [];
    for (let chunk = 0; chunk < exists.data.length && Number(exists.data[chunk]) === 1; chunk++) {
      inner.push(places[Number(positions.data[chunk])] ?? 0);
    }
    places = inner;
  }
}

/** Marks of ids, the first of which stands before the text, as spans of its bytes. */
function spansOf(begins: Uint8Array, probabilities: Float32Array): StageSegmentation {
  const spans: Span[] = [];
  const length = begins.length - 1;
  for (let start = 0; start < length; ) {
    let end = start + 1;
    while (end < length && begins[end + 1] === 0) end++;
    spans.push({ start, end, probability: probabilities[start + 1] ?? 0 });
    start = end;
  }
  return { spans, probabilities: probabilities.subarray(1) };
}
