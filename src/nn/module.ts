/** The contracts of this layer: modules, objectives, optimizers, batches and language models. */

import type { Corpus, Json } from '../formats/index.js';
import type { Arrays, Call, NDArray, Random, Runtime, Tensor } from '../tensor/index.js';
import type { TokenProgress } from './token-blocks.js';

/** A function with parameters. Parameters are a plain tree: arrays outside a trace, tensors inside. */
export interface Module<P, In, Out> {
  /** Fresh parameters; a pure function of `random`. */
  init(random: Random): Arrays<P>;
  /** The traced computation. */
  apply(parameters: P, input: In, call: Call): Out;
}

/** Batches that know their place: the cursor names the last batch that `next` gave, not what was prefetched. */
export interface BatchSource<B> {
  /** The next batch; undefined when the source has come to its end. */
  next(): Promise<Arrays<B> | undefined>;
  cursor(): Json;
  seek(cursor: Json): Promise<void>;
}

/** A loss as a total and the count it is to be divided by, so that accumulation over micro-batches is exact. */
export interface LossParts {
  readonly total: Tensor;
  readonly count: Tensor;
  /** A term that is added to the mean as it is: a regularizer. */
  readonly extra?: Tensor;
}

/** What a model is trained to do: it calls the model as often as it needs. `own` are the objective's own parameters. */
export interface Objective<B, O, Q = Record<string, never>> {
  init?(random: Random): Arrays<Q>;
  loss(model: (input: B, call: Call) => O, own: Q, batch: B, call: Call): LossParts;
}

/** Gradient steps with moments that mirror the parameters. `rate` is a float32 scalar. */
export interface Optimizer<P, M> {
  init(parameters: Arrays<P>): Arrays<M>;
  update(
    parameters: P,
    gradients: P,
    moments: M,
    rate: Tensor,
    call: Call,
  ): { readonly parameters: P; readonly moments: M };
}

/** The size of a batch: rows, and positions in each. */
export interface BatchSize {
  readonly batch: number;
  readonly length: number;
}

/** How a corpus is read. */
export interface ReadingOptions {
  readonly signal?: AbortSignal;
  /** Called while text is turned into tokens, a few times a second. */
  readonly report?: (progress: TokenProgress) => void;
}

/** Documents in a fixed order, that can be read on from a cursor. */
export type Documents = Pick<Corpus, 'documents'>;

/** A program that `export` writes: its ONNX file and what it computes. */
export interface ExportSpec {
  readonly file: string;
  readonly about: string;
}

/** A model opened for use. */
export interface Runner {
  /** Bits that the model needs to write the document, every byte counted once. */
  bits?(document: Uint8Array, options?: BitsOptions): Promise<{ readonly bits: number; readonly error?: number }>;
  generate?(
    prompts: readonly Uint8Array[],
    options?: GenerateOptions,
  ): AsyncIterable<{ readonly row: number; readonly bytes: Uint8Array }>;
  dispose(): Promise<void>;
}

/** How bits are counted. */
export interface BitsOptions {
  readonly draws?: number;
  readonly seed?: number;
  readonly signal?: AbortSignal;
  /** Called with the bytes done. */
  readonly report?: (bytes: number) => void;
}

/** How a continuation is chosen. */
export interface GenerateOptions {
  /** New tokens at most (default 128). */
  readonly maxTokens?: number;
  /** 0 takes the likeliest token (default 1). */
  readonly temperature?: number;
  /** Only the k likeliest tokens (default: all). */
  readonly topK?: number;
  /** Only the likeliest tokens that together have this probability (default 1). */
  readonly topP?: number;
  /** Divides the logits of tokens already seen when positive, multiplies when negative (CTRL, arXiv 1909.05858; default 1). */
  readonly repetitionPenalty?: number;
  /** Texts that end a continuation; they are not part of it. */
  readonly stop?: readonly string[];
  readonly seed?: number;
  readonly signal?: AbortSignal;
}

/** A model of text: a module with its own batches, objective, files and way to run. */
export interface LanguageModel<P, B, O> extends Module<P, B, O> {
  readonly name: string;
  readonly options: Json;
  /** Whether it can say how many bits a document costs. */
  readonly likelihood: 'exact' | 'sampled' | 'none';
  source(corpus: Documents, size: BatchSize, random: Random, options?: ReadingOptions): BatchSource<B>;
  readonly objective: Objective<B, O>;
  readonly programs: Readonly<Record<string, ExportSpec>>;
  open(runtime: Runtime, weights: Arrays<P>): Promise<Runner>;
}

/** A batch of token ids: `inputs` and `targets` int32 `[batch, length]`; a target of -100 is not counted. */
export interface TokenBatch {
  readonly inputs: Tensor;
  readonly targets: Tensor;
}

/** Arrays of a token batch. */
export type TokenArrays = { readonly inputs: NDArray<'int32'>; readonly targets: NDArray<'int32'> };
