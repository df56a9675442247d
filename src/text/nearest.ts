/** The nearest of some names to one that is mistyped. */

/**
 * The name that is most like a given one: the same but for case and punctuation, one that it begins, or the one with the
 * fewest edits, at most a third of its letters. Undefined when none is like it.
 */
export function nearest(name: string, names: readonly string[]): string | undefined {
  const wanted = plain(name);
  if (wanted === '') return undefined;
  const exact = names.find((other) => plain(other) === wanted);
  if (exact !== undefined) return exact;
  const begun = names.filter((other) => plain(other).startsWith(wanted));
  if (wanted.length >= 3 && begun.length > 0) return begun[0];
  let best: { readonly name: string; readonly edits: number } | undefined;
  for (const other of names) {
    const edits = distance(wanted, plain(other));
    const most = Math.max(1, Math.floor(Math.max(wanted.length, plain(other).length) / 3));
    if (edits <= most && (best === undefined || edits < best.edits)) best = { name: other, edits };
  }
  return best?.name;
}

/** Insertions, deletions, substitutions and swaps of neighbors that turn one word into another (optimal alignment). */
export function distance(from: string, to: string): number {
  const rows: number[][] = [Array.from({ length: to.length + 1 }, (_, column) => column)];
  const at = (row: number, column: number): number => rows[row]?.[column] ?? Number.POSITIVE_INFINITY;
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= to.length; j++) {
      const change = at(i - 1, j - 1) + (from[i - 1] === to[j - 1] ? 0 : 1);
      const swap = from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1] ? at(i - 2, j - 2) + 1 : change;
      row.push(Math.min(change, swap, at(i - 1, j) + 1, at(i, j - 1) + 1));
    }
  }
  return at(from.length, to.length);
}

function plain(name: string): string {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');
}
