/** `tessera inspect` of tables, sounds and pictures: what their headers say, and a table's first rows. */

import { basename } from 'node:path';
import { stat } from '#host';
import {
  describeImage,
  type Json,
  openParquet,
  openWav,
  type ParquetRow,
  type ParquetValue,
} from '../formats/index.js';
import { type Part, shorten } from './inspect-part.js';
import { count, duration, size, table } from './output.js';

/** Names of pictures, as sharp reads them. */
const PICTURE = /\.(png|jpe?g|webp|gif|avif|tiff?|svg)$/i;

/** What is in a table, sound or picture; undefined for other names. @throws not-found, bad-file, unsupported. */
export async function mediaPart(path: string): Promise<Part | undefined> {
  if (/\.parquet$/i.test(path)) return parquetPart(path);
  if (/\.(wav|wave)$/i.test(path)) return wavPart(path);
  return PICTURE.test(path) ? picturePart(path) : undefined;
}

const SHOWN_ROWS = 3;

async function parquetPart(path: string): Promise<Part> {
  const file = await openParquet(path);
  try {
    const { rows, columns, groups, codecs, createdBy, metadata } = file;
    const first: ParquetRow[] = [];
    const shown = Math.min(SHOWN_ROWS, rows);
    for await (const row of file.read({ end: shown })) first.push(row);
    const bytes = groups.reduce((sum, group) => sum + group.bytes, 0);
    const examples = columns.map(({ name }) => first.map((row) => shorten(textOf(row[name] ?? null), 24)).join(' | '));
    const described = columns.map(({ name, type, nullable }, i) => [
      name,
      type,
      nullable ? 'or null' : '',
      examples[i] ?? '',
    ]);
    const packed = codecs.length > 0 ? `, ${codecs.join(' and ').toLowerCase()}` : '';
    const facts = `${count(rows)} rows in ${count(groups.length)} groups, ${size(bytes)} unpacked${packed}`;
    return {
      name: basename(path),
      value: {
        rows,
        columns: columns.map((column) => ({ ...column })),
        groups: groups.map((group) => ({ ...group })),
        codecs: [...codecs],
        createdBy,
        metadata: { ...metadata },
        first: first.map(jsonRow),
      },
      lines: `${table(['column', 'type', '', 'first rows'], described)}\n${facts}`,
    };
  } finally {
    await file.close();
  }
}

function textOf(value: ParquetValue): string {
  return typeof value === 'string' ? value.replace(/\s+/g, ' ') : JSON.stringify(jsonOf(value));
}

function jsonRow(row: ParquetRow): Json {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, jsonOf(value)]));
}

/** A value as JSON: integers of 64 bits as text where a number would round them, bytes as their count. */
function jsonOf(value: ParquetValue): Json {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (isList(value)) return value.map(jsonOf);
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, jsonOf(inner)]));
}

function isList(value: ParquetValue): value is readonly ParquetValue[] {
  return Array.isArray(value);
}

async function wavPart(path: string): Promise<Part> {
  const wav = await openWav(path);
  try {
    const { encoding, validBits, channels, sampleRate, frames, seconds, channelMask, tags } = wav;
    const rows = [
      ['encoding', encoding],
      ['channels', String(channels)],
      ['sample rate', `${count(sampleRate)} Hz`],
      ['samples a channel', count(frames)],
      ['length', seconds < 60 ? `${seconds.toFixed(3)} s` : duration(seconds)],
      ...Object.entries(tags).map(([name, text]) => [name, shorten(text)]),
    ];
    return {
      name: basename(path),
      value: { encoding, validBits, channels, sampleRate, frames, seconds, channelMask, tags: { ...tags } },
      lines: table(['sound', ''], rows),
    };
  } finally {
    await wav.close();
  }
}

async function picturePart(path: string): Promise<Part> {
  const info = await describeImage(path);
  const bytes = (await stat(path))?.size ?? 0;
  const rows = [
    ['format', info.format],
    ['size', `${info.width} x ${info.height}`],
    ['channels', String(info.channels)],
    ['bits a channel', String(info.bits)],
    ...(info.frames > 1 ? [['frames', count(info.frames)]] : []),
    ...(info.orientation === 1 ? [] : [['EXIF orientation', String(info.orientation)]]),
    ['file', size(bytes)],
  ];
  return { name: basename(path), value: { ...info, bytes }, lines: table(['picture', ''], rows) };
}
