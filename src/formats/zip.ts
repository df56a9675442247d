/**
 * Zip archives read at any place (PKWARE APPNOTE 6.3): the central directory, stored and deflated entries, and
 * the 64-bit fields of archives above 4 GiB. Only the directory is read at first; a stored entry is read in
 * the parts that are asked for. Checksums are not compared: a part of an entry has none, and writers may leave
 * them out.
 */

import type { RandomAccess } from '#host';
import { TesseraError } from '../host/error.js';

/** An entry of an archive. */
export interface ZipEntry {
  readonly name: string;
  /** Bytes as stored, and when unpacked. */
  readonly packed: number;
  readonly size: number;
  readonly deflated: boolean;
  /** Where its local header begins. */
  readonly offset: number;
}

/** The first bytes of a local header, with which an archive begins. */
export const ZIP_MAGIC = 0x04034b50;
const DIRECTORY_MAGIC = 0x02014b50;
const END_MAGIC = 0x06054b50;
const END64_MAGIC = 0x06064b50;
const LOCATOR64_MAGIC = 0x07064b50;
const LOCAL_BYTES = 30;
const DIRECTORY_BYTES = 46;
const END_BYTES = 22;
const END64_BYTES = 56;
const LOCATOR64_BYTES = 20;

/** Deflate's best: 258 bytes for two bits, so that no honest entry grows by more. */
const MOST_DEFLATED = 1032;

const CUT_SHORT = 'It was probably cut short: fetch it again.';

/** The entries of an archive by name. @throws bad-file for an archive that is cut short or contradicts itself. */
export async function readZipDirectory(source: RandomAccess, file: string): Promise<ReadonlyMap<string, ZipEntry>> {
  const { offset, bytes, count } = await findDirectory(source, file);
  if (offset + bytes > source.size) throw bad(file, 'its directory lies beyond its end', CUT_SHORT);
  const directory = await source.read(offset, bytes);
  const view = viewOf(directory);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + DIRECTORY_BYTES > bytes || view.getUint32(at, true) !== DIRECTORY_MAGIC) {
      throw bad(file, `its directory should have ${count} entries and ends after ${i}`);
    }
    const nameBytes = view.getUint16(at + 28, true);
    const extraBytes = view.getUint16(at + 30, true);
    const next = at + DIRECTORY_BYTES + nameBytes + extraBytes + view.getUint16(at + 32, true);
    if (next > bytes) throw bad(file, `entry ${i + 1} of its directory is cut short`);
    const name = new TextDecoder().decode(directory.subarray(at + DIRECTORY_BYTES, at + DIRECTORY_BYTES + nameBytes));
    const extra = at + DIRECTORY_BYTES + nameBytes;
    if (entries.has(name)) throw bad(file, `it holds '${name}' twice`);
    entries.set(name, parseEntry(view, at, extra, extraBytes, name, source.size, file));
    at = next;
  }
  return entries;
}

/** Bytes `begin` to `end` (not included) of an entry, unpacked. @throws bad-file, naming the entry. */
export async function readZipEntry(
  source: RandomAccess,
  entry: ZipEntry,
  file: string,
  begin = 0,
  end = entry.size,
): Promise<Uint8Array> {
  const header = viewOf(await source.read(entry.offset, LOCAL_BYTES));
  if (header.getUint32(0, true) !== ZIP_MAGIC) throw bad(file, `its directory puts '${entry.name}' where it is not`);
  const data = entry.offset + LOCAL_BYTES + header.getUint16(26, true) + header.getUint16(28, true);
  if (data + entry.packed > source.size) throw bad(file, `'${entry.name}' lies beyond its end`, CUT_SHORT);
  if (!entry.deflated) return source.read(data + begin, end - begin);
  const bytes = await inflate(await source.read(data, entry.packed), entry, file);
  return bytes.slice(begin, end);
}

interface Directory {
  readonly offset: number;
  readonly bytes: number;
  readonly count: number;
}

async function findDirectory(source: RandomAccess, file: string): Promise<Directory> {
  const tailBytes = Math.min(source.size, END_BYTES + 0xffff);
  const tailStart = source.size - tailBytes;
  const view = viewOf(await source.read(tailStart, tailBytes));
  let at = tailBytes - END_BYTES;
  while (
    at >= 0 &&
    !(view.getUint32(at, true) === END_MAGIC && view.getUint16(at + 20, true) === tailBytes - at - 22)
  ) {
    at--;
  }
  if (at < 0) throw bad(file, 'its directory, which should be at its end, is not there', CUT_SHORT);
  const directory = {
    count: view.getUint16(at + 10, true),
    bytes: view.getUint32(at + 12, true),
    offset: view.getUint32(at + 16, true),
  };
  const wide = directory.count === 0xffff || directory.bytes === 0xffffffff || directory.offset === 0xffffffff;
  if (!wide) return directory;
  if (at < LOCATOR64_BYTES || view.getUint32(at - LOCATOR64_BYTES, true) !== LOCATOR64_MAGIC) {
    throw bad(file, 'the place of its 64-bit directory is not there');
  }
  const place = readWide(view, at - LOCATOR64_BYTES + 8, file);
  if (place + END64_BYTES > source.size) throw bad(file, 'its 64-bit directory lies beyond its end', CUT_SHORT);
  const end = viewOf(await source.read(place, END64_BYTES));
  if (end.getUint32(0, true) !== END64_MAGIC) throw bad(file, 'its 64-bit directory is not where it should be');
  return { count: readWide(end, 32, file), bytes: readWide(end, 40, file), offset: readWide(end, 48, file) };
}

function parseEntry(
  view: DataView,
  at: number,
  extra: number,
  extraBytes: number,
  name: string,
  fileSize: number,
  file: string,
): ZipEntry {
  const flags = view.getUint16(at + 8, true);
  const method = view.getUint16(at + 10, true);
  if ((flags & 1) !== 0) throw bad(file, `'${name}' is encrypted`);
  if (method !== 0 && method !== 8) throw bad(file, `'${name}' is packed by method ${method}, which is not known`);
  // The three 64-bit fields are there only for those that are full here, in this order.
  const fields = { size: view.getUint32(at + 24, true), packed: view.getUint32(at + 20, true), offset: 0 };
  fields.offset = view.getUint32(at + 42, true);
  let wide = findWideFields(view, extra, extra + extraBytes);
  for (const key of ['size', 'packed', 'offset'] as const) {
    if (fields[key] !== 0xffffffff) continue;
    if (wide.length < 8) throw bad(file, `the 64-bit ${key} of '${name}' is not there`);
    fields[key] = readWide(view, wide.start, file);
    wide = { start: wide.start + 8, length: wide.length - 8 };
  }
  const { size, packed, offset } = fields;
  if (offset + LOCAL_BYTES + packed > fileSize) throw bad(file, `'${name}' lies beyond its end`, CUT_SHORT);
  if (method === 0 && packed !== size) throw bad(file, `'${name}' has ${packed} bytes and should have ${size}`);
  if (size > packed * MOST_DEFLATED) throw bad(file, `'${name}' cannot unpack from ${packed} bytes to ${size}`);
  return { name, packed, size, deflated: method === 8, offset };
}

/** The extra field of id 1, which has the 64-bit sizes. */
function findWideFields(view: DataView, begin: number, end: number): { start: number; length: number } {
  for (let at = begin; at + 4 <= end; ) {
    const length = view.getUint16(at + 2, true);
    if (view.getUint16(at, true) === 1 && at + 4 + length <= end) return { start: at + 4, length };
    at += 4 + length;
  }
  return { start: end, length: 0 };
}

async function inflate(packed: Uint8Array, entry: ZipEntry, file: string): Promise<Uint8Array> {
  const out = new Uint8Array(entry.size);
  let filled = 0;
  const unpacked = new Blob([Uint8Array.from(packed)]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  const reader = unpacked.getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      if (filled + part.value.length > out.length) {
        throw bad(file, `'${entry.name}' unpacks to more than the ${entry.size} bytes it should have`);
      }
      out.set(part.value, filled);
      filled += part.value.length;
    }
  } catch (cause) {
    await reader.cancel().catch(() => undefined);
    if (cause instanceof TesseraError) throw cause;
    throw bad(file, `'${entry.name}' does not unpack`, 'It is damaged: fetch it again.', cause);
  }
  if (filled < out.length) throw bad(file, `'${entry.name}' unpacks to ${filled} bytes and should have ${entry.size}`);
  return out;
}

function readWide(view: DataView, at: number, file: string): number {
  const value = Number(view.getBigUint64(at, true));
  if (!Number.isSafeInteger(value)) throw bad(file, `it would be ${value} bytes long`);
  return value;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function bad(file: string, what: string, hint?: string, cause?: unknown): TesseraError {
  return new TesseraError('bad-file', `${file} cannot be read as a zip archive: ${what}.`, { hint, cause });
}
