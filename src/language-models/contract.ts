/** What a language model of any architecture offers beside its computation: a tokenizer, files, a way back from them. */

import type { JsonObject, Safetensors } from '../formats/index.js';
import type { LanguageModel, LoraModule } from '../nn/index.js';
import type { Arrays, NDArray } from '../tensor/index.js';
import type { Tokenizer } from '../tokenizers/index.js';

/** The ONNX files of a decoder that can be written; each is named as transformers.js looks for it. */
export type OnnxPrecision = 'fp32' | 'fp16' | 'quantized';

/** How a model is saved. */
export interface SaveModelOptions {
  /** Which ONNX files to write (default: fp32 only; none for an empty list). Architectures of their own have fp32 only. */
  readonly onnx?: readonly OnnxPrecision[];
  readonly signal?: AbortSignal;
}

/** What of a model takes adapters, under the names that other tools know. */
export interface Adaptable {
  readonly modules: readonly LoraModule[];
  /** What is adapted where nothing is chosen. */
  readonly usual: readonly string[];
  /** True when published weights are `[in, out]`. */
  readonly fanInFanOut: boolean;
}

/** A language model over a tokenizer's tokens. `P` are its parameters, `B` its batches, `O` what it computes of them. */
export interface TextModel<P = unknown, B = unknown, O = unknown> extends LanguageModel<P, B, O> {
  readonly tokenizer: Tokenizer;
  /** Tokens that it reads at once. */
  readonly context: number;
  /** Factors of the learning rate by path, where the architecture wants them: numbers, or arrays that broadcast. */
  readonly rates?: (path: string) => number | NDArray | undefined;
  /** The linear modules under their published names; architectures without any are adapted under their own paths. */
  readonly adaptable?: Adaptable;
  /** Writes the model's folder whole or not at all. @throws no-space, bad-input, aborted. */
  save(folder: string, parameters: Arrays<P>, options?: SaveModelOptions): Promise<void>;
}

/** A model found in a folder. */
export interface LoadedModel<P = unknown, M extends TextModel<P> = TextModel<P>> {
  readonly model: M;
  /** The weights, read when asked for. */
  parameters(): Promise<Arrays<P>>;
  readonly weights: Safetensors;
  close(): Promise<void>;
}

/** A choice that an architecture offers, as the command line and the studio show it. */
export interface ArchitectureOption {
  /** In the library's spelling: `kvHeads` is `--kv-heads` on the command line. */
  readonly name: string;
  /**
   * `count`: a whole number from 1; `whole`: from 0; `number`: from `least` to `most`; `choice`: one of `choices`;
   * `flag`: true when given; `off`: false when given (`--no-tied`); `text`: anything.
   */
  readonly kind: 'count' | 'whole' | 'number' | 'choice' | 'flag' | 'off' | 'text';
  readonly choices?: readonly string[];
  readonly least?: number;
  readonly most?: number;
  /** True for what can be chosen anew for a model that training goes on from (beside `context` and `dropout`). */
  readonly again?: boolean;
  /** One line for a person, with the default. */
  readonly about: string;
}

/** An architecture as a list shows it; nothing of it is loaded before `load`. */
export interface ArchitectureEntry {
  /** Its name in the library and on the command line. */
  readonly name: string;
  /** One line for a person. */
  readonly about: string;
  /** The `model_type` of the folders that it reads. */
  readonly modelTypes: readonly string[];
  /** Which tokenizers it takes. */
  readonly tokens: 'any' | 'bytes';
  readonly options: readonly ArchitectureOption[];
  /** The largest learning rate for a model of a size, where none is chosen. */
  rate(choices: Readonly<Record<string, unknown>>): number;
  load(): Promise<Architecture>;
}

/** An architecture, loaded. */
export interface Architecture {
  /** A model of the choices named in the entry's options; what is absent takes its default. @throws bad-option. */
  create(choices: Readonly<Record<string, unknown>>, tokenizer: Tokenizer): TextModel;
  /** The same model with other settings of training: dropout, for one. @throws bad-option. */
  adjust(model: TextModel, choices: Readonly<Record<string, unknown>>): TextModel;
  /** Opens a folder. @throws not-found, bad-file, unsupported; mismatch when tokenizer and embedding disagree. */
  open(folder: string, config: JsonObject): Promise<LoadedModel>;
}
