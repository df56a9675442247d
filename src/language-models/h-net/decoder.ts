/**
 * Decoding an H-Net a byte at a time, several rows together. Each stage that chunks has two programs, an encoder step and
 * a decoder step, and the innermost one has one: 2 S + 1 programs for S of them. The host compares nothing but a
 * probability with a half: where a chunk begins, the stage inside takes a step, for those rows only.
 *
 * Every row has its own place in every stage, since rows cut their chunks at different bytes.
 */

import { type DecoderSession, type DecoderStep, frozen, type StepDecoder } from '../../nn/index.js';
import { type Arrays, array, createRuntime, type NDArray, type Runtime } from '../../tensor/index.js';
import type { HNetParameters } from './model.js';
import { BOS, EOS, type HNetOptions, VOCABULARY } from './options.js';
import { beginsByRule, chunkWeight, takeRows } from './step-host.js';
import { type OuterSteps, openSteps, type StackStep, type Steps } from './steps.js';

/** Below this many weights a byte's products are too small to share among threads, or to send to a worker. */
const ONE_THREAD = 4e6;

/** Compiles the programs of a model's decoding. */
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
    open: async ({ batch, expected }) => new HNetSession(options, steps, batch, await steps.open(batch, expected)),
    dispose: () => (own === undefined ? steps.dispose() : own.dispose()),
  };
}

/** What a stage keeps of each row on the host. */
interface StageMemory {
  /** Positions read. */
  readonly places: Int32Array<ArrayBuffer>;
  /** The last hidden state and the running average of chunks: `[batch, width]`. */
  readonly previous: Float32Array<ArrayBuffer>;
  readonly average: Float32Array<ArrayBuffer>;
}

class HNetSession implements DecoderSession {
  private readonly memory: readonly StageMemory[];
  /** The byte before, which the rule of spaces asks for. */
  private readonly last: Int32Array;
  /** The logits that each row gave last. */
  private readonly logits: Float32Array<ArrayBuffer>;

  constructor(
    private readonly options: HNetOptions,
    private readonly steps: Steps,
    private readonly batch: number,
    private readonly states: Awaited<ReturnType<Steps['open']>>,
  ) {
    this.memory = options.widths.map((width) => ({
      places: new Int32Array(batch),
      previous: new Float32Array(batch * width),
      average: new Float32Array(batch * width),
    }));
    this.last = new Int32Array(batch);
    this.logits = new Float32Array(batch * VOCABULARY);
  }

  async read({ ids, time, at, lengths }: DecoderStep): Promise<Float32Array> {
    const bytes = this.memory[0];
    if (bytes === undefined) throw new Error('a model has a stage');
    // A row that reads its last byte again has not moved: its logits are those of before.
    const fresh = Array.from(at, (place, row) => place === 0 || place >= (bytes.places[row] ?? 0));
    for (const [row, place] of at.entries()) if (place === 0) this.begin(row);
    for (let t = 0; t < time; t++) {
      const rows = Int32Array.from(fresh.keys()).filter((row) => fresh[row] === true && t < (lengths[row] ?? 0));
      if (rows.length === 0) continue;
      const now = rows.map((row) => ids[row * time + t] ?? 0);
      const begins = rows.map((row, slot) => Number(bytes.places[row] === 0 || now[slot] === BOS));
      const logits = await this.step(0, rows, array(now, [rows.length], 'int32'), begins);
      for (const [slot, row] of rows.entries()) {
        this.logits.set(logits.subarray(slot * VOCABULARY, (slot + 1) * VOCABULARY), row * VOCABULARY);
        this.last[row] = now[slot] ?? 0;
      }
    }
    return this.logits.slice();
  }

  /** Forgets a row. */
  private begin(row: number): void {
    for (const [stage, { places, average }] of this.memory.entries()) {
      const width = this.options.widths[stage] ?? 0;
      places[row] = 0;
      average.fill(0, row * width, (row + 1) * width);
    }
  }

  /** One position of a stage for some rows: ids or hidden states in, logits or hidden states out, row after row. */
  private async step(stage: number, rows: Int32Array, x: NDArray, begins: Int32Array): Promise<Float32Array> {
    const [memory, program] = [this.memory[stage], this.steps.stages[stage]];
    if (memory === undefined || program === undefined) throw new Error(`no stage ${stage}`);
    const place = { rows, places: memory.places };
    const move = (): void => {
      for (const row of rows) memory.places[row] = (memory.places[row] ?? 0) + 1;
    };
    if ('main' in program) {
      const { out } = await this.run(program.main, `${stage}.main`, { x }, place);
      move();
      return out;
    }
    const result = await this.outer(stage, program, memory, x, begins, place);
    move();
    return result;
  }

  private async outer(
    stage: number,
    program: OuterSteps,
    memory: StageMemory,
    x: NDArray,
    begins: Int32Array,
    place: { readonly rows: Int32Array; readonly places: Int32Array },
  ): Promise<Float32Array> {
    const { rows, places } = place;
    const width = this.options.widths[stage] ?? 0;
    const wide = (data: Float32Array<ArrayBuffer>): NDArray => array(data, [rows.length, width], 'float32');
    const previous = wide(takeRows(memory.previous, rows, width));
    const opened = array(begins, [rows.length], 'int32');
    const encoded = await this.run(program.encode, `${stage}.encoder`, { x, previous, begins: opened }, place);
    const hidden = encoded.out;
    const chances = Float32Array.from(rows, (row, slot) =>
      begins[slot] === 1
        ? 1
        : (beginsByRule(this.options, stage, places[row] ?? 0, this.last[row] ?? 0) ?? encoded.probability[slot] ?? 0),
    );
    for (const [slot, row] of rows.entries()) {
      memory.previous.set(hidden.subarray(slot * width, (slot + 1) * width), row * width);
    }

    const inside = new Float32Array(rows.length * width);
    const slots = Int32Array.from(rows.keys()).filter((slot) => (chances[slot] ?? 0) > 0.5);
    if (slots.length > 0) {
      const chunks = array(takeRows(hidden, slots, width), [slots.length, width], 'float32');
      const z = await this.step(
        stage + 1,
        slots.map((slot) => rows[slot] ?? 0),
        chunks,
        slots.map((slot) => begins[slot] ?? 0),
      );
      for (const [index, slot] of slots.entries())
        inside.set(z.subarray(index * width, (index + 1) * width), slot * width);
    }

    const decoded = await this.run(
      program.decode,
      `${stage}.decoder`,
      {
        x: wide(hidden),
        inside: wide(inside),
        average: wide(takeRows(memory.average, rows, width)),
        weight: array(Float32Array.from(chances, chunkWeight), [rows.length], 'float32'),
      },
      place,
    );
    for (const [slot, row] of rows.entries()) {
      memory.average.set(decoded.average.subarray(slot * width, (slot + 1) * width), row * width);
    }
    return decoded.out;
  }

  private run<In, Out extends string>(
    step: StackStep<In, Out>,
    name: string,
    input: Readonly<Record<keyof In & string, NDArray>>,
    place: { readonly rows: Int32Array; readonly places: Int32Array },
  ): Promise<Readonly<Record<Out, Float32Array<ArrayBuffer>>>> {
    return step.run(this.states, name, this.batch, input, place);
  }

  dispose(): Promise<void> {
    return this.states.dispose();
  }
}
