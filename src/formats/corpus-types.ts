/** What a corpus is: a sequence of documents that can be read on from any place. */

/** Where the next document begins: a plain JSON value, to be kept in a checkpoint. */
export interface CorpusCursor {
  /** Which file of the corpus, from 0. */
  readonly file: number;
  /** Byte of the file's content, after decompression; of a table, its row. */
  readonly offset: number;
  /** Documents of the file before this place. */
  readonly index: number;
  /** The line of the file, from 1. */
  readonly line: number;
}

/** One document. */
export interface CorpusDocument {
  /** Its bytes: valid UTF-8, without a byte order mark. */
  readonly bytes: Uint8Array;
  /** The same as a string. */
  text(): string;
  /** The file's path and the document's number in it, from 0. */
  readonly source: { readonly file: string; readonly index: number };
  /** Where the next document begins. */
  readonly cursor: CorpusCursor;
}

/** A sequence of documents. */
export interface Corpus {
  /**
   * The documents from `cursor` on, or all. @throws bad-input naming file, line and byte for what is not UTF-8
   * text, bad-file for damaged gzip, mismatch for a cursor of another corpus, aborted.
   */
  documents(cursor?: CorpusCursor): AsyncIterable<CorpusDocument>;
  /** How many files, the bytes they take (as stored), and their paths. */
  describe(): { readonly files: number; readonly bytes: number; readonly paths: readonly string[] };
  /** A hash of names, sizes and samples of the content: another text has another fingerprint. */
  fingerprint(): Promise<string>;
}

/** Options of `openCorpus`. */
export interface CorpusOptions {
  /** The field of each JSON line, or the column of each table, that holds the text. Default 'text'. */
  readonly field?: string;
  /** Plain files above this many bytes are cut, at paragraph ends where there are any. Default 1 MiB. */
  readonly documentBytes?: number;
  readonly signal?: AbortSignal;
}
