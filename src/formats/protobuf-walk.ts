/**
 * Protocol buffers (the wire format of version 3) walked in a file: fields are told with the place of their content, and
 * content is read only when asked for. A message of many gigabytes, such as a model with its weights, costs a window of
 * 64 KiB. Groups, which version 3 has not, are refused.
 */

import type { RandomAccess } from '#host';
import { TesseraError } from '../host/error.js';

/** A field: its number and wire type, and where its content is. */
export interface ProtobufField {
  readonly number: number;
  readonly wire: 'varint' | 'fixed64' | 'bytes' | 'fixed32';
  /** First byte of the content (of a varint, the varint itself), and the byte after its last. */
  readonly start: number;
  readonly end: number;
  /** Of a varint its value as a signed 64-bit integer, as near as a number comes; 0 for others. */
  readonly value: number;
}

const WINDOW_BYTES = 2 ** 16;
const WIRES = ['varint', 'fixed64', 'bytes', undefined, undefined, 'fixed32'] as const;
const MOST_TEXT_BYTES = 2 ** 24;

/** A file of protocol buffers; `what` names its format in errors. */
export class ProtobufFile {
  private window: Uint8Array = new Uint8Array(0);
  private windowStart = 0;

  constructor(
    private readonly access: RandomAccess,
    private readonly file: string,
    private readonly what: string,
  ) {}

  /** The fields of the message at bytes `start` to `end`. @throws bad-file. */
  async *fields(start = 0, end = this.access.size): AsyncGenerator<ProtobufField> {
    for (let at = start; at < end; ) {
      const tag = await this.varint(at, end);
      const number = Math.floor(tag.value / 8);
      const wire = WIRES[tag.value & 7];
      if (wire === undefined || number < 1 || number > 2 ** 29) throw this.damaged(`byte ${at} begins no field`);
      const field = await this.content(number, wire, tag.end, end);
      if (field.end > end) throw this.damaged(`the field at byte ${at} goes on to byte ${field.end}, beyond ${end}`);
      yield field;
      at = field.end;
    }
  }

  /** A field's bytes. */
  read({ start, end }: ProtobufField): Promise<Uint8Array> {
    return this.bytes(start, end);
  }

  /** A field's text; what is not UTF-8 becomes U+FFFD. @throws bad-file for one of more than 16 MiB. */
  async text({ start, end }: ProtobufField): Promise<string> {
    if (end - start > MOST_TEXT_BYTES) throw this.damaged(`the text at byte ${start} has ${end - start} bytes`);
    return new TextDecoder().decode(await this.bytes(start, end));
  }

  /** The numbers of a repeated field of varints that are packed, or the one of a field that is not. */
  async varints(field: ProtobufField): Promise<readonly number[]> {
    if (field.wire === 'varint') return [field.value];
    const values: number[] = [];
    for (let at = field.start; at < field.end; ) {
      const { value, end } = await this.varint(at, field.end);
      values.push(value);
      at = end;
    }
    return values;
  }

  /** The error for a file that is none of the format. */
  damaged(reason: string, hint = 'It is damaged or of another format.'): TesseraError {
    return new TesseraError('bad-file', `${this.file} cannot be read as ${this.what}: ${reason}.`, { hint });
  }

  private async content(
    number: number,
    wire: ProtobufField['wire'],
    start: number,
    limit: number,
  ): Promise<ProtobufField> {
    if (wire === 'fixed32' || wire === 'fixed64') {
      return { number, wire, start, end: start + (wire === 'fixed32' ? 4 : 8), value: 0 };
    }
    const { value, end } = await this.varint(start, limit);
    if (wire === 'varint') return { number, wire, start, end, value };
    if (value < 0) throw this.damaged(`the field at byte ${start} has no length`);
    return { number, wire, start: end, end: end + value, value: 0 };
  }

  private async varint(start: number, limit: number): Promise<{ readonly value: number; readonly end: number }> {
    if (start < this.windowStart || start + 10 > this.windowStart + this.window.length) await this.moveTo(start);
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const byte = start + i < limit ? this.window[start + i - this.windowStart] : undefined;
      if (byte === undefined) throw this.damaged(`it ends within the number at byte ${start}`, 'It was cut short.');
      if (i === 9) return { value: this.wide(start), end: start + 10 };
      value += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte < 0x80) return { value, end: start + i + 1 };
    }
    throw this.damaged(`the number at byte ${start} does not end`);
  }

  /** A varint of ten bytes: the negative ones, and those from 2^63. */
  private wide(start: number): number {
    let value = 0n;
    for (let i = 9; i >= 0; i--) {
      value = (value << 7n) | BigInt((this.window[start + i - this.windowStart] ?? 0) & 0x7f);
    }
    return Number(BigInt.asIntN(64, value));
  }

  private async moveTo(start: number): Promise<void> {
    this.window = await this.access.read(start, Math.min(WINDOW_BYTES, this.access.size - start));
    this.windowStart = start;
  }

  private async bytes(start: number, end: number): Promise<Uint8Array> {
    const from = start - this.windowStart;
    const inside = from >= 0 && end <= this.windowStart + this.window.length;
    return inside ? this.window.slice(from, end - this.windowStart) : this.access.read(start, end - start);
  }
}
