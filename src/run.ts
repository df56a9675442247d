/**
 * `tessera-kit/run`: exported programs driven through `tessera.json`, without the code that trains models.
 *
 * ```ts
 * import { openRun } from 'tessera-kit/run';
 *
 * const run = await openRun('runs/demo/model');
 * const decoder = new TextDecoder();
 * for await (const { bytes } of run.generate(['My fellow citizens'], { temperature: 0.8, seed: 1 })) {
 *   process.stdout.write(decoder.decode(bytes, { stream: true }));
 * }
 * const { bits } = await run.bits('The state of the Union is strong.');
 * await run.dispose();
 * ```
 */

export {
  type PortDraw,
  type PortRole,
  type ProgramEntry,
  type ProgramPort,
  type ProgramsDescription,
  readPrograms,
} from './formats/programs.js';
export { openRun, type Run, type RunOptions } from './generation/open-run.js';
export { type ErrorCode, TesseraError } from './host/error.js';
export type { BitsOptions, GenerateOptions } from './nn/module.js';
