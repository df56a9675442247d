/** The bytes of a pickle, one operand after another; no length is believed before it is checked. */

import { TesseraError } from '../host/error.js';

/** Thrown when a pickle does not end within the bytes given. */
export class PickleCutShort extends TesseraError {}

/** The longest integer that is read, in bytes; PyTorch's magic number has ten. */
const LONGEST_INTEGER = 64;

/** Reads operands and moves on; each throws `PickleCutShort` when the bytes end before it. */
export interface PickleBytes {
  /** Where the next operand begins. */
  position(): number;
  /** The error for a damaged stream, which says where. */
  bad(what: string): TesseraError;
  uint8(): number;
  uint16(): number;
  uint32(): number;
  int32(): number;
  /** A length of eight bytes. */
  length64(): number;
  /** A double, big-endian as the format has it. */
  double(): number;
  /** A two's-complement integer of `length` bytes; a bigint where a number would lose digits. */
  integer(length: number): number | bigint;
  blob(length: number): Uint8Array;
  text(length: number): string;
  /** Text up to the next line feed. */
  line(): string;
}

/** A reader of `bytes` from `start`; `where` names the file in errors. */
export function pickleBytes(bytes: Uint8Array, where: string, start: number): PickleBytes {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = start;
  const bad = (what: string): TesseraError =>
    new TesseraError('bad-file', `${where} holds a damaged pickle: ${what} at byte ${at}.`);
  const take = (length: number): number => {
    if (length > bytes.length - at) {
      throw new PickleCutShort('bad-file', `${where} ends inside of its pickle, where ${length} bytes were to come.`, {
        hint: 'It was probably cut short: fetch it again.',
      });
    }
    at += length;
    return at - length;
  };
  const text = (length: number): string => {
    const from = take(length);
    return new TextDecoder().decode(bytes.subarray(from, from + length));
  };
  return {
    position: () => at,
    bad,
    uint8: () => view.getUint8(take(1)),
    uint16: () => view.getUint16(take(2), true),
    uint32: () => view.getUint32(take(4), true),
    int32: () => view.getInt32(take(4), true),
    length64: () => {
      const length = view.getBigUint64(take(8), true);
      if (length > BigInt(Number.MAX_SAFE_INTEGER)) throw bad(`a length of ${length}`);
      return Number(length);
    },
    double: () => view.getFloat64(take(8), false),
    integer: (length) => {
      if (length > LONGEST_INTEGER) throw bad(`an integer of ${length} bytes`);
      const from = take(length);
      let value = 0n;
      for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(view.getUint8(from + i));
      value = BigInt.asIntN(8 * length, value);
      const small = Number(value);
      return Number.isSafeInteger(small) ? small : value;
    },
    blob: (length) => {
      const from = take(length);
      return bytes.slice(from, from + length);
    },
    text,
    line: () => {
      const stop = bytes.indexOf(0x0a, at);
      const read = text((stop === -1 ? bytes.length : stop) - at);
      take(1);
      return read;
    },
  };
}
