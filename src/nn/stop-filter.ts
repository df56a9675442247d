/** Texts that end a continuation, found in a stream of bytes. */

/** Lets bytes through that can no longer be part of a stop text. */
export interface StopFilter {
  /** True once a stop text has appeared; nothing after it is let through. */
  readonly found: boolean;
  /** Takes bytes and gives those that are sure. */
  push(bytes: Uint8Array): Uint8Array;
  /** What is still held back. */
  flush(): Uint8Array;
}

/**
 * Holds back what may turn out to be a stop text; ends before the one that is whole first (of those that end together,
 * the longest), so that the pieces' bounds change nothing.
 */
export function stopFilter(stops: readonly string[]): StopFilter {
  const encoder = new TextEncoder();
  const texts = stops.filter((text) => text !== '').map((text) => encoder.encode(text));
  const longest = Math.max(0, ...texts.map(({ length }) => length));
  let held = new Uint8Array(0);
  let found = false;
  const take = (length: number): Uint8Array => {
    const ready = held.slice(0, length);
    held = held.slice(length);
    return ready;
  };
  return {
    get found() {
      return found;
    },
    push: (bytes) => {
      if (found) return new Uint8Array(0);
      if (texts.length === 0) return bytes;
      const joined = new Uint8Array(held.length + bytes.length);
      joined.set(held);
      joined.set(bytes, held.length);
      held = joined;
      const [first] = texts
        .map((text) => ({ place: indexOfBytes(held, text), length: text.length }))
        .filter(({ place }) => place >= 0)
        .sort((a, b) => a.place + a.length - (b.place + b.length) || a.place - b.place);
      if (first !== undefined) {
        found = true;
        return take(first.place);
      }
      return take(Math.max(0, held.length - longest + 1));
    },
    flush: () => take(found ? 0 : held.length),
  };
}

function indexOfBytes(bytes: Uint8Array, part: Uint8Array): number {
  for (let i = 0; i + part.length <= bytes.length; i++) {
    let j = 0;
    while (j < part.length && bytes[i + j] === part[j]) j++;
    if (j === part.length) return i;
  }
  return -1;
}
