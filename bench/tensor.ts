/**
 * `npm run bench -- tensor`: one training step of a GPT beside jax-js and PyTorch, its matrix products beside the rate
 * that the runtime reaches on those shapes alone, and decoding beside transformers.js on the same exported model; then
 * steps of a convolutional net, of an encoder with cross attention and of recurrences beside PyTorch. `--small`, `--large`,
 * `--conv`, `--cross`, `--lstm`, `--mingru` choose among them.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gpt, initGpt, openGptRunner, saveGpt } from 'tessera-kit/language-models';
import { createRuntime, random } from 'tessera-kit/tensor';
import { byteTokenizer } from 'tessera-kit/tokenizers';
import { convStep } from './_conv-step.js';
import { crossStep } from './_cross-step.js';
import { productsAlone, SIZES, type StepSize, stepFlops } from './_gpt-step.js';
import { type Peer, peerEnvironment, python, startPeer } from './_peer.js';
import { recurrenceStep } from './_recurrence-step.js';
import { type Comparison, type Contender, compare } from './_rounds.js';
import { withRow } from './_rows.js';
import { compareStep, ourStep, type StepReport } from './_steps.js';

const THREADS = 2;
const PEERS = fileURLToPath(new URL('../bench/peers/', import.meta.url));
/** What is accepted: ratios to each peer, and the share of the ceiling. */
const NEEDED = {
  small: { jaxjs: 4, torch: 2.8, transformersjs_decode: 1.2, share: 0.6 },
  large: { torch: 1.6, share: 0.75 },
  conv: { torch: 1 },
  cross: { torch: 1.5 },
  lstm: { torch: 1.5 },
  mingru: { torch: 1.5 },
} as const;

interface Report {
  readonly ratios: Record<string, number | null>;
  readonly gflops: number;
  readonly ceiling_gflops: number;
  readonly share: number;
  readonly spread: Record<string, number>;
  readonly milliseconds: Record<string, number>;
  readonly notes: Record<string, string>;
  readonly missed: readonly string[];
}

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

function peerContender(name: string, peer: Peer, question: object): Contender {
  return { name, round: async () => (await peer.ask(question)).milliseconds };
}

async function openPeers(
  size: StepSize,
  which: readonly string[],
  notes: Record<string, string>,
): Promise<Map<string, Peer>> {
  const found = new Map<string, Peer>();
  const open = async (name: string, command: string | undefined, script: string, more: object = {}): Promise<void> => {
    const options = JSON.stringify({ ...size, threads: THREADS, ...more });
    if (!which.includes(name)) return;
    const peer =
      command === undefined
        ? 'python3 with torch is not installed'
        : await startPeer(command, [join(PEERS, script), options], peerEnvironment());
    if (typeof peer === 'string') {
      notes[name] = `could not run: ${peer}`;
      say(`${name}: ${notes[name]}`);
      return;
    }
    notes[name] = [peer.ready.version, peer.ready.note].filter((part) => part !== undefined).join('; ');
    await peer.ask({ steps: 2 });
    found.set(name, peer);
  };
  // As a person's script finds it, and with allocator and threads set by hand for this very step.
  await open('torch', python(), 'torch_gpt.py', { tuning: 'plain' });
  await open('torch_tuned', python(), 'torch_gpt.py', { tuning: 'tuned' });
  await open('jaxjs', process.execPath, 'jax-gpt.mjs');
  return found;
}

async function benchStep(name: keyof typeof SIZES, which: readonly string[], steps: number): Promise<Report> {
  const size = SIZES[name];
  const notes: Record<string, string> = {};
  const peers = await openPeers(size, which, notes);
  say(`${name}: warming up`);
  const ours = await withRow(name, (row) => ourStep(row, { threads: THREADS, steps }));
  if (ours === undefined) throw new Error(`no row ${name}`);
  const alone = await productsAlone(size, THREADS);
  let result: Comparison;
  try {
    const contenders = [...peers].map(([peer, process]) =>
      peerContender(peer, process, { steps: peer === 'jaxjs' ? Math.max(2, Math.round(steps / 4)) : steps }),
    );
    result = await compare(ours, [alone, ...contenders], say);
  } finally {
    for (const peer of peers.values()) peer.close();
    await alone.close();
    await ours.close();
  }
  const gflops = stepFlops(size) / (result.milliseconds.tessera ?? Number.NaN) / 1e6;
  const limit = stepFlops(size) / (result.milliseconds.products ?? Number.NaN) / 1e6;
  const ratios = Object.fromEntries(which.map((peer) => [peer, result.ratios[peer] ?? null]));
  return {
    ratios,
    gflops,
    ceiling_gflops: limit,
    share: result.ratios.products ?? Number.NaN,
    spread: { ...result.spread },
    milliseconds: { ...result.milliseconds },
    notes,
    missed: [],
  };
}

const NEW_TOKENS = 96;

type DecodeReport = Pick<Report, 'ratios' | 'spread' | 'milliseconds' | 'notes'>;

/** Greedy decoding of the small model beside transformers.js, each from its own saved folder, token by token. */
async function benchDecode(): Promise<DecodeReport> {
  const report: DecodeReport = { ratios: {}, spread: {}, milliseconds: {}, notes: {} };
  const folder = await mkdtemp(join(tmpdir(), 'tessera-bench-'));
  const tokenizer = byteTokenizer();
  const { layers, width, heads, length } = SIZES.small;
  const model = gpt({ tokenizer, style: 'gpt2', layers, width, heads, context: length });
  const parameters = initGpt(model.architecture, random(1));
  const runtime = await createRuntime({ device: 'cpu', threads: THREADS });
  const runner = await openGptRunner(runtime, model.architecture, parameters, tokenizer);
  try {
    const path = join(folder, 'model');
    await saveGpt(path, { architecture: model.architecture, parameters, tokenizer });
    const peer = await startPeer(process.execPath, [join(PEERS, 'transformersjs-decode.mjs'), path]);
    if (typeof peer === 'string') {
      report.ratios.transformersjs_decode = null;
      report.notes.transformersjs_decode = `could not run: ${peer}`;
      return report;
    }
    const text = 'The state of the Union';
    const prompt = [...tokenizer.encode(text)];
    const bytes = new TextEncoder().encode(text);
    let mine: readonly number[] = [];
    const decode = async (): Promise<readonly number[]> => {
      const start = performance.now();
      const made: number[] = [];
      for await (const piece of runner.generate([bytes], { temperature: 0, maxTokens: NEW_TOKENS }))
        made.push(...piece.bytes);
      mine = made;
      return [(performance.now() - start) / NEW_TOKENS];
    };
    const several = async (): Promise<readonly number[]> => {
      const times: number[] = [];
      for (let round = 0; round < 5; round++) times.push(...(await decode()));
      return times;
    };
    const question = { rounds: 5, tokens: NEW_TOKENS, prompt };
    const theirs = await peer.ask(question);
    await decode();
    const told = theirs.tokens ?? [];
    report.notes.decode_agrees = String(
      tokenizer.decodeBytes(told.slice(-NEW_TOKENS)).every((byte, index) => byte === mine[index]),
    );
    const result = await compare(
      { name: 'tessera_decode', round: several },
      [
        {
          name: 'transformersjs_decode',
          round: async () => (await peer.ask(question)).milliseconds.map((time) => time / NEW_TOKENS),
        },
      ],
      say,
    );
    peer.close();
    report.ratios.transformersjs_decode = result.ratios.transformersjs_decode ?? null;
    report.spread.transformersjs_decode = result.spread.transformersjs_decode ?? Number.NaN;
    Object.assign(report.milliseconds, result.milliseconds);
    return report;
  } finally {
    await runner.dispose();
    await runtime.dispose();
    await rm(folder, { recursive: true, force: true });
  }
}

function missed(report: Pick<Report, 'ratios' | 'share'>, needed: Readonly<Record<string, number>>): string[] {
  return Object.entries(needed).flatMap(([name, least]) => {
    const got = name === 'share' ? report.share : report.ratios[name];
    return got === null || got === undefined || got >= least
      ? []
      : [`${name}: ${got.toFixed(2)} where ${least} is needed`];
  });
}

/** Steps of other models, each beside PyTorch and its own products. */
const OTHERS: Readonly<Record<string, () => Promise<StepReport>>> = {
  conv: () => compareStep(convStep, { threads: THREADS, steps: 10, say }),
  cross: () => compareStep(crossStep, { threads: THREADS, steps: 10, say }),
  lstm: () => compareStep(recurrenceStep('lstm'), { threads: THREADS, steps: 5, say }),
  mingru: () => compareStep(recurrenceStep('mingru'), { threads: THREADS, steps: 10, say }),
};

/** Runs the comparisons named, or all; `ok` when every mark is reached and no figure is noisy. */
export default async function run(args: readonly string[]): Promise<{ readonly ok: boolean; readonly report: object }> {
  const names = ['small', 'large', ...Object.keys(OTHERS)];
  const chosen = names.filter((name) => args.includes(`--${name}`));
  const only = chosen.length === 0 ? names : chosen;
  let small: Report | undefined;
  let large: Report | undefined;
  if (only.includes('small')) {
    // Decoding first, in a process that has done nothing else, as the peer's.
    const decode = await benchDecode();
    const step = await benchStep('small', ['torch', 'torch_tuned', 'jaxjs'], 10);
    small = {
      ...step,
      ratios: { ...step.ratios, ...decode.ratios },
      spread: { ...step.spread, ...decode.spread },
      milliseconds: { ...step.milliseconds, ...decode.milliseconds },
      notes: { ...step.notes, ...decode.notes },
    };
    small = { ...small, missed: missed(small, NEEDED.small) };
  }
  if (only.includes('large')) {
    large = await benchStep('large', ['torch', 'torch_tuned'], 4);
    large = { ...large, missed: missed(large, NEEDED.large) };
  }
  const others: Record<string, StepReport & { readonly missed: readonly string[] }> = {};
  for (const [name, measure] of Object.entries(OTHERS)) {
    if (!only.includes(name)) continue;
    const report = await measure();
    others[name] = { ...report, missed: missed(report, name in NEEDED ? NEEDED[name as keyof typeof NEEDED] : {}) };
  }
  const reports = [small, large, ...Object.values(others)].filter((report) => report !== undefined);
  const noisy = reports.flatMap(({ spread }) =>
    Object.entries(spread)
      .filter(([, value]) => value > 0.15)
      .map(([name]) => name),
  );
  const ok = reports.every((report) => report.missed.length === 0) && noisy.length === 0;
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', threads: THREADS, node: process.version };
  return { ok, report: { ...small, large, ...others, noisy, machine } };
}
