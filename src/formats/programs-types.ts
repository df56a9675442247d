/** What `tessera.json` says: the exported programs of a model, and what a host feeds them with. */

import type { DType } from '../tensor/ndarray.js';
import type { JsonObject } from './json.js';

/** A draw that a host fills from a seed: the verbs and numbers of `Random`. */
export interface PortDraw {
  /** `normal` [deviation], `uniform` [low, high], `integers` [below], `bernoulli` [probability], `permutation` [n]. */
  readonly verb: 'normal' | 'uniform' | 'integers' | 'bernoulli' | 'permutation';
  readonly numbers: readonly number[];
  /** The draw's name under the seed: equal names are equal draws, also in different programs. */
  readonly path: string;
  /** `row`: drawn when a row begins, kept as long as it lasts, first axis "batch"; `run`: anew for each run. */
  readonly per: 'row' | 'run';
}

/** What a port is for. Rows of a batch are sequences, each with its own number of tokens read so far. */
export type PortRole =
  /** int32 `[batch, time]`, input: new tokens. */
  | { readonly role: 'tokens' }
  /** int32 `[batch]`, input: positions of each row that were read before this run. */
  | { readonly role: 'at' }
  /** int32 `[batch]`, input: which of the new positions of a row is its last one. */
  | { readonly role: 'last' }
  /**
   * Input: rows of earlier positions along `axis`. An axis with a named size has room for what the host chooses; one of
   * a fixed size n is a ring, in which position p stands at p modulo n. Places never written hold zeros.
   */
  | { readonly role: 'cache'; readonly cache: string; readonly axis: number }
  /** Output: rows of the new positions, which the host writes into the cache from each row's own `at` on. */
  | { readonly role: 'rows'; readonly cache: string }
  /** Input and output of one shape: the output replaces the input of the next run. Zeros when a row begins. */
  | { readonly role: 'state'; readonly state: string }
  /** Input: filled by the host from a seed. */
  | { readonly role: 'draw'; readonly draw: PortDraw }
  /** What one program hands to another, or the loop to a program: known to the loop by its name. */
  | { readonly role: 'value' }
  /** float32 `[batch, vocabulary]` for the last position of each row, or `[batch, time, vocabulary]` for all; output. */
  | { readonly role: 'logits' };

/** An input or output of a program. */
export type ProgramPort = PortRole & {
  /** Its name in the ONNX file. */
  readonly name: string;
  readonly dtype: DType;
  /** Numbers, and names of sizes that are known when the program runs: "batch" is the number of rows. */
  readonly shape: readonly (number | string)[];
};

/** One ONNX program. */
export interface ProgramEntry {
  /** Its file, relative to the folder, with `/` between the parts. */
  readonly file: string;
  /** One line for a person. */
  readonly about: string;
  readonly inputs: readonly ProgramPort[];
  readonly outputs: readonly ProgramPort[];
}

/** The content of `tessera.json`. */
export interface ProgramsDescription {
  /** The slug of the system that wrote it. */
  readonly system: string;
  /** How a host loops over the programs: `next-token`, `h-net`, or another name that a host may know. */
  readonly loop: string;
  /** Tokens that the model reads of one row. */
  readonly context: number;
  readonly vocabulary: number;
  /** The token that an empty prompt begins with and that ends a text. */
  readonly endOfText: number;
  /** The tokenizer's file, relative to the folder. */
  readonly tokenizer: string;
  /** What the loop needs beside the programs. */
  readonly options: JsonObject;
  readonly programs: Readonly<Record<string, ProgramEntry>>;
}
