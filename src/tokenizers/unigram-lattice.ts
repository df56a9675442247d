/**
 * All segmentations of a word under a unigram model (Kudo 2018, arXiv 1804.10959): a drawn one, in proportion to its
 * probability to a power, by forward filtering and backward sampling (section 3.2), and the n best ones.
 */

import { TesseraError } from '../host/error.js';
import type { UnigramModel } from './unigram.js';

/** As a `WordMerger`, of a segmentation drawn with numbers in [0, 1) from `draw`. */
export type SampledMerger = (
  bytes: Uint8Array,
  from: number,
  to: number,
  out: Int32Array,
  at: number,
  draw: () => number,
) => number;

/** A segmentation and the sum of its pieces' scores. */
export interface Segmentation {
  readonly ids: Int32Array;
  readonly score: number;
}

/** The most segmentations that {@link nBestSegmentations} gives, as in SentencePiece. */
const MOST = 1024;

/** All pieces of a word, in the order of where they start. */
interface Lattice {
  readonly starts: number[];
  readonly ends: number[];
  readonly ids: number[];
  readonly scores: number[];
  /** The pieces that end at a place, by the place's distance from the word's start. */
  readonly endingAt: (readonly number[])[];
}

/**
 * Draws segmentations, each with a probability in proportion to its own to the power `alpha`: 0 makes all of them as
 * likely. Time and memory are in proportion to the pieces that are in the word.
 * @throws bad-option for an alpha that is negative or no number.
 */
export function sampledUnigram(model: UnigramModel, alpha: number): SampledMerger {
  if (!(alpha >= 0 && alpha < Number.POSITIVE_INFINITY)) {
    throw new TesseraError('bad-option', `The sampling parameter alpha is ${alpha}; it must be a number from 0.`, {
      hint: '0.1 to 0.5 are usual; 0 draws any segmentation.',
    });
  }
  return (bytes, from, to, out, at, draw) => {
    if (from === to) return 0;
    const lattice = makeLattice(model, bytes, from, to);
    const { starts, scores, endingAt } = lattice;
    // The logarithm of the sum over all segmentations up to each place.
    const sums = new Float64Array(to - from + 1).fill(Number.NEGATIVE_INFINITY);
    sums[0] = 0;
    const weight = (node: number): number =>
      (sums[(starts[node] as number) - from] as number) + alpha * (scores[node] as number);
    for (let place = 1; place <= to - from; place++) {
      const nodes = endingAt[place] as readonly number[];
      let most = Number.NEGATIVE_INFINITY;
      for (const node of nodes) most = Math.max(most, weight(node));
      if (most === Number.NEGATIVE_INFINITY) continue;
      let sum = 0;
      for (const node of nodes) sum += Math.exp(weight(node) - most);
      sums[place] = most + Math.log(sum);
    }
    const path: number[] = [];
    for (let place = to - from; place > 0; ) {
      const nodes = endingAt[place] as readonly number[];
      let rest = draw();
      let chosen = -1;
      for (const node of nodes) {
        const probability = Math.exp(weight(node) - (sums[place] as number));
        if (!(probability > 0)) continue;
        chosen = node;
        rest -= probability;
        if (rest < 0) break;
      }
      if (chosen === -1) chosen = nodes[0] as number;
      path.push(chosen);
      place = (starts[chosen] as number) - from;
    }
    path.reverse();
    return writePath(model, lattice, path, { bytes, from, out, at });
  };
}

/**
 * The `count` best segmentations of a word (at most 1,024), the best first. Memory grows with the word's length times
 * `count`.
 */
export function nBestSegmentations(
  model: UnigramModel,
  bytes: Uint8Array,
  from: number,
  to: number,
  count: number,
): readonly Segmentation[] {
  if (!(Number.isInteger(count) && count >= 1 && count <= MOST)) {
    throw new TesseraError('bad-option', `${count} segmentations were asked for; ask for 1 to ${MOST}.`);
  }
  const lattice = makeLattice(model, bytes, from, to);
  const { starts, scores, endingAt } = lattice;
  /** For each place the best ways to it: the sum, the last piece, and which of the ways to its start. */
  const ways: { readonly score: number; readonly node: number; readonly rank: number }[][] = [
    [{ score: 0, node: -1, rank: 0 }],
  ];
  for (let place = 1; place <= to - from; place++) {
    const all = (endingAt[place] as readonly number[]).flatMap((node) =>
      (ways[(starts[node] as number) - from] ?? []).map(({ score }, rank) => ({
        score: score + (scores[node] as number),
        node,
        rank,
      })),
    );
    ways.push(all.sort((a, b) => b.score - a.score).slice(0, count));
  }
  return (ways[to - from] ?? []).map(({ score }, index) => {
    const path: number[] = [];
    let rank = index;
    for (let place = to - from; place > 0; ) {
      const way = ways[place]?.[rank];
      if (way === undefined) break;
      path.push(way.node);
      place = (starts[way.node] as number) - from;
      rank = way.rank;
    }
    path.reverse();
    const out = new Int32Array(to - from);
    const length = writePath(model, lattice, path, { bytes, from, out, at: 0 });
    return { ids: out.slice(0, length), score };
  });
}

interface Place {
  readonly bytes: Uint8Array;
  readonly from: number;
  readonly out: Int32Array;
  readonly at: number;
}

/** Writes the ids of a path through a lattice; returns how many there are. */
function writePath(
  model: UnigramModel,
  { ends, ids }: Lattice,
  path: readonly number[],
  { bytes, from, out, at }: Place,
): number {
  const of = (values: ArrayLike<number>): number[] => path.map((node) => values[node] as number);
  return model.write(bytes, from, of(ends), of(ids), path.length, out, at);
}

function makeLattice(model: UnigramModel, bytes: Uint8Array, from: number, to: number): Lattice {
  const starts: number[] = [];
  const ends: number[] = [];
  const ids: number[] = [];
  const scores: number[] = [];
  const endingAt: number[][] = Array.from({ length: to - from + 1 }, () => []);
  for (let at = from; at < to; ) {
    const start = at;
    at = model.pieces(bytes, at, to, (end, id, score) => {
      endingAt[end - from]?.push(starts.length);
      starts.push(start);
      ends.push(end);
      ids.push(id);
      scores.push(score);
    });
  }
  return { starts, ends, ids, scores, endingAt };
}
