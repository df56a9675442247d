/** Checkpoints as `torch.save` writes them, and as nobody should: pickles opcode by opcode, zip archives entry by entry. */

import { deflateRawSync } from 'node:zlib';

/** The bytes of a piece of a pickle. */
export type Pickled = readonly number[];

const ascii = (text: string): number[] => [...new TextEncoder().encode(text)];
const little = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 255n));

export const none: Pickled = [0x4e];
export const yes: Pickled = [0x88];
export const no: Pickled = [0x89];
export const text = (value: string): Pickled => [0x58, ...little(ascii(value).length, 4), ...ascii(value)];
export const integer = (value: number): Pickled =>
  value < 2 ** 31 ? [0x4a, ...little(value, 4)] : [0x8a, 9, ...little(value, 8), 0];
export const tuple = (...items: readonly Pickled[]): Pickled => [0x28, ...items.flat(), 0x74];
export const list = (...items: readonly Pickled[]): Pickled => [0x5d, 0x28, ...items.flat(), 0x65];
export const dictionary = (entries: Readonly<Record<string, Pickled>>): Pickled => [
  0x7d,
  0x28,
  ...Object.entries(entries).flatMap(([key, value]) => [...text(key), ...value]),
  0x75,
];
/** A global by its module and name: as protocol 2 writes it, or as protocol 4 does. */
export const named = (module: string, name: string, protocol: 2 | 4 = 2): Pickled =>
  protocol === 2 ? [0x63, ...ascii(`${module}\n${name}\n`)] : [...text(module), ...text(name), 0x93];
export const call = (callee: Pickled, ...items: readonly Pickled[]): Pickled => [...callee, ...tuple(...items), 0x52];
/** A whole pickle. */
export const pickle = (value: Pickled, protocol = 2): Uint8Array => Uint8Array.of(0x80, protocol, ...value, 0x2e);

/** A tensor as PyTorch describes it. */
export interface Described {
  readonly storage: string;
  readonly key: string;
  readonly elements: number;
  readonly offset?: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

export const tensor = (
  { storage, key, elements, offset = 0, shape, strides }: Described,
  layout: 'zip' | 'legacy' = 'zip',
): Pickled =>
  call(
    named('torch._utils', '_rebuild_tensor_v2'),
    [
      ...tuple(
        ...[text('storage'), named('torch', storage), text(key), text('cpu'), integer(elements)],
        ...(layout === 'legacy' ? [none] : []),
      ),
      0x51,
    ],
    integer(offset),
    tuple(...shape.map(integer)),
    tuple(...strides.map(integer)),
    no,
    call(named('collections', 'OrderedDict')),
  );

/** An entry of an archive; what is not given is told as it is. */
export interface Entry {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly deflate?: boolean;
  /** The size that the directory tells. */
  readonly size?: number;
  readonly flags?: number;
  readonly method?: number;
}

/** A zip archive; with `wide` every size and place is in the 64-bit fields. */
export function zip(entries: readonly Entry[], { wide = false, comment = '' } = {}): Uint8Array {
  const parts: number[][] = [];
  const directory: number[][] = [];
  const length = (list: readonly number[][]): number => list.reduce((sum, part) => sum + part.length, 0);
  for (const { name, bytes, deflate = false, size = bytes.length, flags = 0, method = deflate ? 8 : 0 } of entries) {
    const packed = deflate ? deflateRawSync(bytes) : bytes;
    const offset = length(parts);
    const full = (value: number): number[] => little(wide ? 0xffffffff : value, 4);
    const padding = [...ascii('FB'), ...little(5, 2), ...new Array<number>(5).fill(0)];
    const common = [...little(flags, 2), ...little(method, 2), ...little(0, 8), ...full(packed.length), ...full(size)];
    parts.push([
      ...[0x50, 0x4b, 3, 4, 45, 0, ...common, ...little(ascii(name).length, 2), ...little(padding.length, 2)],
      ...[...ascii(name), ...padding, ...packed],
    ]);
    const wider = [...little(size, 8), ...little(packed.length, 8), ...little(offset, 8)];
    const extra = wide ? [...padding, 1, 0, ...little(wider.length, 2), ...wider] : [];
    directory.push([
      ...[0x50, 0x4b, 1, 2, 45, 0, 45, 0, ...common, ...little(ascii(name).length, 2), ...little(extra.length, 2)],
      ...[...little(0, 10), ...full(offset), ...ascii(name), ...extra],
    ]);
  }
  const [place, bytes, count] = [length(parts), length(directory), entries.length];
  const end64 = [
    ...[0x50, 0x4b, 6, 6, ...little(44, 8), 45, 0, 45, 0, ...little(0, 8), ...little(count, 8), ...little(count, 8)],
    ...[...little(bytes, 8), ...little(place, 8), 0x50, 0x4b, 6, 7, ...little(0, 4)],
    ...[...little(place + bytes, 8), ...little(1, 4)],
  ];
  const end = [
    ...[0x50, 0x4b, 5, 6, ...little(0, 4), ...little(wide ? 0xffff : count, 2), ...little(wide ? 0xffff : count, 2)],
    ...[...little(wide ? 0xffffffff : bytes, 4), ...little(wide ? 0xffffffff : place, 4)],
    ...[...little(comment.length, 2), ...ascii(comment)],
  ];
  return Uint8Array.from([...parts.flat(), ...directory.flat(), ...(wide ? end64 : []), ...end]);
}

/** A checkpoint in the zip layout. */
export function checkpoint(
  value: Pickled | Uint8Array,
  storages: Readonly<Record<string, Uint8Array>> = {},
  options: { readonly deflate?: boolean; readonly wide?: boolean; readonly byteorder?: string } = {},
): Uint8Array {
  const { deflate, wide, byteorder = 'little' } = options;
  return zip(
    [
      { name: 'archive/data.pkl', bytes: value instanceof Uint8Array ? value : pickle(value), deflate },
      { name: 'archive/byteorder', bytes: Uint8Array.from(ascii(byteorder)) },
      ...Object.entries(storages).map(([key, bytes]) => ({ name: `archive/data/${key}`, bytes, deflate })),
      { name: 'archive/version', bytes: Uint8Array.from(ascii('3\n')) },
    ],
    { wide },
  );
}

/** A checkpoint in the layout before the zip one; `width` is what an element takes. */
export function legacy(
  value: Pickled,
  storages: Readonly<Record<string, { readonly bytes: Uint8Array; readonly width: number }>>,
  littleEndian = true,
): Uint8Array {
  const magic = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
  return Uint8Array.from([
    ...pickle(magic),
    ...pickle(integer(1001)),
    ...pickle(dictionary({ protocol_version: integer(1001), little_endian: littleEndian ? yes : no })),
    ...pickle(value),
    ...pickle(list(...Object.keys(storages).map(text))),
    ...Object.values(storages).flatMap(({ bytes, width }) => [...little(bytes.length / width, 8), ...bytes]),
  ]);
}
