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

/** Holds back what may turn out to be a stop text; ends before the first one that appears. */
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
      if (texts.length === 0) return bytes;
      const joined = new Uint8Array(held.length + bytes.length);
      joined.set(held);
      joined.set(bytes, held.length);
      held = joined;
      const places = texts.map((text) => indexOfBytes(held, text)).filter((place) => place >= 0);
      if (places.length > 0) {
        found = true;
        return take(Math.min(...places));
      }
      return take(Math.max(0, held.length - longest + 1));
    },
    flush: () => take(held.length),
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
