/** `tessera inspect` of an ONNX model: read without its weights, however large they are. */

import { basename } from 'node:path';
import { type OnnxValue, openOnnx } from '../formats/index.js';
import { type Part, shorten } from './inspect-part.js';
import { count, size, table } from './output.js';

/** Inputs, outputs, operators, versions, weights and metadata of a model. @throws not-found, bad-file. */
export async function onnxPart(path: string): Promise<Part> {
  const model = await openOnnx(path);
  try {
    const { inputs, outputs, initializers, operators, nodes, externalFiles } = model;
    const opsets = Object.entries(model.opsets).map(([domain, version]) => `${domain} ${version}`);
    const weightBytes = initializers.reduce((sum, { bytes }) => sum + bytes, 0);
    const ports = [
      ...inputs.map((value) => ['input', ...row(value)]),
      ...outputs.map((value) => ['output', ...row(value)]),
    ];
    const facts = [
      `${count(nodes)} nodes: ${shorten(describe(operators), 200)}`,
      `${count(initializers.length)} weights of ${size(weightBytes)}${
        externalFiles.length > 0 ? `, also in ${externalFiles.join(', ')}` : ''
      }`,
      [...opsets, model.producer].filter((text) => text !== '').join(', '),
      ...Object.entries(model.metadata).map(([key, value]) => `${key}: ${shorten(value)}`),
      size(model.bytes),
    ];
    return {
      name: basename(path),
      value: {
        nodes,
        weights: initializers.length,
        opsets,
        bytes: model.bytes,
        inputs: inputs.map(plain),
        outputs: outputs.map(plain),
        operators: { ...operators },
        functions: [...model.functions],
        irVersion: model.irVersion,
        producer: model.producer,
        metadata: { ...model.metadata },
        weightBytes,
        externalFiles: [...externalFiles],
        initializers: initializers.map(({ shape, external, ...facts }) => ({
          ...facts,
          shape: [...shape],
          ...(external === undefined ? {} : { external }),
        })),
      },
      lines: `${table(['', 'name', 'type', 'shape'], ports)}\n${facts.join('\n')}`,
    };
  } finally {
    await model.close();
  }
}

function describe(operators: Readonly<Record<string, number>>): string {
  return Object.entries(operators)
    .map(([name, number]) => `${number} ${name}`)
    .join(', ');
}

function plain({ name, dtype, shape }: OnnxValue) {
  return { name, dtype, shape: shape === undefined ? null : [...shape] };
}

function row({ name, dtype, shape }: OnnxValue): string[] {
  return [name, dtype, shape === undefined ? 'any' : `[${shape.join(', ')}]`];
}
