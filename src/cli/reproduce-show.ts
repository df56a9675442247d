/** A result of a reproduction on the screen. */

import { isJsonObject, type Json, type JsonObject } from '../formats/index.js';
import type { ReproductionResult } from '../systems/index.js';
import { count, duration, table } from './output.js';

const LABEL = 10;

/** A label with its text beside it, further lines below. */
export function block(label: string, text: string): string {
  const [first = '', ...rest] = text.trimEnd().split('\n');
  const space = ' '.repeat(LABEL);
  return [`${label.padEnd(LABEL)}${first}`, ...rest.map((line) => (line === '' ? '' : `${space}${line}`))].join('\n');
}

/** Claim, baseline, figures, criteria and verdict. */
export function resultLines(result: ReproductionResult): string[] {
  const { claim, baseline, figures, criteria, remarks, verdict, seconds, keptSeconds, seed, machine, command } = result;
  const rows = criteria.map(({ says, measured, needs, holds, direction }) => [
    says,
    figureText(measured),
    needs,
    holds ? 'holds' : direction ? 'fails; the direction holds' : 'fails',
  ]);
  const kept = keptSeconds > 0 ? `, of it ${duration(keptSeconds)} in kept parts` : '';
  const shown = flatten(figures).map(([path, value]) => [path, figureText(value)]);
  return [
    block('claim', claim),
    block('baseline', baseline),
    ...(shown.length === 0 ? [] : ['', table(['figure', 'measured'], shown)]),
    '',
    table(['criterion', 'measured', 'needs', 'outcome'], rows),
    '',
    ...remarks.map((remark) => block('remark', remark)),
    block('verdict', verdict),
    block('run', `${command}\n${duration(seconds)}${kept}; seed ${seed}; ${machine}`),
  ];
}

/** The leaves of figures, each with its path; a list of numbers is one leaf. */
export function flatten(figures: JsonObject, start = ''): (readonly [path: string, value: Json])[] {
  return Object.entries(figures).flatMap(([key, value]) =>
    isJsonObject(value) ? flatten(value, `${start}${key}.`) : [[`${start}${key}`, value] as const],
  );
}

/** A figure for a person: four digits, or as many as a whole number has. */
export function figureText(value: Json): string {
  if (value === null) return 'not finite';
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) return Math.abs(value) < 10_000 ? String(value) : count(value);
    return Math.abs(value) >= 10_000 ? count(value) : String(Number(value.toPrecision(4)));
  }
  if (Array.isArray(value)) return value.map(figureText).join(' ');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
