/**
 * What the host offers to the layers above it: files, threads, memory, time. One interface, two halves:
 * `node.ts` and `browser.ts`, imported as `#host` and chosen by the package's `imports`. Nothing above
 * this folder (layers 0 to 3) imports anything of Node or of the page.
 */

import type { PictureHost } from './picture-types.js';

export type * from './picture-types.js';

/** A file open for reading at any place. */
export interface RandomAccess {
  /** The file's size in bytes when it was opened. */
  readonly size: number;
  /** Reads `length` bytes at `offset`. @throws bad-file when the file ends before that. */
  read(offset: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** A file being written under a temporary name beside its target. One of `commit` and `abort` must end it. */
export interface FileWriter {
  /** Bytes written so far. */
  readonly position: number;
  /** Appends bytes. @throws no-space when the write fails; the temporary file is then removed. */
  write(bytes: Uint8Array): Promise<void>;
  /** Forgets everything written after the first `length` bytes. */
  truncateTo(length: number): Promise<void>;
  /** Flushes to the disk and renames to the target's name: readers see the old file or the whole new one. */
  commit(): Promise<void>;
  /** Removes the temporary file and leaves the target as it was; harmless after `commit`. */
  abort(): Promise<void>;
}

/** What is at a path; `modified` in milliseconds since 1970. */
export interface FileStatus {
  readonly kind: 'file' | 'directory' | 'other';
  readonly size: number;
  readonly modified: number;
}

/** An entry of a folder. */
export interface DirectoryEntry {
  readonly name: string;
  /** What it is; of a symbolic link, what it points at. */
  readonly kind: 'file' | 'directory' | 'other';
  /** It is a symbolic link. */
  readonly link: boolean;
}

/** Options of `openByteStream`. */
export interface ByteStreamOptions {
  /** Bytes of content (after decompression) to skip. */
  readonly start?: number;
  /** Largest chunk in bytes, before decompression. */
  readonly chunkBytes?: number;
  readonly signal?: AbortSignal;
}

/** A thread seen from the one that started it. */
export interface WorkerHandle {
  /** Sends a value; the buffers in `transfer` move without a copy (shared ones are shared anyway). */
  postMessage(value: unknown, transfer?: readonly ArrayBufferLike[]): void;
  /** Registers what is called with each message; call it right after `startWorker`, or messages are lost. */
  onMessage(callback: (value: unknown) => void): void;
  /** Registers what is called when the thread fails to start, throws, or ends by itself with an error. */
  onError(callback: (error: Error) => void): void;
  /** Ends the thread; resolves when it is gone. A native call under way is waited for. */
  terminate(): Promise<void>;
  /** Lets the process end while the thread lives (Node only). */
  unref?(): void;
  /** Undoes `unref` (Node only). */
  ref?(): void;
}

/** How a thread is started. */
export interface WorkerOptions {
  readonly name?: string;
  /**
   * Starts the module in a page: `() => new Worker(new URL('./module.js', import.meta.url), { type: 'module' })`, written
   * out where the module's address is known, since that is the form in which bundlers find the modules of threads.
   */
  readonly page?: () => Worker;
}

/** The way from a thread to the one that started it. */
export interface ParentPort {
  postMessage(value: unknown, transfer?: readonly ArrayBufferLike[]): void;
  onMessage(callback: (value: unknown) => void): void;
  /** Ends the conversation from the thread's side, so that it can end by itself. */
  close(): void;
}

/** Everything a host offers. Both halves export these as named functions. */
export interface Host extends PictureHost {
  /** The program and machine in one line, for `environment.json`. */
  readonly platform: string;

  /** A whole file. @throws not-found, bad-input when it cannot be read. */
  readFile(path: string): Promise<Uint8Array>;
  /** A whole file as UTF-8 text. @throws bad-file when it is not UTF-8. */
  readTextFile(path: string): Promise<string>;
  /** Opens a file for reading by offset. */
  openRandomAccess(path: string): Promise<RandomAccess>;
  /** Streams a file's content; gzip is recognized by its first two bytes and unpacked. @throws bad-file on damaged gzip. */
  openByteStream(path: string, options?: ByteStreamOptions): AsyncIterable<Uint8Array>;
  /** Starts writing a file; its folder is made when missing. @throws no-space when it cannot be written. */
  createWriter(path: string): Promise<FileWriter>;
  /** Writes a whole file so that readers see the old one or the new one. */
  writeFileAtomic(path: string, content: Uint8Array | string): Promise<void>;
  /** Adds to the end of a file, which is made when missing; a failed write leaves it as it was. @throws no-space. */
  appendFile(path: string, content: Uint8Array | string): Promise<void>;
  /** Makes a folder and its parents; one that is there is fine. */
  makeDirectory(path: string): Promise<void>;
  /** A new, empty folder beside `path`, with a hidden name made from it. */
  makeTemporarySibling(path: string): Promise<string>;
  /** A new, empty folder in the system's place for temporary files. */
  makeTemporaryDirectory(): Promise<string>;
  /** A folder's entries, sorted by name in code-unit order. @throws not-found, bad-input. */
  listDirectory(path: string): Promise<readonly DirectoryEntry[]>;
  /** What is at a path, or undefined when nothing is. */
  stat(path: string): Promise<FileStatus | undefined>;
  /** Removes a file or a whole folder; nothing there is fine. */
  remove(path: string): Promise<void>;
  /** Renames a file or folder in one step (a file in the way is replaced, a folder with content is not). */
  rename(from: string, to: string): Promise<void>;
  /** Puts the folder `from` in the place of `to`, whatever was there; on failure the old one is put back. */
  replaceDirectory(from: string, to: string): Promise<void>;
  /** Paths of files that match any of the patterns, sorted; relative patterns give relative paths. */
  glob(patterns: readonly string[]): Promise<readonly string[]>;

  /** Joins path parts with the platform's separator. */
  joinPath(...parts: readonly string[]): string;
  /** The last part of a path. */
  baseName(path: string): string;
  /** Everything before the last part of a path. */
  directoryName(path: string): string;

  /** True in a page or one of its threads. */
  readonly isPage: boolean;
  /** True where threads can share memory; a page must be cross-origin isolated for that. */
  sharesMemory(): boolean;
  /** How many threads can run at once. */
  cores(): number;
  /** The processor's name; empty when the host does not tell. */
  processor(): string;
  /** Bytes of memory of the machine; 0 when the host does not tell. */
  totalMemory(): number;
  /** A variable of the environment; undefined when it is not set, is empty, or the host has none. */
  environmentVariable(name: string): string | undefined;
  /** A file of an installed package (`package/path/in/it`); undefined when there is none, and in a page. */
  findInstalledFile(path: string): Promise<string | undefined>;
  /** Bytes of memory that the process (or page, where known) has resident; 0 when the host does not tell. */
  memoryUsage(): number;
  /** Starts a module as a thread. */
  startWorker(url: URL, options?: WorkerOptions): WorkerHandle;
  /** The thread's own side. @throws unsupported outside of a thread. */
  parentPort(): ParentPort;
}
