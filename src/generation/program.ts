/** An exported program, opened in ONNX Runtime and compared with what `tessera.json` says of it. */

import { cores, joinPath, stat } from '#host';
import { type ProgramEntry, type ProgramPort, portType } from '../formats/programs.js';
import { TesseraError } from '../host/error.js';
import type { NDArray } from '../tensor/ndarray.js';
import { type Device, loadProvider, type Provider } from '../tensor/runtime/provider.js';
import { openSession, type Session, toArray, toValue } from '../tensor/runtime/session.js';

/** Where programs run. */
export interface EngineOptions {
  /** `auto` (the default) takes the native engine, and WebAssembly where that is not installed. */
  readonly device?: Device | 'auto';
  /** Threads of a program: unless given all cores, and one for small programs, whose products are too small to share. */
  readonly threads?: number;
}

/** Below these bytes a program runs faster on one thread. */
const ONE_THREAD = 16e6;

/** An opened ONNX file. */
export class OnnxProgram {
  private constructor(
    private readonly provider: Provider,
    private readonly session: Session,
  ) {}

  /** Opens a file of a folder. @throws not-found; bad-file when it is no ONNX model; bad-option, unsupported. */
  static async open(folder: string, file: string, { device = 'auto', threads }: EngineOptions): Promise<OnnxProgram> {
    if (threads !== undefined && (!Number.isInteger(threads) || threads < 1)) {
      throw new TesseraError('bad-option', `The number of threads must be a whole number from 1, not ${threads}.`);
    }
    const path = joinPath(folder, ...file.split('/'));
    const size = (await stat(path))?.size;
    if (size === undefined) throw new TesseraError('not-found', `There is no file ${path}.`);
    const weights = size + ((await stat(`${path}_data`))?.size ?? 0);
    const used = threads ?? (weights < ONE_THREAD ? 1 : cores());
    const provider = await loadProvider(device, used);
    try {
      return new OnnxProgram(provider, await openSession(provider, path, { threads: used, optimized: true }));
    } catch (cause) {
      throw new TesseraError('bad-file', `ONNX Runtime cannot open ${path}: ${reasonOf(cause)}`, {
        hint: 'The file may be cut off, or its weights beside it missing: copy the folder again.',
        cause,
      });
    }
  }

  get inputs(): Session['inputMetadata'] {
    return this.session.inputMetadata;
  }

  get outputs(): Session['outputMetadata'] {
    return this.session.outputMetadata;
  }

  /** One run. Blocks the thread that it is called in. */
  async run(feeds: Readonly<Record<string, NDArray>>, fetches: readonly string[]): Promise<Record<string, NDArray>> {
    const values = Object.fromEntries(
      Object.entries(feeds).map(([name, value]) => [name, toValue(this.provider, value)] as const),
    );
    const results = await this.session.run(values, fetches);
    return Object.fromEntries(Object.entries(results).map(([name, value]) => [name, toArray(value)] as const));
  }

  dispose(): Promise<void> {
    return this.session.release();
  }
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/** A program with its description. */
export interface OpenProgram {
  readonly name: string;
  readonly entry: ProgramEntry;
  readonly onnx: OnnxProgram;
}

/**
 * Opens a described program.
 * @throws mismatch naming the input or output whose name, dtype or shape is not the file's; as `OnnxProgram.open`.
 */
export async function openProgram(
  folder: string,
  name: string,
  entry: ProgramEntry,
  options: EngineOptions,
): Promise<OpenProgram> {
  const onnx = await OnnxProgram.open(folder, entry.file, options);
  try {
    const where = `${entry.file} in ${folder}`;
    comparePorts(where, 'input', entry.inputs, onnx.inputs);
    comparePorts(where, 'output', entry.outputs, onnx.outputs);
    return { name, entry, onnx };
  } catch (error) {
    await onnx.dispose();
    throw error;
  }
}

function comparePorts(
  where: string,
  side: 'input' | 'output',
  told: readonly ProgramPort[],
  found: Session['inputMetadata'],
): void {
  const refusal = (what: string): TesseraError =>
    new TesseraError('mismatch', `${where} is not the program that tessera.json describes: ${what}.`, {
      hint: 'Save the model again: both files must come from one export.',
    });
  for (const port of told) {
    const real = found.find(({ name }) => name === port.name);
    if (real === undefined) throw refusal(`it has no ${side} "${port.name}"`);
    if (!real.isTensor) throw refusal(`its ${side} "${port.name}" is no tensor`);
    if (real.type !== port.dtype || !fits(port.shape, real.shape, side)) {
      const is = `${real.type} [${real.shape.join(', ')}]`;
      throw refusal(`its ${side} "${port.name}" is ${is}, not ${portType(port)}`);
    }
  }
  if (side === 'output') return;
  const stray = found.find(({ name }) => !told.some((port) => port.name === name));
  if (stray !== undefined) throw refusal(`it needs the input "${stray.name}", which is not described`);
}

/** Sizes agree where both are numbers; a named size of an output may be a number that the runtime has found out. */
function fits(told: ProgramPort['shape'], real: ProgramPort['shape'], side: 'input' | 'output'): boolean {
  if (told.length !== real.length) return false;
  return told.every((size, axis) => {
    const other = real[axis];
    if (typeof size === 'number') return size === other;
    return side === 'output' || typeof other === 'string';
  });
}
