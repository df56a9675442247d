/** One text as two: what models learn from, and what they are measured on. */

import type { Corpus, CorpusCursor, CorpusDocument } from '../formats/index.js';
import { cutUtf8 } from '../measures/index.js';

/** Where the end of a document begins that is held out: after the last line break before that share of it. */
function boundary(bytes: Uint8Array, share: number): number {
  const wanted = Math.floor(bytes.length * (1 - share));
  const line = bytes.subarray(0, wanted).lastIndexOf(0x0a) + 1;
  return line > wanted / 2 ? line : cutUtf8(bytes, wanted).length;
}

/** The corpus without the end of each document. Cursors are those of the whole corpus. */
export function withoutEnds(corpus: Corpus, share: number): Pick<Corpus, 'documents'> {
  return { documents: (cursor) => parts(corpus, cursor, (bytes) => bytes.subarray(0, boundary(bytes, share))) };
}

/** The ends of the documents alone. */
export function endsOf(corpus: Corpus, share: number): Pick<Corpus, 'documents'> {
  return { documents: (cursor) => parts(corpus, cursor, (bytes) => bytes.subarray(boundary(bytes, share))) };
}

async function* parts(
  corpus: Corpus,
  cursor: CorpusCursor | undefined,
  cut: (bytes: Uint8Array) => Uint8Array,
): AsyncGenerator<CorpusDocument> {
  for await (const document of corpus.documents(cursor)) {
    const bytes = cut(document.bytes);
    if (bytes.length > 0) yield { ...document, bytes, text: () => new TextDecoder().decode(bytes) };
  }
}

/** Documents of a corpus up to a number of bytes, in memory: the same share of each. The corpus is read twice. */
export async function sampleDocuments(corpus: Pick<Corpus, 'documents'>, most: number): Promise<readonly Uint8Array[]> {
  let total = 0;
  for await (const { bytes } of corpus.documents()) total += bytes.length;
  const share = Math.min(1, most / Math.max(1, total));
  const documents: Uint8Array[] = [];
  for await (const { bytes } of corpus.documents()) {
    const part = cutUtf8(bytes, Math.floor(bytes.length * share));
    // A copy: the part does not keep the whole document.
    if (part.length > 0) documents.push(part.slice());
  }
  return documents;
}
