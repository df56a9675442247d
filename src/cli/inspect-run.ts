/** The work of `tessera inspect`: a path becomes parts, each with a value for programs and lines for people. */

import { basename, join } from 'node:path';
import { listDirectory, stat } from '#host';
import { isJsonObject, isWeightsName, type JsonObject, openWeights, readJsonObject } from '../formats/index.js';
import { TesseraError } from '../host/error.js';
import { loadTokenizer, openTokenizer, type Tokenizer } from '../tokenizers/index.js';
import { mediaPart } from './inspect-media.js';
import { onnxPart } from './inspect-onnx.js';
import { type Part, shorten } from './inspect-part.js';
import { count, type Output, size, table } from './output.js';

/** Shows what is at a path. @throws not-found, bad-file, bad-input for what is none of the known kinds. */
export async function inspect(path: string, output: Output): Promise<void> {
  const status = await stat(path);
  if (status === undefined)
    throw new TesseraError('not-found', `There is nothing at ${path}.`, { hint: 'Check the path.' });
  const parts = status.kind === 'directory' ? await inspectFolder(path) : [await inspectFile(path)];
  output.result(Object.fromEntries([['path', path], ...parts.map(({ name, value }) => [name, value])]), () =>
    parts.map(({ name, lines }) => `${name}\n${indent(lines)}`).join('\n\n'),
  );
}

function indent(lines: string): string {
  return lines.replace(/^(?=.)/gm, '  ');
}

async function inspectFolder(folder: string): Promise<Part[]> {
  const names = (await listDirectory(folder)).map(({ name }) => name);
  const has = (name: string): boolean => names.includes(name);
  const config = has('config.json') ? await readJsonObject(join(folder, 'config.json')) : undefined;
  if (config?.kind === 'tessera-run') return inspectRunFolder(folder);
  const parts: Part[] = [];
  if (config !== undefined) parts.push(configPart(config));
  if (has('trainer.json')) parts.push(trainerPart(await readJsonObject(join(folder, 'trainer.json'))));
  if (has('tokenizer.json')) parts.push(tokenizerPart('tokenizer', await openTokenizer(folder)));
  const indexes = ['model.safetensors.index.json', 'pytorch_model.bin.index.json'].filter(has);
  const weights = indexes.length > 0 ? indexes : names.filter(isWeightsName);
  for (const name of weights) parts.push(await tensorsPart(join(folder, name)));
  if (has('onnx')) {
    const files = (await listDirectory(join(folder, 'onnx'))).filter(({ name }) => name.endsWith('.onnx'));
    for (const { name } of files) parts.push(await onnxPart(join(folder, 'onnx', name)));
  }
  if (parts.length > 0) return parts;
  throw new TesseraError('bad-input', `${folder} holds no model, run, checkpoint or tokenizer.`);
}

async function inspectRunFolder(folder: string): Promise<Part[]> {
  // Only a run's folder needs the code of training.
  const { readRun } = await import('../nn/index.js');
  const run = await readRun(folder);
  if (run === undefined) throw new TesseraError('not-found', `There is no run in ${folder}.`);
  const checkpoints = run.checkpoints.map(({ path }) => path);
  const value: JsonObject = { config: run.config, steps: run.steps ?? null, checkpoints };
  const lines = table(
    ['run', ''],
    [
      ['updates', run.steps === undefined ? 'not settled yet' : String(run.steps)],
      ['checkpoints', checkpoints.map((path) => basename(path)).join(', ') || 'none'],
    ],
  );
  const model = join(folder, 'model');
  const inside = (await stat(model))?.kind === 'directory' ? await inspectFolder(model) : [];
  return [{ name: 'run', value, lines }, ...inside];
}

async function inspectFile(path: string): Promise<Part> {
  if (/\.(safetensors|bin|pt|pth|ckpt)(\.index\.json)?$/.test(path)) return tensorsPart(path);
  if (path.endsWith('.onnx')) return onnxPart(path);
  const media = await mediaPart(path);
  if (media !== undefined) return media;
  if (!path.endsWith('.json')) {
    throw new TesseraError('bad-input', `${path} is none of the files that can be inspected.`, {
      hint:
        'Give a .safetensors, .bin, .pt, .pth, .onnx, .parquet, .wav, picture or tokenizer.json file, ' +
        'or the folder of a model.',
    });
  }
  const content = await readJsonObject(path);
  if (isJsonObject(content.model)) return tokenizerPart('tokenizer', loadTokenizer(content, { where: path }));
  return configPart(content);
}

function configPart(config: JsonObject): Part {
  const rows = Object.entries(config).map(([key, value]) => [
    key,
    typeof value === 'string' ? value : JSON.stringify(value),
  ]);
  return { name: 'config', value: config, lines: table(['option', 'value'], rows) };
}

function trainerPart(trainer: JsonObject): Part {
  const { step = null, steps = null, seconds = null, loss = null } = trainer;
  const value = { step, steps, seconds, loss };
  return {
    name: 'checkpoint',
    value,
    lines: table(
      ['trainer', 'value'],
      Object.entries(value).map(([key, held]) => [key, JSON.stringify(held)]),
    ),
  };
}

function tokenizerPart(name: string, tokenizer: Tokenizer): Part {
  const special = Object.fromEntries(tokenizer.special);
  const value = {
    kind: tokenizer.name,
    tokens: tokenizer.vocabulary.size,
    endOfText: tokenizer.endOfText ?? null,
    lossy: tokenizer.lossy,
    special,
  };
  const lines = table(
    ['tokenizer', 'value'],
    [
      ['kind', value.kind],
      ['tokens', count(value.tokens)],
      ['end of text', tokenizer.endOfText === undefined ? 'none' : String(tokenizer.endOfText)],
      ['gives text back', tokenizer.lossy ? 'not always' : 'always'],
      ['special tokens', shorten(Object.keys(special).join(' ') || 'none')],
    ],
  );
  return { name, value, lines };
}

async function tensorsPart(path: string): Promise<Part> {
  const file = await openWeights(path);
  try {
    const tensors = file.names.map((name) => {
      const { dtype, shape, bytes } = file.tensor(name);
      return {
        name,
        dtype,
        shape: [...shape],
        parameters: shape.reduce((product, length) => product * length, 1),
        bytes,
      };
    });
    const parameters = tensors.reduce((sum, tensor) => sum + tensor.parameters, 0);
    const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
    const rows = tensors.map((tensor) => [
      tensor.name,
      tensor.dtype,
      `[${tensor.shape.join(', ')}]`,
      count(tensor.parameters),
    ]);
    const part = path.includes('.safetensors') ? undefined : file.metadata.part;
    const where = part === undefined ? '' : `, all under '${part}'`;
    const total = `${count(tensors.length)} tensors, ${count(parameters)} numbers, ${size(bytes)}${where}`;
    return {
      name: basename(path),
      value: { parameters, bytes, tensors },
      lines: `${table(['tensor', 'type', 'shape', 'numbers'], rows)}\n${total}`,
    };
  } finally {
    await file.close();
  }
}
