/** `tessera doctor`: what this machine offers. */

import { cpus, totalmem } from 'node:os';
import { Command } from 'commander';
import type { Json } from '../formats/index.js';
import type { DeviceState } from '../tensor/index.js';
import { examples, runJob, withCommon, withEngine } from './options.js';
import { size } from './output.js';

/** The sub-command. */
export function doctorCommand(): Command {
  const command = new Command('doctor').description(
    'Tell which engine runs here, which devices there are, and why others are not.',
  );
  withCommon(withEngine(command));
  return examples(command, ['tessera doctor', 'tessera doctor --device wasm --json']).action(
    (choices: { readonly device?: string; readonly threads?: number; readonly json?: boolean }) =>
      runJob(choices, async ({ output }) => {
        const { openEngine } = await import('./engine.js');
        const { deviceStates, ONNXRUNTIME_VERSION } = await import('../tensor/index.js');
        const { packageVersion } = await import('./version.js');
        const runtime = await openEngine(choices);
        const { about, device, threads } = runtime;
        await runtime.dispose();
        const devices = await deviceStates();
        const cores = cpus();
        const figures = {
          tessera: packageVersion(),
          node: process.version,
          onnxruntime: ONNXRUNTIME_VERSION,
          engine: about,
          device,
          devices: devices.map(deviceRecord),
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
            ...devices.map((state, index) => `${index === 0 ? 'devices' : '       '}    ${deviceLine(state)}`),
          ].join('\n'),
        );
      }),
  );
}

function deviceRecord({ device, about, missing }: DeviceState): Json {
  if (missing === undefined) return { device, engine: about ?? '' };
  return { device, missing: missing.reason, hint: missing.hint ?? '' };
}

function deviceLine({ device, about, missing }: DeviceState): string {
  const hint = missing?.hint === undefined ? '' : ` ${missing.hint}`;
  return `${device.padEnd(7)} ${about ?? `${missing?.reason ?? ''}${hint}`}`;
}
