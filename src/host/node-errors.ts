/** Turns the file system's error codes into sentences. */

import { TesseraError } from './error.js';

/** The sentence for a file system error met while reading `path`. */
export function readingError(path: string, cause: unknown): TesseraError {
  if (cause instanceof TesseraError) return cause;
  switch (codeOf(cause)) {
    case 'ENOENT':
      return new TesseraError('not-found', `There is nothing at ${path}.`, { cause, hint: 'Check the path.' });
    case 'ENOTDIR':
      return new TesseraError('not-found', `There is nothing at ${path}: a part of the path is a file, not a folder.`, {
        cause,
      });
    case 'EISDIR':
      return new TesseraError('bad-input', `${path} is a folder; a file was needed.`, { cause });
    case 'EACCES':
    case 'EPERM':
      return new TesseraError('bad-input', `${path} may not be read by this user.`, {
        cause,
        hint: 'Change its permissions or copy it.',
      });
    case 'EMFILE':
    case 'ENFILE':
      return new TesseraError('bad-input', `${path} could not be opened: too many files are open.`, {
        cause,
        hint: 'Close some or raise the limit (ulimit -n).',
      });
    default:
      return new TesseraError('bad-input', `${path} could not be read: ${reasonOf(cause)}.`, { cause });
  }
}

/** The sentence for a file system error met while writing `path`. */
export function writingError(path: string, cause: unknown): TesseraError {
  if (cause instanceof TesseraError) return cause;
  switch (codeOf(cause)) {
    case 'ENOSPC':
      return new TesseraError('no-space', `${path} could not be written: the disk is full.`, {
        cause,
        hint: 'Free some space or write elsewhere; nothing half-written was left.',
      });
    case 'EDQUOT':
      return new TesseraError('no-space', `${path} could not be written: the disk quota is used up.`, { cause });
    case 'EFBIG':
      return new TesseraError('no-space', `${path} could not be written: it would be larger than is allowed.`, {
        cause,
      });
    case 'EROFS':
      return new TesseraError('no-space', `${path} could not be written: the file system is read-only.`, { cause });
    case 'EACCES':
    case 'EPERM':
      return new TesseraError('no-space', `${path} could not be written: this user may not write there.`, {
        cause,
        hint: 'Write elsewhere or change the permissions.',
      });
    case 'EISDIR':
      return new TesseraError('no-space', `${path} could not be written: a folder has that name.`, { cause });
    case 'ENOTDIR':
    case 'EEXIST':
      return new TesseraError('no-space', `${path} could not be written: a part of its path is a file, not a folder.`, {
        cause,
      });
    case 'ENOTEMPTY':
      return new TesseraError('no-space', `${path} could not be written: a folder with content is in the way.`, {
        cause,
      });
    default:
      return new TesseraError('no-space', `${path} could not be written: ${reasonOf(cause)}.`, { cause });
  }
}

/** The `code` of a file system error, or undefined. */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/\.$/, '') : String(error);
}
