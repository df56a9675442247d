/** Exported programs of a system: their ONNX files, and `tessera.json`, which tells a host what each port is for. */

import { joinPath } from '#host';
import {
  type JsonObject,
  type PortRole,
  type ProgramEntry,
  type ProgramPort,
  type ProgramsDescription,
  writeProgramsFile,
} from '../formats/index.js';
import { dtypeOf, type Lowered, type ModelProto, TesseraError, writeModel } from '../tensor/index.js';

/** A program as it is handed over: names, dtypes and shapes of its ports are read from the graph. */
export interface ExportedProgram {
  readonly lowered: Lowered;
  /** One line for a person. */
  readonly about: string;
  /** What each input and output is for, by its name in the graph. */
  readonly roles: Readonly<Record<string, PortRole>>;
  /** Its file; `onnx/<name>.onnx` unless given. */
  readonly file?: string;
}

/** What `tessera.json` says beside the programs. */
export type ProgramsAbout = Omit<ProgramsDescription, 'programs' | 'options' | 'tokenizer'> & {
  /** What the loop needs beside the programs. */
  readonly options?: JsonObject;
  /** `tokenizer.json` unless given. */
  readonly tokenizer?: string;
};

/**
 * Writes ONNX programs and `tessera.json` into a folder: what a system's `programs` hook of `saveTextModel` calls.
 * @returns what was written. @throws bad-option for a port without a role or a role without a port; bad-file for roles
 * that do not fit their ports; no-space.
 */
export async function writePrograms(
  folder: string,
  about: ProgramsAbout,
  programs: Readonly<Record<string, ExportedProgram>>,
): Promise<ProgramsDescription> {
  const description: ProgramsDescription = {
    ...about,
    options: about.options ?? {},
    tokenizer: about.tokenizer ?? 'tokenizer.json',
    programs: Object.fromEntries(
      Object.entries(programs).map(([name, program]): [string, ProgramEntry] => [name, entryOf(name, program)]),
    ),
  };
  // The description first: it is checked before gigabytes are written.
  await writeProgramsFile(folder, description);
  for (const [name, { lowered }] of Object.entries(programs)) {
    const parts = (description.programs[name]?.file ?? '').split('/');
    await writeModel(joinPath(folder, ...parts.slice(0, -1)), parts.at(-1) ?? '', lowered);
  }
  return description;
}

function entryOf(program: string, { lowered, about, roles, file }: ExportedProgram): ProgramEntry {
  const { input, output } = lowered.model.graph;
  const used = new Set<string>();
  const port = (side: string, { name, type }: ModelProto['graph']['input'][number]): ProgramPort => {
    const role = roles[name];
    if (role === undefined) {
      throw new TesseraError('bad-option', `The ${side} "${name}" of the program "${program}" has no role.`);
    }
    used.add(name);
    const dtype = dtypeOf(type?.tensorType?.elemType ?? 0);
    if (dtype === undefined) {
      throw new TesseraError('unsupported', `The ${side} "${name}" of the program "${program}" has no known dtype.`);
    }
    const shape = (type?.tensorType?.shape?.dim ?? []).map(({ dimParam, dimValue }) => dimParam ?? Number(dimValue));
    return { name, dtype, shape, ...role };
  };
  const entry = {
    file: file ?? `onnx/${program}.onnx`,
    about,
    inputs: input.map((value) => port('input', value)),
    outputs: output.map((value) => port('output', value)),
  };
  const stray = Object.keys(roles).find((name) => !used.has(name));
  if (stray !== undefined) {
    throw new TesseraError('bad-option', `The program "${program}" has no port "${stray}", for which it has a role.`);
  }
  return entry;
}

/**
 * The roles of what `exportCachedDecoder` of nn writes: `ids`, `at`, `last`, `caches.N.key|value`, `logits` and
 * `rows.N.key|value`; those of `extra.*`, by their whole names, are the model's own to say.
 */
export function cachedDecoderRoles(
  lowered: Lowered,
  extra: Readonly<Record<string, PortRole>> = {},
): Readonly<Record<string, PortRole>> {
  const { input, output } = lowered.model.graph;
  const known: Readonly<Record<string, PortRole>> = {
    ids: { role: 'tokens' },
    at: { role: 'at' },
    last: { role: 'last' },
    logits: { role: 'logits' },
  };
  const found = [...input, ...output].flatMap(({ name }): (readonly [string, PortRole])[] => {
    const plain = known[name];
    if (plain !== undefined) return [[name, plain]];
    const [, kind, cache] = /^(caches|rows)\.(.+)$/.exec(name) ?? [];
    if (kind === undefined || cache === undefined) return [];
    return [[name, kind === 'caches' ? { role: 'cache', cache, axis: 2 } : { role: 'rows', cache }]];
  });
  return { ...Object.fromEntries(found), ...extra };
}
