/**
 * One training script everywhere: in Node on the native CPU, in Node on WebAssembly, and in a headless Chromium page on
 * WebAssembly with and without cross-origin isolation, of one thread and of two; on WebGPU in the page and in Node with the software device that
 * Chromium brings. From the same seed the gradients at step 0 agree within 1e-5, the losses within 1e-4 to step 20 and
 * within 1e-2 to step 100. What cannot run here is named. `--steps N` shortens the run for a try.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cleanEnvironment, execute, root } from '../_commands.js';
import { buildPage, openPage, runInPage, serve, softwareVulkan, startBrowser } from './page/browser.js';
import {
  type Distance,
  distance,
  isNear,
  LIMITS,
  type ScriptOptions,
  type ScriptResult,
  trainingScript,
} from './page/script.js';

interface Row {
  readonly engine: string;
  readonly threads: number;
  readonly distance: Distance;
  readonly near: boolean;
  readonly fallbacks: readonly string[];
  readonly firstLossSeconds: number;
  readonly stepMilliseconds: number;
  readonly longestPauseMilliseconds?: number;
}

const seconds = (milliseconds: number): number => Math.round(milliseconds / 100) / 10;

function row(found: ScriptResult, reference: ScriptResult, longestPause?: number): Row {
  const far = distance(reference, found);
  return {
    engine: found.about,
    threads: found.threads,
    distance: far,
    near: isNear(far),
    fallbacks: found.fallbacks,
    firstLossSeconds: seconds(found.firstLoss),
    stepMilliseconds: Math.round(found.step * 10) / 10,
    ...(longestPause === undefined ? {} : { longestPauseMilliseconds: Math.round(longestPause) }),
  };
}

/** Runs the script in every place. */
export default async function run(args: readonly string[]): Promise<{ ok: boolean; figures: object }> {
  const at = args.indexOf('--steps');
  const steps = at === -1 ? 100 : Number(args[at + 1]);
  const rows: Record<string, Row> = {};
  const skipped: Record<string, string> = {};
  const failed: Record<string, unknown> = {};
  const say = (name: string): void => console.error(`${name}: ${JSON.stringify(rows[name] ?? failed[name])}`);

  const reference = await trainingScript({ device: 'cpu', steps });
  rows['node cpu'] = row(reference, reference);
  rows['node wasm'] = row(await trainingScript({ device: 'wasm', threads: 1, steps }), reference);
  say('node wasm');

  const folder = await mkdtemp(join(tmpdir(), 'tessera-page-'));
  const started = await startBrowser({ webgpu: true });
  try {
    if ('missing' in started) skipped.page = started.missing;
    else {
      await buildPage(join(root, 'bench/verify/page'), folder);
      for (const isolated of [false, true]) {
        const served = await serve(folder, { isolated });
        const runs: readonly (readonly [string, ScriptOptions])[] = [
          ['wasm', { device: 'wasm', steps }],
          ...(isolated
            ? [['wasm of two threads', { device: 'wasm', threads: 2, steps }] as const]
            : [['webgpu', { device: 'webgpu', steps }] as const]),
        ];
        for (const [device, options] of runs) {
          const name = `page ${device}${isolated ? ', isolated' : ''}`;
          const { page, complaints } = await openPage(started.browser, served.url);
          const answer = await runInPage(page, options);
          const isolation = answer.isolated === isolated;
          if (answer.result === undefined || !isolation || complaints.length > 0) {
            failed[name] = { error: answer.error, isolated: answer.isolated, complaints };
          } else rows[name] = row(answer.result, reference, answer.longestPause);
          say(name);
          await page.close();
        }
        await served.close();
      }
    }
  } finally {
    if ('browser' in started) await started.browser.close();
    await rm(folder, { recursive: true, force: true });
  }

  const vulkan = await softwareVulkan();
  if ('missing' in vulkan) skipped['node webgpu'] = String(vulkan.missing);
  else {
    const script = fileURLToPath(new URL('./page/script.js', import.meta.url));
    const code = `import { trainingScript } from ${JSON.stringify(script)};
      console.log(JSON.stringify(await trainingScript({ device: 'webgpu', steps: ${steps} })));`;
    const ran = await execute(process.execPath, ['--input-type=module', '-e', code], {
      cwd: root,
      env: cleanEnvironment(vulkan),
    });
    if (ran.ok) rows['node webgpu'] = row(JSON.parse(ran.stdout), reference);
    else failed['node webgpu'] = ran.output.slice(-1000);
    say('node webgpu');
  }
  const ok = Object.keys(failed).length === 0 && Object.values(rows).every(({ near }) => near);
  return { ok, figures: { steps, limits: LIMITS, rows, skipped, failed } };
}
