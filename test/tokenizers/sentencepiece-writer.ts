/** Writes SentencePiece's `.model` files and charsmaps byte by byte. */

export interface WrittenPiece {
  readonly piece: string;
  readonly score?: number;
  /** 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
  readonly type?: number;
}

export interface WrittenModel {
  readonly pieces: readonly WrittenPiece[];
  readonly type?: 'unigram' | 'bpe';
  readonly byteFallback?: boolean;
  readonly whitespaceAsSuffix?: boolean;
  readonly unknownSurface?: string;
  readonly charsmap?: Uint8Array;
  readonly addDummyPrefix?: boolean;
  readonly removeExtraWhitespaces?: boolean;
  readonly escapeWhitespaces?: boolean;
}

const utf8 = new TextEncoder();
const varint = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)]);
const number = (field: number, value: number): number[] => [...varint(field * 8), ...varint(value)];
const bytes = (field: number, content: ArrayLike<number>): number[] => [
  ...varint(field * 8 + 2),
  ...varint(content.length),
  ...Array.from(content),
];
const float = (field: number, value: number): number[] => [
  ...varint(field * 8 + 5),
  ...new Uint8Array(Float32Array.of(value).buffer),
];

/** The three pieces that most models begin with. */
export const USUAL: readonly WrittenPiece[] = [
  { piece: '<unk>', type: 2 },
  { piece: '<s>', type: 3 },
  { piece: '</s>', type: 3 },
];

/** The 256 pieces of byte fallback. */
export const BYTES: readonly WrittenPiece[] = Array.from({ length: 256 }, (_, byte) => ({
  piece: `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  type: 6,
}));

export function writeModel(model: WrittenModel): Uint8Array {
  const flag = (field: number, value: boolean | undefined): number[] =>
    value === undefined ? [] : number(field, value ? 1 : 0);
  const trainer = [
    ...number(3, model.type === 'bpe' ? 2 : 1),
    ...flag(24, model.whitespaceAsSuffix),
    ...flag(35, model.byteFallback),
    ...(model.unknownSurface === undefined ? [] : bytes(44, utf8.encode(model.unknownSurface))),
  ];
  const normalizer = [
    ...bytes(1, utf8.encode('user')),
    ...(model.charsmap === undefined ? [] : bytes(2, model.charsmap)),
    ...flag(3, model.addDummyPrefix),
    ...flag(4, model.removeExtraWhitespaces),
    ...flag(5, model.escapeWhitespaces),
  ];
  return Uint8Array.from([
    ...model.pieces.flatMap(({ piece, score = 0, type = 1 }) =>
      bytes(1, [...bytes(1, utf8.encode(piece)), ...float(2, score), ...number(3, type)]),
    ),
    ...bytes(2, trainer),
    ...bytes(3, normalizer),
  ]);
}

/** A charsmap with these rules, in the layout of Darts-clone: each node has 256 units of its own for its children. */
export function writeCharsmap(rules: Readonly<Record<string, string>>): Uint8Array {
  interface Node {
    readonly children: Map<number, Node>;
    value: number;
  }
  const root: Node = { children: new Map(), value: -1 };
  const pool: number[] = [];
  for (const [from, to] of Object.entries(rules)) {
    let node = root;
    for (const byte of utf8.encode(from)) {
      const next = node.children.get(byte) ?? { children: new Map(), value: -1 };
      node.children.set(byte, next);
      node = next;
    }
    node.value = pool.length;
    pool.push(...utf8.encode(to), 0);
  }
  const units: number[] = [0];
  let blocks = 1;
  const fill = (node: Node, place: number, label: number): void => {
    const block = blocks++ * 256;
    units[place] = (label | ((place ^ block) << 10) | (node.value < 0 ? 0 : 256)) >>> 0;
    if (node.value >= 0) units[block] = (node.value | 0x80000000) >>> 0;
    for (const [byte, child] of node.children) fill(child, block ^ byte, byte);
  };
  fill(root, 0, 0);
  const trie = Uint32Array.from({ length: blocks * 256 }, (_, i) => units[i] ?? 0);
  return Uint8Array.from([
    ...new Uint8Array(Uint32Array.of(trie.byteLength).buffer),
    ...new Uint8Array(trie.buffer),
    ...pool,
  ]);
}
