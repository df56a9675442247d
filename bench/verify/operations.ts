/**
 * Every exported operation of the tensors keeps to its slow reference in values, and to directional derivatives of it in
 * gradients: what test/tensor/operations.test.ts measured, as a table. Arguments are names of operations, to see these only.
 */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import Table from 'cli-table3';
import { cleanEnvironment, execute, root } from '../_commands.js';

/** What the test notes of a row in one precision. */
interface Report {
  readonly operation: string;
  readonly dtype: string;
  readonly cases: number;
  readonly derivatives: number;
  readonly valueError: number | null;
  readonly gradientError: number | null;
  readonly holds: boolean;
}

interface Assertion {
  readonly fullName: string;
  readonly status: string;
  readonly failureMessages: readonly string[];
  readonly meta: { readonly operation?: Report };
}

/** Runs the test and gathers its reports. */
export default async function run(names: readonly string[]): Promise<{ ok: boolean; figures: object; text: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'tessera-operations-'));
  try {
    const file = join(folder, 'report.json');
    const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs');
    const chosen = names.length === 0 ? [] : ['-t', names.map((name) => `^${name} `).join('|')];
    const test = ['run', 'test/tensor/operations.test.ts', ...chosen, '--reporter=json', `--outputFile=${file}`];
    const ran = await execute(process.execPath, [vitest, ...test], { cwd: root, env: cleanEnvironment() });
    return summary(ran.ok, assertionsOf(file));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function assertionsOf(file: string): readonly Assertion[] {
  const written: { testResults: readonly { assertionResults: readonly Assertion[] }[] } = JSON.parse(
    readFileSync(file, 'utf8'),
  );
  return written.testResults.flatMap(({ assertionResults }) => assertionResults);
}

function summary(passed: boolean, assertions: readonly Assertion[]) {
  const reports = assertions.flatMap(({ meta }) => meta.operation ?? []);
  const failed = assertions
    .filter(({ status }) => status === 'failed')
    .map(({ fullName, failureMessages }) => `${fullName}: ${failureMessages.join(' ').split('\n')[0]}`);
  const ok = passed && reports.length > 0 && reports.every(({ holds }) => holds) && failed.length === 0;
  const operations = new Set(reports.map(({ operation }) => operation)).size;
  const total = (key: 'cases' | 'derivatives') => reports.reduce((sum, report) => sum + report[key], 0);
  const counts = { operations, cases: total('cases'), derivatives: total('derivatives') };
  const figures = { ...counts, worst: [worst(reports, 'float32'), worst(reports, 'float64')], failed, reports };
  const line = `${operations} operations, ${counts.cases} cases, ${counts.derivatives} derivatives\n`;
  return { ok, figures, text: `${tableOf(reports)}\n${failed.map((text) => `${text}\n`).join('')}${line}` };
}

/** The largest errors in one precision; null where one is not a number. */
function worst(reports: readonly Report[], dtype: string): object {
  const own = reports.filter((report) => report.dtype === dtype);
  const largest = (key: 'valueError' | 'gradientError') =>
    own.some((report) => report[key] === null) ? null : own.reduce((top, report) => Math.max(top, report[key] ?? 0), 0);
  return { dtype, valueError: largest('valueError'), gradientError: largest('gradientError') };
}

function tableOf(reports: readonly Report[]): string {
  const head = ['operation', 'dtype', 'cases', 'derivatives', 'value error', 'gradient error', 'holds'];
  const table = new Table({ head, style: { head: [], border: [], compact: true } });
  const error = (value: number | null, measured: boolean) =>
    measured ? (value === null ? 'NaN' : value.toExponential(1)) : '';
  const byName = (a: Report, b: Report) => a.operation.localeCompare(b.operation) || a.dtype.localeCompare(b.dtype);
  for (const report of [...reports].sort(byName)) {
    const { operation, dtype, cases, derivatives, valueError, gradientError, holds } = report;
    const errors = [error(valueError, true), error(gradientError, derivatives > 0)];
    table.push([operation, dtype, cases, derivatives, ...errors, holds ? 'yes' : 'no']);
  }
  return table.toString();
}
