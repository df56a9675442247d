/**
 * Decoding an H-Net a byte at a time, several rows together, by whatever runs its programs. Each stage that chunks has two,
 * an encoder step and a decoder step, and the innermost one has one: 2 S + 1 programs for S of them. The host compares
 * nothing but a probability with a half: where a chunk begins, the stage inside takes a step, for those rows only.
 *
 * Every row has its own place in every stage, since rows cut their chunks at different bytes. Nothing of a graph is
 * reached from here, so that hosts of exported programs share it.
 */

import type { DecoderSession, DecoderStep } from '../../nn/decoding.js';
import { array, type NDArray } from '../../tensor/ndarray.js';
import { beginsByRule, chunkWeight, type RuleOptions, takeRows } from './step-host.js';

/** What the host must know of a model. */
export interface NestedOptions extends RuleOptions {
  /** Of each stage, the outermost first. */
  readonly widths: readonly number[];
  readonly vocabulary: number;
  /** The tokens that begin and end a document; a row that opens with the one that ends is opened by the other. */
  readonly begin: number;
  readonly end: number;
}

/** Which rows of the batch take a step, and where each row of the batch stands in the stage. */
export interface StepPlace {
  readonly rows: Int32Array;
  readonly places: Int32Array;
}

type Numbers = Float32Array<ArrayBuffer>;

/** What runs the programs; all values are row after row, of the rows that take the step. */
export interface NestedPrograms {
  /** Ids int32 `[rows]` or hidden states, the state before, and int32 `[rows]`, 1 where a document begins. */
  encode(
    stage: number,
    input: { readonly x: NDArray; readonly previous: NDArray; readonly begins: NDArray },
    place: StepPlace,
  ): Promise<{ readonly out: Numbers; readonly probability: Numbers }>;
  /** The encoder's state, what the stage inside gave, the average so far, and the share that the new chunk takes of it. */
  decode(
    stage: number,
    input: { readonly x: NDArray; readonly inside: NDArray; readonly average: NDArray; readonly weight: NDArray },
    place: StepPlace,
  ): Promise<{ readonly out: Numbers; readonly average: Numbers }>;
  main(stage: number, input: { readonly x: NDArray }, place: StepPlace): Promise<{ readonly out: Numbers }>;
  /** A row begins anew. */
  begin(row: number): void;
  dispose(): Promise<void>;
}

/** What a stage keeps of each row on the host. */
interface StageMemory {
  /** Positions read. */
  readonly places: Int32Array<ArrayBuffer>;
  /** The last hidden state and the running average of chunks: `[batch, width]`. */
  readonly previous: Numbers;
  readonly average: Numbers;
}

/** Rows that are being decoded. */
export class NestedSession implements DecoderSession {
  private readonly memory: readonly StageMemory[];
  /** The byte before, which the rule of spaces asks for. */
  private readonly last: Int32Array;
  /** The logits that each row gave last. */
  private readonly logits: Numbers;

  constructor(
    private readonly options: NestedOptions,
    private readonly programs: NestedPrograms,
    batch: number,
  ) {
    this.memory = options.widths.map((width) => ({
      places: new Int32Array(batch),
      previous: new Float32Array(batch * width),
      average: new Float32Array(batch * width),
    }));
    this.last = new Int32Array(batch);
    this.logits = new Float32Array(batch * options.vocabulary);
  }

  async read({ ids, time, at, lengths }: DecoderStep): Promise<Float32Array> {
    const { vocabulary, begin, end } = this.options;
    const outermost = this.memory[0];
    if (outermost === undefined) throw new Error('a model has a stage');
    const { places } = outermost;
    // A row that reads its last byte again has not moved: its logits are those of before.
    const fresh = Array.from(at, (place, row) => place === 0 || place >= (places[row] ?? 0));
    for (const [row, place] of at.entries()) if (place === 0) this.begin(row);
    for (let t = 0; t < time; t++) {
      const rows = Int32Array.from(fresh.keys()).filter((row) => fresh[row] === true && t < (lengths[row] ?? 0));
      if (rows.length === 0) continue;
      const now = rows.map((row) => {
        const id = ids[row * time + t] ?? 0;
        return places[row] === 0 && id === end ? begin : id;
      });
      const begins = rows.map((row, slot) => Number(places[row] === 0 || now[slot] === begin));
      const logits = await this.step(0, rows, array(now, [rows.length], 'int32'), begins);
      for (const [slot, row] of rows.entries()) {
        this.logits.set(logits.subarray(slot * vocabulary, (slot + 1) * vocabulary), row * vocabulary);
        this.last[row] = now[slot] ?? 0;
      }
    }
    return this.logits.slice();
  }

  dispose(): Promise<void> {
    return this.programs.dispose();
  }

  /** Forgets a row. */
  private begin(row: number): void {
    for (const [stage, { places, average }] of this.memory.entries()) {
      const width = this.options.widths[stage] ?? 0;
      places[row] = 0;
      average.fill(0, row * width, (row + 1) * width);
    }
    this.programs.begin(row);
  }

  /** One position of a stage for some rows: ids or hidden states in, logits or hidden states out. */
  private async step(stage: number, rows: Int32Array, x: NDArray, begins: Int32Array): Promise<Numbers> {
    const memory = this.memory[stage];
    if (memory === undefined) throw new Error(`no stage ${stage}`);
    const place = { rows, places: memory.places };
    const innermost = stage === this.memory.length - 1;
    const out = innermost
      ? (await this.programs.main(stage, { x }, place)).out
      : await this.outer(stage, memory, x, begins, place);
    for (const row of rows) memory.places[row] = (memory.places[row] ?? 0) + 1;
    return out;
  }

  private async outer(
    stage: number,
    memory: StageMemory,
    x: NDArray,
    begins: Int32Array,
    place: StepPlace,
  ): Promise<Numbers> {
    const { rows, places } = place;
    const width = this.options.widths[stage] ?? 0;
    const wide = (data: Numbers): NDArray => array(data, [rows.length, width], 'float32');
    const encoded = await this.programs.encode(
      stage,
      { x, previous: wide(takeRows(memory.previous, rows, width)), begins: array(begins, [rows.length], 'int32') },
      place,
    );
    const hidden = encoded.out;
    const chances = Float32Array.from(rows, (row, slot) => {
      if (begins[slot] === 1) return 1;
      const ruled = beginsByRule(this.options, stage, places[row] ?? 0, this.last[row] ?? 0);
      return ruled ?? encoded.probability[slot] ?? 0;
    });
    putRows(memory.previous, hidden, rows, width);

    const inside = new Float32Array(rows.length * width);
    const slots = Int32Array.from(rows.keys()).filter((slot) => (chances[slot] ?? 0) > 0.5);
    if (slots.length > 0) {
      const z = await this.step(
        stage + 1,
        slots.map((slot) => rows[slot] ?? 0),
        array(takeRows(hidden, slots, width), [slots.length, width], 'float32'),
        slots.map((slot) => begins[slot] ?? 0),
      );
      putRows(inside, z, slots, width);
    }

    const average = wide(takeRows(memory.average, rows, width));
    const weight = array(Float32Array.from(chances, chunkWeight), [rows.length], 'float32');
    const decoded = await this.programs.decode(
      stage,
      { x: wide(hidden), inside: wide(inside), average, weight },
      place,
    );
    putRows(memory.average, decoded.average, rows, width);
    return decoded.out;
  }
}

/** Values row after row into chosen rows. */
function putRows(into: Float32Array, values: Float32Array, rows: Int32Array, width: number): void {
  for (const [slot, row] of rows.entries()) {
    into.set(values.subarray(slot * width, (slot + 1) * width), row * width);
  }
}
