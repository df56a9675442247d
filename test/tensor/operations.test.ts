/** Every operation against a slow reference, its gradients against directional derivatives. */

import { readdirSync } from 'node:fs';
import * as tensor from 'tessera-kit/tensor';
import { describe, expect, test } from 'vitest';
import { testRuntime } from '../runtime.js';
import { checkOperation, type OperationReport, operations } from './operations-table.js';

declare module 'vitest' {
  interface TaskMeta {
    /** What `npm run verify -- operations` prints. */
    operation?: OperationReport;
  }
}

const runtime = await testRuntime();

describe.each(operations.map((row) => [row.operation, row] as const))('%s', (_name, row) => {
  for (const dtype of row.float64 ? (['float32', 'float64'] as const) : (['float32'] as const)) {
    test(`has the values and gradients of its reference in ${dtype}`, async ({ task }) => {
      const report = await checkOperation(runtime, row, dtype);
      task.meta.operation = report;
      expect(report.holds, JSON.stringify(report)).toBe(true);
    });
  }
});

describe('the table', () => {
  /** What the operations' modules export beside operations. */
  const helpers = new Set(
    'broadcastShapes reducedAxes keptShape finishReduction axesOf isFloat pair only isZeros rotaryTables'.split(' '),
  );

  test('has a row for every exported operation', async () => {
    const folder = new URL('../../dist/tensor/operations/', import.meta.url);
    const files = readdirSync(folder).filter((file) => file.endsWith('.js'));
    const modules: object[] = await Promise.all(files.map((file) => import(new URL(file, folder).href)));
    const exported = modules.flatMap((module) =>
      Object.entries(module).flatMap(([name, value]) => (typeof value === 'function' ? [name] : [])),
    );
    expect(exported.filter((name) => !helpers.has(name)).sort()).toEqual(
      operations.map(({ operation }) => operation).sort(),
    );
    expect(exported.filter((name) => !helpers.has(name) && !(name in tensor))).toEqual([]);
  });
});
