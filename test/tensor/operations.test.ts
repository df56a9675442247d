/** Every operation against a slow reference, its gradients against directional derivatives. */

import * as tensor from 'tessera-kit/tensor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkOperation, operations } from './operations-table.js';

let runtime: tensor.Runtime;
beforeAll(async () => {
  runtime = await tensor.createRuntime({ device: 'cpu', threads: 2, worker: false });
});
afterAll(() => runtime.dispose());

describe.each(operations.map((row) => [row.operation, row] as const))('%s', (_name, row) => {
  for (const dtype of row.float64 ? (['float32', 'float64'] as const) : (['float32'] as const)) {
    test(`has the values and gradients of its reference in ${dtype}`, async () => {
      const report = await checkOperation(runtime, row, dtype);
      expect(report.holds, JSON.stringify(report)).toBe(true);
    });
  }
});

describe('the table', () => {
  /** Exported functions that apply no operation: arrays, trees, tracing, runtimes, files, and helpers of operations. */
  const others = new Set(
    `TesseraError allocate array bytesOf isNDArray ndarray sizeOf viewAs zeros constant isTensor arrayLeaves mapArrays mapTensors
    mapTree nest specLeaves tensorLeaves grad gradients valueAndGrad random specsOf broadcastShapes reducedAxes keptShape
    finishReduction axesOf isFloat pair only isZeros rotaryTables decodeModel dtypeOf encodeFiles createRuntime evaluate exportProgram`.split(
      /\s+/,
    ),
  );

  test('has a row for every exported operation', () => {
    const rows = new Set(operations.map(({ operation }) => operation));
    const exported = Object.entries(tensor).flatMap(([name, value]) => (typeof value === 'function' ? [name] : []));
    expect(exported.filter((name) => !rows.has(name) && !others.has(name))).toEqual([]);
    expect([...rows].filter((name) => !exported.includes(name))).toEqual([]);
  });
});
