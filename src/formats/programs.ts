/**
 * `tessera.json`: which ONNX programs a model's folder holds, what each input and output is for, and how a host loops
 * over them. Everything is checked when read and when written, so that a host meets no port that it cannot feed.
 */

import { joinPath, stat } from '#host';
import { TesseraError } from '../host/error.js';
import { BYTES, type DType } from '../tensor/ndarray.js';
import { isJsonObject, type Json, type JsonObject, readJsonObject, writeJson } from './json.js';
import type { PortDraw, PortRole, ProgramEntry, ProgramPort, ProgramsDescription } from './programs-types.js';

export type { PortDraw, PortRole, ProgramEntry, ProgramPort, ProgramsDescription } from './programs-types.js';

/** The file's name. */
export const PROGRAMS_FILE = 'tessera.json';
/** The version that is written; every older one is read. */
export const PROGRAMS_FORMAT = 1;

/**
 * Reads and checks `tessera.json` of a folder; the programs' files must be there, their content is not looked at.
 * @throws not-found when it or a program's file is missing; bad-file when it is damaged; unsupported for a newer format.
 */
export async function readPrograms(folder: string): Promise<ProgramsDescription> {
  const path = joinPath(folder, PROGRAMS_FILE);
  if ((await stat(path)) === undefined) {
    throw new TesseraError('not-found', `${folder} has no ${PROGRAMS_FILE}: it holds no exported programs.`, {
      hint: 'Save the model with its ONNX programs.',
    });
  }
  const description = parsePrograms(await readJsonObject(path), path);
  for (const [name, { file }] of Object.entries(description.programs)) {
    if ((await stat(joinPath(folder, ...file.split('/'))))?.kind === 'file') continue;
    throw new TesseraError('not-found', `${folder} has no ${file}, the program "${name}" of its ${PROGRAMS_FILE}.`, {
      hint: 'Copy the whole folder, or save the model again.',
    });
  }
  return description;
}

/** Checks a description and writes it as `tessera.json` of a folder. @throws bad-file naming what is wrong; no-space. */
export async function writeProgramsFile(folder: string, description: ProgramsDescription): Promise<void> {
  const path = joinPath(folder, PROGRAMS_FILE);
  const content: JsonObject = { format: PROGRAMS_FORMAT, ...plain(description) };
  parsePrograms(content, path);
  await writeJson(path, content);
}

/** A description from JSON; `where` names the file in errors. @throws bad-file, unsupported. */
export function parsePrograms(content: JsonObject, where: string): ProgramsDescription {
  const refuse = refusal(where);
  const { format, options } = content;
  if (typeof format !== 'number' || !Number.isInteger(format) || format < 1) {
    throw refuse(`its "format" must be a whole number from 1, not ${told(format)}`);
  }
  if (format > PROGRAMS_FORMAT) {
    throw new TesseraError('unsupported', `${where} was written by a newer Tessera (format ${format}).`, {
      hint: `Update the package: this one reads formats up to ${PROGRAMS_FORMAT}.`,
    });
  }
  const text = (key: string): string => {
    const value = content[key];
    if (typeof value === 'string' && value !== '') return value;
    throw refuse(`its "${key}" must be a text, not ${told(value)}`);
  };
  const whole = (key: string, least: number): number => {
    const value = content[key];
    if (typeof value === 'number' && Number.isInteger(value) && value >= least) return value;
    throw refuse(`its "${key}" must be a whole number from ${least}, not ${told(value)}`);
  };
  if (options !== undefined && !isJsonObject(options)) throw refuse('its "options" must be an object');
  const vocabulary = whole('vocabulary', 1);
  const endOfText = whole('endOfText', 0);
  if (endOfText >= vocabulary) {
    throw refuse(`its "endOfText" ${endOfText} is no token of a vocabulary of ${vocabulary}`);
  }
  const description: ProgramsDescription = {
    system: text('system'),
    loop: text('loop'),
    context: whole('context', 1),
    vocabulary,
    endOfText,
    tokenizer: insidePath(text('tokenizer'), 'its "tokenizer"', refuse),
    options: options ?? {},
    programs: parseEntries(content.programs, refuse),
  };
  checkStates(description, refuse);
  return description;
}

type Refuse = (what: string) => TesseraError;

function refusal(where: string): Refuse {
  return (what) => new TesseraError('bad-file', `${where} cannot be used: ${what}.`);
}

function told(value: Json | undefined): string {
  return value === undefined ? 'nothing' : JSON.stringify(value);
}

/** A JSON value of a description: plain data has the same form. */
function plain(description: ProgramsDescription): JsonObject {
  const copied: Json = JSON.parse(JSON.stringify(description));
  return isJsonObject(copied) ? copied : {};
}

/** A path that stays inside the folder. */
function insidePath(path: string, what: string, refuse: Refuse): string {
  const parts = path.split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..') || /[\\:]/.test(path)) {
    throw refuse(`${what} must be a path inside the folder, with / between its parts, not ${JSON.stringify(path)}`);
  }
  return path;
}

function parseEntries(programs: Json | undefined, refuse: Refuse): Readonly<Record<string, ProgramEntry>> {
  if (!isJsonObject(programs) || Object.keys(programs).length === 0) {
    throw refuse('its "programs" must be an object with at least one program');
  }
  return Object.fromEntries(
    Object.entries(programs).map(([name, entry]): [string, ProgramEntry] => {
      const of = `the program "${name}"`;
      if (!isJsonObject(entry)) throw refuse(`${of} must be an object`);
      const { file, about = '' } = entry;
      if (typeof file !== 'string' || typeof about !== 'string') throw refuse(`${of} must have a "file"`);
      const ports = (side: 'inputs' | 'outputs'): ProgramPort[] => {
        const list = entry[side];
        if (!Array.isArray(list)) throw refuse(`${of} must have a list of "${side}"`);
        return list.map((port: Json) => parsePort(port, of, side, refuse));
      };
      const parsed = {
        file: insidePath(file, `the file of ${of}`, refuse),
        about,
        inputs: ports('inputs'),
        outputs: ports('outputs'),
      };
      checkRows(parsed, of, refuse);
      return [name, parsed];
    }),
  );
}

function parsePort(port: Json, of: string, side: 'inputs' | 'outputs', refuse: Refuse): ProgramPort {
  const kind = side.slice(0, -1);
  if (!isJsonObject(port) || typeof port.name !== 'string') throw refuse(`every ${kind} of ${of} must have a "name"`);
  const what = `the ${kind} "${port.name}" of ${of}`;
  const { name, dtype, shape } = port;
  if (typeof dtype !== 'string' || !isDType(dtype)) throw refuse(`${what} has the dtype ${told(dtype)}`);
  if (!Array.isArray(shape)) throw refuse(`${what} must have a "shape"`);
  const sizes = shape.map((size: Json) => {
    const known = typeof size === 'string' ? size !== '' : Number.isInteger(size) && Number(size) >= 0;
    if ((typeof size !== 'string' && typeof size !== 'number') || !known) {
      throw refuse(`${what} has the size ${told(size)}; sizes are whole numbers and names`);
    }
    return size;
  });
  const parsed: ProgramPort = { name, dtype, shape: sizes, ...parseRole(port, what, refuse) };
  const [allowed, dtypes, axes] = RULES[parsed.role];
  if (allowed !== 'both' && allowed !== side) {
    throw refuse(`${what} has the role "${parsed.role}", which only ${allowed} have`);
  }
  if (dtypes !== undefined && !dtypes.includes(dtype)) {
    throw refuse(`${what} has the role "${parsed.role}" and must be ${dtypes.join(' or ')}, not ${dtype}`);
  }
  if (axes !== undefined && !axes.includes(sizes.length)) {
    throw refuse(`${what} has the role "${parsed.role}" and must have ${axes.join(' or ')} axes, not ${sizes.length}`);
  }
  return parsed;
}

/** Role by role: on which side it may stand, of which dtypes, with how many axes. */
const RULES: Readonly<
  Record<
    PortRole['role'],
    readonly ['inputs' | 'outputs' | 'both', dtypes?: readonly DType[], axes?: readonly number[]]
  >
> = {
  tokens: ['inputs', ['int32'], [2]],
  at: ['inputs', ['int32'], [1]],
  last: ['inputs', ['int32'], [1]],
  cache: ['inputs'],
  rows: ['outputs'],
  state: ['both'],
  draw: ['inputs'],
  value: ['both'],
  logits: ['outputs', ['float32'], [2, 3]],
};

function isDType(name: string): name is DType {
  return name in BYTES;
}

function parseRole(port: JsonObject, what: string, refuse: Refuse): PortRole {
  const { role, shape } = port;
  const named = (key: string): string => {
    const value = port[key];
    if (typeof value === 'string' && value !== '') return value;
    throw refuse(`${what} has the role "${String(role)}" and must say which "${key}"`);
  };
  switch (role) {
    case 'tokens':
    case 'at':
    case 'last':
    case 'value':
    case 'logits':
      return { role };
    case 'cache': {
      const { axis } = port;
      const axes = Array.isArray(shape) ? shape.length : 0;
      if (typeof axis !== 'number' || !Number.isInteger(axis) || axis < 1 || axis >= axes) {
        throw refuse(`${what} needs the "axis" of its positions, from 1 to ${axes - 1}, not ${told(axis)}`);
      }
      return { role, cache: named('cache'), axis };
    }
    case 'rows':
      return { role, cache: named('cache') };
    case 'state':
      return { role, state: named('state') };
    case 'draw':
      return { role, draw: parseDraw(port, what, refuse) };
    default:
      throw refuse(`${what} has the role ${told(role)}, which is not known`);
  }
}

const NUMBERS: Readonly<Record<PortDraw['verb'], number>> = {
  normal: 1,
  uniform: 2,
  integers: 1,
  bernoulli: 1,
  permutation: 1,
};

function isVerb(verb: string): verb is PortDraw['verb'] {
  return verb in NUMBERS;
}

function parseDraw({ draw, shape }: JsonObject, what: string, refuse: Refuse): PortDraw {
  if (!isJsonObject(draw)) throw refuse(`${what} must say in "draw" what is drawn`);
  const { verb, numbers, path, per } = draw;
  if (typeof verb !== 'string' || !isVerb(verb)) throw refuse(`${what} is drawn by ${told(verb)}, which is not known`);
  const given = Array.isArray(numbers) ? numbers.filter((number: Json) => typeof number === 'number') : [];
  if (given.length !== NUMBERS[verb]) {
    throw refuse(`${what} is drawn by "${verb}", which takes ${NUMBERS[verb]} numbers, not ${told(numbers)}`);
  }
  if (typeof path !== 'string') throw refuse(`${what} must name the "path" of its draw`);
  if (per !== 'row' && per !== 'run') throw refuse(`${what} is drawn per ${told(per)}; it must be "row" or "run"`);
  const sizes = Array.isArray(shape) ? shape : [];
  const fixed = per === 'row' ? sizes.slice(1) : sizes;
  if ((per === 'row' && sizes[0] !== 'batch') || fixed.some((size: Json) => typeof size !== 'number')) {
    const form = per === 'row' ? '"batch" and then numbers' : 'numbers only';
    throw refuse(`${what} is drawn per ${per}: its shape must be ${form}, not ${told(shape)}`);
  }
  return { verb, numbers: given, path, per };
}

/** Names are used once, and rows fit the cache that they are written into. */
function checkRows({ inputs, outputs }: ProgramEntry, of: string, refuse: Refuse): void {
  const names = new Set<string>();
  for (const { name } of [...inputs, ...outputs]) {
    if (names.has(name)) throw refuse(`two inputs or outputs of ${of} are called "${name}"`);
    names.add(name);
  }
  for (const port of outputs) {
    if (port.role !== 'rows') continue;
    const into = inputs.find((other) => other.role === 'cache' && other.cache === port.cache);
    if (into === undefined || into.role !== 'cache') {
      throw refuse(`the output "${port.name}" of ${of} is for the cache "${port.cache}", which no input of it is`);
    }
    const fits = (size: number | string, axis: number) => axis === into.axis || size === into.shape[axis];
    if (port.dtype !== into.dtype || port.shape.length !== into.shape.length || !port.shape.every(fits)) {
      throw refuse(
        `the output "${port.name}" of ${of} is ${portType(port)}, which does not fit into "${into.name}", ${portType(into)}`,
      );
    }
  }
}

/** One name of a cache or state is one thing in every program. */
function checkStates({ programs }: ProgramsDescription, refuse: Refuse): void {
  const seen = new Map<string, ProgramPort>();
  for (const side of ['inputs', 'outputs'] as const) {
    for (const [name, entry] of Object.entries(programs)) {
      for (const port of entry[side]) {
        if (port.role !== 'state' && port.role !== 'cache') continue;
        const key = `${port.role} "${port.role === 'state' ? port.state : port.cache}"`;
        const known = seen.get(key);
        if (known === undefined && side === 'outputs') {
          throw refuse(`the program "${name}" gives the ${key}, which no program reads`);
        }
        if (known !== undefined && portType(known) !== portType(port)) {
          throw refuse(`the ${key} is ${portType(known)} in one place and ${portType(port)} in another`);
        }
        seen.set(key, port);
      }
    }
  }
}

/** A port's dtype and shape, as errors tell them. */
export function portType({ dtype, shape }: Pick<ProgramPort, 'dtype' | 'shape'>): string {
  return `${dtype} [${shape.join(', ')}]`;
}
