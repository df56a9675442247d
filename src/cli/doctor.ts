/** `tessera doctor`: what this machine offers. */

import { cpus, totalmem } from 'node:os';
import { Command } from 'commander';
import { examples, runJob, withCommon, withEngine } from './options.js';
import { size } from './output.js';

/** The sub-command. */
export function doctorCommand(): Command {
  const command = new Command('doctor').description('Tell which engine runs here, and how to get the native one.');
  withCommon(withEngine(command));
  return examples(command, ['tessera doctor', 'tessera doctor --device wasm --json']).action(
    (choices: { readonly device?: string; readonly threads?: number; readonly json?: boolean }) =>
      runJob(choices, async ({ output }) => {
        const { openEngine } = await import('./engine.js');
        const { ONNXRUNTIME_VERSION } = await import('../tensor/index.js');
        const { packageVersion } = await import('./version.js');
        const runtime = await openEngine(choices);
        const { about, device, threads } = runtime;
        await runtime.dispose();
        const cores = cpus();
        const figures = {
          tessera: packageVersion(),
          node: process.version,
          onnxruntime: ONNXRUNTIME_VERSION,
          engine: about,
          device,
          threads,
          cores: cores.length,
          processor: cores[0]?.model.trim() ?? 'unknown',
          memoryBytes: totalmem(),
          platform: `${process.platform} ${process.arch}`,
        };
        output.result(figures, () =>
          [
            `engine     ${about}`,
            `versions   tessera ${figures.tessera}, Node ${figures.node}, ONNX Runtime ${figures.onnxruntime}`,
            `machine    ${figures.cores} cores (${figures.processor}), ${size(figures.memoryBytes)}, ${figures.platform}`,
            `threads    ${threads}`,
          ].join('\n'),
        );
      }),
  );
}
