/**
 * Where a command writes. Results go to stdout, everything else to stderr: a bar with the time left on a terminal, plain
 * lines now and then otherwise.
 */

import cliProgress from 'cli-progress';
import Table from 'cli-table3';
import type { Json } from '../formats/index.js';

/** What a job is at. */
export interface Progress {
  /** Done so far, of the total; `facts` are shown as they are, `secondsLeft` is estimated when absent. */
  update(done: number, facts?: string, secondsLeft?: number): void;
  /** Takes the bar away. */
  end(): void;
}

/** A command's way to write. */
export interface Output {
  readonly json: boolean;
  /** A line on stderr. */
  note(line: string): void;
  /** Text or bytes on stdout, as they are. */
  write(text: string | Uint8Array): void;
  /** The result: the value as a line of JSON with `--json`, otherwise the lines. */
  result(value: Json, lines: () => string): void;
  progress(label: string, total: number): Progress;
}

/** Seconds between plain lines. */
const LINE_EVERY = 5;

/** Opens a command's output. */
export function openOutput(options: { readonly json?: boolean } = {}): Output {
  const { json = false } = options;
  let shown: cliProgress.SingleBar | undefined;
  const note = (line: string): void => {
    // A bar is drawn again below the line by its next update.
    if (shown !== undefined) process.stderr.write('\r\u001b[K');
    process.stderr.write(`${line}\n`);
  };
  return {
    json,
    note,
    write: (text) => void process.stdout.write(text),
    result: (value, lines) => void process.stdout.write(`${json ? JSON.stringify(value) : lines().trimEnd()}\n`),
    progress: (label, total) => {
      if (process.stderr.isTTY !== true) return plainProgress(label, total, note);
      const bar = new cliProgress.SingleBar({
        stream: process.stderr,
        format: `${label} {bar} {percentage}%  {facts}{left}`,
        barsize: 20,
        barCompleteChar: '\u2588',
        barIncompleteChar: '\u2591',
        hideCursor: true,
        clearOnComplete: true,
        gracefulExit: false,
        fps: 10,
        linewrap: false,
      });
      const left = timeLeft(total);
      bar.start(total, 0, { facts: '', left: '' });
      shown = bar;
      return {
        update: (done, facts = '', seconds) => {
          const text = left(done, seconds);
          bar.update(done, { facts, left: text === '' ? '' : `${facts === '' ? '' : '  '}${text}` });
        },
        end: () => {
          bar.stop();
          shown = undefined;
        },
      };
    },
  };
}

function plainProgress(label: string, total: number, note: (line: string) => void): Progress {
  const left = timeLeft(total);
  let next = 0;
  return {
    update: (done, facts = '', seconds) => {
      const now = performance.now() / 1000;
      // The first line comes at once, so that a log shows that it runs.
      if (now < next) return;
      next = now + LINE_EVERY;
      const parts = [`${label} ${count(done)} of ${count(total)}`, facts, left(done, seconds)];
      note(parts.filter((part) => part !== '').join(', '));
    },
    end: () => undefined,
  };
}

function timeLeft(total: number): (done: number, seconds?: number) => string {
  const started = performance.now();
  return (done, seconds) => {
    const elapsed = (performance.now() - started) / 1000;
    const left = seconds ?? (done > 0 && elapsed > 1 ? (elapsed / done) * (total - done) : undefined);
    return left === undefined || !Number.isFinite(left) ? '' : `${duration(left)} left`;
  };
}

/** Seconds as `1:05` or `2:03:09`; below a minute as `0:07`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value: number): string => String(value).padStart(2, '0');
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** A count with commas between thousands, whole. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** A number of bytes in the largest unit that leaves a digit before the point. */
export function size(bytes: number): string {
  return bytes < 1000 ? `${bytes} bytes` : inUnits(bytes, ['kB', 'MB', 'GB', 'TB']);
}

/** A number of floating-point operations in the largest unit that leaves a digit before the point. */
export function operations(flops: number): string {
  return flops < 1000 ? `${flops} FLOP` : inUnits(flops, ['kFLOP', 'MFLOP', 'GFLOP', 'TFLOP', 'PFLOP', 'EFLOP']);
}

function inUnits(number: number, units: readonly string[]): string {
  let [value, unit] = [number / 1000, 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

/** A table without lines, the first row its head. Columns of numbers are aligned to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const isNumber = (text: string | number): boolean => typeof text === 'number' || /^[-\d.,]+( [kMGT]?B)?$/.test(text);
  const colAligns = head.map((_, column) =>
    rows.length > 0 && rows.every((row) => isNumber(row[column] ?? '')) ? ('right' as const) : ('left' as const),
  );
  const drawn = new Table({
    head: [...head],
    colAligns,
    chars: Object.fromEntries(
      [
        'top',
        'top-mid',
        'top-left',
        'top-right',
        'bottom',
        'bottom-mid',
        'bottom-left',
        'bottom-right',
        'left',
        'left-mid',
        'mid',
        'mid-mid',
        'right',
        'right-mid',
        'middle',
      ].map((name) => [name, name === 'middle' ? '  ' : '']),
    ),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
  });
  for (const row of rows) drawn.push([...row]);
  return drawn
    .toString()
    .split('\n')
    .map((line) => line.replace(/\s+$/, ''))
    .join('\n');
}
