import { describe, expect, it } from 'vitest';
import { mergeTable, wordMerger } from '../../dist/tokenizers/merges.js';
import { drawer } from './texts.js';

type Triple = readonly [left: number, right: number, result: number];

/** Ids of bytes are the bytes; merges make the ids from 256 on, of any two ids before them, in an order of ranks of their own. */
function drawMerges(seed: number, count: number, isTrained: boolean): readonly Triple[] {
  const draw = drawer(seed);
  const ids = [97, 98, 99];
  const found: Triple[] = [];
  const known = new Set<string>();
  while (found.length < count) {
    const [left, right] = [ids[draw(ids.length)] ?? 97, ids[draw(ids.length)] ?? 97];
    if (known.has(`${left} ${right}`)) continue;
    known.add(`${left} ${right}`);
    const id = 256 + found.length;
    ids.push(id);
    const place = isTrained ? found.length : draw(found.length + 1);
    found.splice(place, 0, [left, right, id]);
  }
  return found;
}

/** The definition: of all adjacent pairs the least rank, the leftmost of equals, until none is left. */
function merged(triples: readonly Triple[], word: readonly number[]): number[] {
  const ranks = new Map(triples.map(([left, right, result], rank) => [`${left} ${right}`, { rank, result }]));
  const symbols = [...word];
  for (;;) {
    let best: { rank: number; result: number; at: number } | undefined;
    for (let at = 0; at + 1 < symbols.length; at++) {
      const found = ranks.get(`${symbols[at]} ${symbols[at + 1]}`);
      if (found !== undefined && (best === undefined || found.rank < best.rank)) best = { ...found, at };
    }
    if (best === undefined) return symbols;
    symbols.splice(best.at, 2, best.result);
  }
}

const BYTES = Int32Array.from({ length: 256 }, (_, byte) => byte);
/** Without a token for c, which is left out. */
const HOLES = BYTES.map((byte) => (byte === 99 ? -1 : byte));

describe.each([
  ['trained', true],
  ['in any order', false],
])('merges %s', (_name, isTrained) => {
  it.each([
    ['all bytes', BYTES],
    ['bytes without a token', HOLES],
  ])('are made as they are defined, words of every length: %s', (_what, byteIds) => {
    for (let seed = 1; seed <= 12; seed++) {
      const triples = drawMerges(seed, 10 + seed * 4, isTrained);
      const merge = wordMerger(mergeTable(Int32Array.from(triples.flat())), {
        byteIds,
        unknown: -1,
        fuseUnknown: false,
      });
      const draw = drawer(seed * 100);
      for (const length of [1, 2, 3, 7, 23, 24, 25, 26, 90, 255, 256, 257, 300]) {
        const bytes = Uint8Array.from({ length: length + 2 }, () => 97 + draw(3));
        const out = new Int32Array(length + 3);
        const count = merge(bytes, 1, length + 1, out, 2);
        const word = Array.from(bytes.subarray(1, length + 1)).filter((byte) => byteIds[byte] !== -1);
        expect([...out.subarray(2, 2 + count)], `seed ${seed}, length ${length}`).toEqual(merged(triples, word));
      }
    }
  });
});
