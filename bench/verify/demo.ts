/**
 * The README's main job with its defaults, in an empty folder: `tessera demo` must beat cold brotli on its held-out text.
 * Records seconds to the first loss and in all, and the bits per byte of everything. Takes about two and a half minutes on
 * two free cores; `--steps N` or `--minutes N` is handed on.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cleanEnvironment, execute, holdsModel, root } from '../_commands.js';

interface DemoResult {
  readonly steps: number;
  readonly parameters: number;
  readonly trainingSeconds: number;
  readonly measuredBytes: number;
  readonly bitsPerByte: {
    readonly model: number;
    readonly brotli: number;
    readonly brotliAfterTraining: number;
    readonly gzip: number;
  };
}

/** Runs the demo. */
export default async function run(args: readonly string[]): Promise<{ ok: boolean; figures: object }> {
  const folder = mkdtempSync(join(tmpdir(), 'tessera-demo-'));
  try {
    const command = join(root, 'dist', 'cli', 'main.js');
    const ran = await execute(process.execPath, [command, 'demo', '--json', ...args], {
      cwd: folder,
      env: cleanEnvironment(),
      marks: { firstLoss: /\bloss [\d.]+/ },
    });
    if (!ran.ok) return { ok: false, figures: { failed: ran.output.slice(-2000) } };
    const result: DemoResult = JSON.parse(ran.stdout);
    const { steps, parameters, trainingSeconds, measuredBytes, bitsPerByte } = result;
    const figures = {
      firstLossAfterSeconds: ran.marks.firstLoss,
      trainingSeconds: Math.round(trainingSeconds),
      totalSeconds: Math.round(ran.seconds),
      steps,
      parameters,
      measuredBytes,
      bitsPerByte,
      beatsBrotli: bitsPerByte.model < bitsPerByte.brotli,
      beatsBrotliAfterTraining: bitsPerByte.model < bitsPerByte.brotliAfterTraining,
      leavesModel: holdsModel(folder),
    };
    return { ok: figures.beatsBrotli && figures.leavesModel, figures };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
