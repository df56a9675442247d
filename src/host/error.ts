/**
 * The one error that Tessera throws for what a person can mend: a code for programs,
 * a sentence for people, and a hint that says what to do next.
 */

/** What kind of thing went wrong; documented so that programs can branch on it. */
export type ErrorCode =
  | 'bad-option' // an option or argument that makes no sense
  | 'bad-input' // a text, array or file whose content cannot be used
  | 'not-found' // a path, device, package or name that is not there
  | 'bad-file' // a file that is truncated, lying or of another format
  | 'bad-shape' // shapes or dtypes that do not fit an operation
  | 'mismatch' // two things that must agree and do not: tokenizer and embedding, checkpoint and model
  | 'no-space' // a write that failed
  | 'not-finite' // NaN or infinity where a number was needed
  | 'unsupported' // a thing this device or build cannot do
  | 'aborted'; // stopped by an AbortSignal

/** An error with a sentence for people: what was wrong, where, and what to do. */
export class TesseraError extends Error {
  readonly code: ErrorCode;
  readonly hint?: string;

  constructor(code: ErrorCode, message: string, options: { readonly hint?: string; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'TesseraError';
    this.code = code;
    this.hint = options.hint;
  }
}

/** Throws the `aborted` error when `signal` has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new TesseraError('aborted', 'The work was stopped.', { cause: signal.reason });
}
