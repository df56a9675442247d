import { createRuntime, type Runtime, type RuntimeOptions } from 'tessera-kit/tensor';
import { afterAll } from 'vitest';

/** An engine for all tests of a file, in the test's own thread and disposed of after them. */
export async function testRuntime(options: RuntimeOptions = {}): Promise<Runtime> {
  const runtime = await createRuntime({ device: 'cpu', threads: 2, worker: false, ...options });
  afterAll(() => runtime.dispose());
  return runtime;
}
