/**
 * The loop `h-net`: nested programs of which the inner ones take a step only where a chunk begins. The programs are
 * `encoder0`, `encoder1`, ..., `main`, ..., `decoder1`, `decoder0`; `options` of `tessera.json` has the `widths` of the
 * stages, their `ratios`, who sets `boundaries`, and the token that `begin`s a document.
 */

import { PROGRAMS_FILE, type ProgramsDescription } from '../formats/programs.js';
import { TesseraError } from '../host/error.js';
import {
  type NestedOptions,
  type NestedPrograms,
  NestedSession,
  type StepPlace,
} from '../language-models/h-net/session.js';
import { array, type NDArray } from '../tensor/ndarray.js';
import type { RunDecoder } from './decoder.js';
import { RowMemory } from './memory.js';
import { type EngineOptions, type OpenProgram, openProgram } from './program.js';

/** Opens the loop. @throws bad-file for a description that this loop cannot drive; as `openProgram`. */
export async function openHNetLoop(
  folder: string,
  description: ProgramsDescription,
  options: EngineOptions,
): Promise<RunDecoder> {
  const nested = nestedOptions(folder, description);
  const inner = nested.widths.length - 1;
  const needed = [
    'main',
    ...Array.from({ length: inner }, (_, stage) => [`encoder${stage}`, `decoder${stage}`]).flat(),
  ];
  const programs = new Map<string, OpenProgram>();
  const dispose = async (): Promise<void> => {
    for (const { onnx } of programs.values()) await onnx.dispose();
  };
  try {
    for (const name of needed) {
      const entry = description.programs[name];
      if (entry === undefined) throw unfit(folder, `it has no program "${name}"`);
      programs.set(name, await openProgram(folder, name, entry, options));
    }
  } catch (error) {
    await dispose();
    throw error;
  }
  const { context, vocabulary, endOfText } = description;
  return {
    context,
    vocabulary,
    endOfText,
    begin: nested.begin,
    draws: false,
    open: async ({ batch, expected, seed }) => {
      const entries = [...programs.values()].map(({ entry }) => entry);
      const memory = new RowMemory(entries, { batch, expected, seed, context });
      return new NestedSession(nested, runPrograms(programs, memory, batch), batch);
    },
    dispose,
  };
}

function unfit(folder: string, what: string): TesseraError {
  return new TesseraError('bad-file', `${folder}: ${PROGRAMS_FILE} asks for the loop "h-net", but ${what}.`);
}

function nestedOptions(folder: string, { options, vocabulary, endOfText }: ProgramsDescription): NestedOptions {
  const list = (name: string): readonly number[] => {
    const value = options[name];
    const numbers = Array.isArray(value) ? value.filter((entry) => typeof entry === 'number') : [];
    if (Array.isArray(value) && numbers.length === value.length && numbers.length > 0) return numbers;
    throw unfit(folder, `its option "${name}" is no list of numbers`);
  };
  const { boundaries, begin } = options;
  const [widths, ratios] = [list('widths'), list('ratios')];
  if (widths.length !== ratios.length + 1) throw unfit(folder, 'it has not one ratio for each stage but the innermost');
  if (boundaries !== 'learned' && boundaries !== 'stride' && boundaries !== 'spaces') {
    throw unfit(folder, `its boundaries are set by ${JSON.stringify(boundaries ?? null)}`);
  }
  if (typeof begin !== 'number' || !Number.isInteger(begin) || begin < 0 || begin >= vocabulary) {
    throw unfit(folder, `${JSON.stringify(begin ?? null)}, which begins a document, is no token`);
  }
  return { widths, ratios, boundaries, vocabulary, begin, end: endOfText };
}

function runPrograms(programs: ReadonlyMap<string, OpenProgram>, memory: RowMemory, batch: number): NestedPrograms {
  const run = async <Out extends string>(
    name: string,
    given: Readonly<Record<string, NDArray>>,
    { rows, places }: StepPlace,
    outputs: readonly Out[],
  ): Promise<Record<Out, Float32Array<ArrayBuffer>>> => {
    const program = programs.get(name);
    if (program === undefined) throw new Error(`no program ${name}`);
    const { entry, onnx } = program;
    const at = Int32Array.from(rows, (row) => places[row] ?? 0);
    const taken = { rows: rows.length === batch ? undefined : rows, at, lengths: new Int32Array(rows.length).fill(1) };
    const feeds = memory.feeds(entry, taken);
    for (const { role, name: port } of entry.inputs) {
      const value = given[port.replace(/^given\./, '')];
      if (role === 'at') feeds[port] = array(at, [rows.length], 'int32');
      else if (role === 'tokens' && value !== undefined) feeds[port] = { ...value, shape: [rows.length, 1] };
      else if (role === 'value' && value !== undefined) feeds[port] = value;
    }
    const results = await onnx.run(
      feeds,
      entry.outputs.map((output) => output.name),
    );
    memory.take(entry, results, taken);
    const found = outputs.map((output) => {
      const data = results[`out.${output}`]?.data;
      if (!(data instanceof Float32Array))
        throw new TesseraError('bad-file', `The program "${name}" gives no "${output}".`);
      return [output, Float32Array.from(data)] as const;
    });
    return Object.fromEntries(found) as Record<Out, Float32Array<ArrayBuffer>>;
  };
  return {
    encode: (stage, input, place) => run(`encoder${stage}`, input, place, ['out', 'probability']),
    decode: (stage, input, place) => run(`decoder${stage}`, input, place, ['out', 'average']),
    main: (_stage, input, place) => run('main', input, place, ['out']),
    begin: (row) => memory.begin(row),
    dispose: async () => undefined,
  };
}
