/**
 * The loop `next-token`: one program reads new tokens of every row and gives logits, with caches, states and draws that
 * the host keeps. It is the program named `decode`, or the only one.
 */

import { PROGRAMS_FILE, type ProgramPort, type ProgramsDescription } from '../formats/programs.js';
import { TesseraError } from '../host/error.js';
import type { DecoderStep } from '../nn/decoding.js';
import { array, type NDArray } from '../tensor/ndarray.js';
import type { RunDecoder, RunSession } from './decoder.js';
import { type MemoryOptions, type Places, RowMemory } from './memory.js';
import { type EngineOptions, type OpenProgram, openProgram } from './program.js';

/** Opens the loop. @throws bad-file for a program that this loop cannot drive; as `openProgram`. */
export async function openNextToken(
  folder: string,
  description: ProgramsDescription,
  options: EngineOptions,
): Promise<RunDecoder> {
  const { programs, context, vocabulary, endOfText } = description;
  const [only, ...others] = Object.keys(programs);
  const name = 'decode' in programs || others.length > 0 || only === undefined ? 'decode' : only;
  const entry = programs[name];
  if (entry === undefined) throw unfit(folder, 'it has no program "decode"');
  const tokens = onePort(folder, entry.inputs, 'tokens');
  const logits = onePort(folder, entry.outputs, 'logits');
  const value = entry.inputs.find(({ role }) => role === 'value');
  if (value !== undefined) {
    throw unfit(folder, `the input "${value.name}" is a value, and this loop has none to give`);
  }
  const time = tokens.shape[1];
  if (typeof time === 'number' && time !== 1) {
    throw unfit(folder, `"${tokens.name}" takes ${time} tokens at once; the loop gives any number or one`);
  }
  if (logits.shape.at(-1) !== vocabulary) {
    throw unfit(folder, `"${logits.name}" does not end in the vocabulary of ${vocabulary}`);
  }
  const program = await openProgram(folder, name, entry, options);
  return {
    context,
    vocabulary,
    endOfText,
    draws: entry.inputs.some(({ role }) => role === 'draw'),
    open: async ({ batch, expected, seed }) =>
      new NextTokenSession(program, { batch, expected, seed, context }, time === 1, logits, vocabulary),
    dispose: () => program.onnx.dispose(),
  };
}

function unfit(folder: string, what: string): TesseraError {
  return new TesseraError('bad-file', `${folder}: ${PROGRAMS_FILE} asks for the loop "next-token", but ${what}.`);
}

function onePort(folder: string, ports: readonly ProgramPort[], role: ProgramPort['role']): ProgramPort {
  const [found, second] = ports.filter((port) => port.role === role);
  if (found === undefined || second !== undefined) {
    throw unfit(folder, `its program must have one port with the role "${role}"`);
  }
  return found;
}

class NextTokenSession implements RunSession {
  private readonly memory: RowMemory;
  readonly readAll?: (step: DecoderStep) => Promise<Float32Array>;

  constructor(
    private readonly program: OpenProgram,
    private readonly options: MemoryOptions,
    private readonly single: boolean,
    private readonly logits: ProgramPort,
    private readonly vocabulary: number,
  ) {
    this.memory = new RowMemory([program.entry], options);
    if (logits.shape.length === 3 && !single) this.readAll = (step) => this.whole(step);
  }

  async read(step: DecoderStep): Promise<Float32Array> {
    if (this.single) return this.oneByOne(step);
    const all = await this.whole(step);
    if (this.logits.shape.length === 2) return all;
    const { time, lengths } = step;
    const last = new Float32Array(lengths.length * this.vocabulary);
    for (const [row, length] of lengths.entries()) {
      const from = (row * time + length - 1) * this.vocabulary;
      last.set(all.subarray(from, from + this.vocabulary), row * this.vocabulary);
    }
    return last;
  }

  async dispose(): Promise<void> {
    // The memory is this object's own.
  }

  private async whole({ ids, time, at, lengths }: DecoderStep): Promise<Float32Array> {
    this.begin(at);
    return this.run(ids, time, { at, lengths });
  }

  /** A program of one position: rows whose tokens have ended stay as they are. */
  private async oneByOne({ ids, time, at, lengths }: DecoderStep): Promise<Float32Array> {
    const { batch } = this.options;
    this.begin(at);
    const last = new Float32Array(batch * this.vocabulary);
    for (let t = 0; t < time; t++) {
      const rows = Array.from(lengths.keys()).filter((row) => t < (lengths[row] ?? 0));
      const logits = await this.run(
        Int32Array.from(rows, (row) => ids[row * time + t] ?? 0),
        1,
        {
          rows: rows.length === batch ? undefined : rows,
          at: rows.map((row) => (at[row] ?? 0) + t),
          lengths: rows.map(() => 1),
        },
      );
      for (const [index, row] of rows.entries()) {
        last.set(logits.subarray(index * this.vocabulary, (index + 1) * this.vocabulary), row * this.vocabulary);
      }
    }
    return last;
  }

  private begin(at: Int32Array): void {
    for (const [row, place] of at.entries()) if (place === 0) this.memory.begin(row);
  }

  private async run(ids: Int32Array, time: number, places: Places): Promise<Float32Array> {
    const { entry, onnx } = this.program;
    const rows = places.at.length;
    const feeds = this.memory.feeds(entry, places);
    const integers = (values: ArrayLike<number>): NDArray => array(values, [rows], 'int32');
    for (const { role, name } of entry.inputs) {
      if (role === 'tokens') feeds[name] = array(ids, [rows, time], 'int32');
      else if (role === 'at') feeds[name] = integers(places.at);
      else if (role === 'last') feeds[name] = integers(Array.from(places.lengths, (length) => length - 1));
    }
    const fetches = entry.outputs.filter(({ role }) => role !== 'value').map(({ name }) => name);
    const results = await onnx.run(feeds, fetches);
    this.memory.take(entry, results, places);
    const data = results[this.logits.name]?.data;
    if (!(data instanceof Float32Array)) throw new Error('logits are float32');
    return data;
  }
}
