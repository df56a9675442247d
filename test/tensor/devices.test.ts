/** Every operation of the table on the devices beside the native CPU. */

import { createRuntime, type Runtime } from 'tessera-kit/tensor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkOperation, operations } from './operations-table.js';

describe('on wasm', () => {
  let runtime: Runtime;
  beforeAll(async () => {
    runtime = await createRuntime({ device: 'wasm', threads: 1, worker: false });
  });
  afterAll(() => runtime.dispose());

  test.each(operations.map((row) => [row.operation, row] as const))('%s is what it is on cpu', async (_name, row) => {
    const report = await checkOperation(runtime, row, 'float32');
    expect(report.holds, JSON.stringify(report)).toBe(true);
  });
});
