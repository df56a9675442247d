/**
 * Every exported operation of the tensors keeps to its slow reference in values, and to directional derivatives of it in
 * gradients: what test/tensor/operations.test.ts measured, as a table.
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
export default async function run(): Promise<{ ok: boolean; figures: object; text: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'tessera-operations-'));
  try {
    const file = join(folder, 'report.json');
    const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs');
    const test = ['run', 'test/tensor/operations.test.ts', '--reporter=json', `--outputFile=${file}`];
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
  const figures = {
    ...counts,
    worst: [worst(reports, 'float32'), worst(reports, 'float64')],
    failed,
    rows: rowsOf(reports),
  };
  const line = `${operations} operations, ${counts.cases} cases, ${counts.derivatives} derivatives\n`;
  return { ok, figures, text: `${tableOf(reports)}\n${failed.map((text) => `${text}\n`).join('')}${line}` };
}

/** A line for each row of the table, so that what changed shows in a comparison of two files. */
function rowsOf(reports: readonly Report[]): Record<string, string> {
  return Object.fromEntries(
    reports.map(({ operation, dtype, cases, derivatives, valueError, gradientError, holds }) => [
      `${operation} ${dtype}`,
      `${cases} cases, ${derivatives} derivatives, value ${scientific(valueError)}, gradient ${scientific(gradientError)}, ${holds ? 'holds' : 'does not hold'}`,
    ]),
  );
}

function scientific(error: number | null): string {
  return error === null ? 'NaN' : error.toExponential(1);
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
  const byName = (a: Report, b: Report) => a.operation.localeCompare(b.operation) || a.dtype.localeCompare(b.dtype);
  for (const report of [...reports].sort(byName)) {
    const { operation, dtype, cases, derivatives, valueError, gradientError, holds } = report;
    const errors = [scientific(valueError), derivatives > 0 ? scientific(gradientError) : ''];
    table.push([operation, dtype, cases, derivatives, ...errors, holds ? 'yes' : 'no']);
  }
  return table.toString();
}
