/**
 * Decoders of a tokenizer.json: from tokens to text, one token at a time. Each step passes on what later tokens cannot
 * change and holds the rest back, so that a stream and the whole give the same text. Behind a step that makes one text of
 * all tokens (Fuse, ByteLevel) the others see that text in chunks; those that need all of it wait for the end.
 */

import { isJsonObject, type Json } from '../../formats/json.js';
import { readSpelling } from '../byte-level.js';
import { replaceText } from './normalizers.js';
import { readPattern } from './patterns.js';
import {
  booleanOf,
  type Component,
  characterOf,
  componentOf,
  countOf,
  listOf,
  stringOf,
  unknownComponent,
} from './read.js';
import { readPrependScheme } from './rewriting-stages.js';
import { bytesOf } from './unicode.js';

/** Takes tokens, or chunks of one text, and passes text on. */
export interface Step {
  push(token: string): void;
  /** No more will come. */
  end(): void;
}

/** Makes a step in front of another; `isFused`: what comes is one text in chunks. */
export type Decoder = (next: Step, isFused: boolean) => Step;

/** The steps of a `decoder`, in order. @throws unsupported, naming what is not known; bad-file. */
export function readDecoder(given: Json | undefined, where: string): readonly Decoder[] {
  // Without a decoder, spaces stand between tokens.
  if (given === undefined || given === null) return [eachToken((token, index) => (index === 0 ? token : ` ${token}`))];
  return flattenDecoders(given, where).map((value) => readStep(value, where));
}

/** The decoders of a sequence of sequences, in order. */
export function flattenDecoders(given: Json, where: string): readonly Component[] {
  const value = componentOf(given, 'decoder', where);
  if (value.type !== 'Sequence') return [value];
  return listOf(value, 'decoders', where).flatMap((part) => flattenDecoders(part, where));
}

/** The chain of some decoders in front of `last`. */
export function chainOf(decoders: readonly Decoder[], last: Step): Step {
  const firstFuse = decoders.findIndex((decoder) => FUSING.has(decoder));
  return decoders.reduceRight((next, decoder, i) => decoder(next, firstFuse !== -1 && i > firstFuse), last);
}

/** Decoders behind which there is one text. */
const FUSING = new WeakSet<Decoder>();

function fusing(decoder: Decoder): Decoder {
  FUSING.add(decoder);
  return decoder;
}

function readStep(value: Component, where: string): Decoder {
  switch (value.type) {
    case 'ByteLevel':
      return fusing((next, isFused) => (isFused ? held(byteLevelText, next) : byteLevelStep(next)));
    case 'Fuse':
      return fusing((next) => next);
    case 'ByteFallback':
      return (next, isFused) =>
        isFused ? held((text) => bytesText(byteOf(text), text), next) : byteFallbackStep(next);
    case 'WordPiece': {
      const prefix = stringOf(value, 'prefix', where);
      const cleans = booleanOf(value, 'cleanup', where);
      return eachToken((token, index) => {
        const text = index === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
        return cleans ? cleanUp(text) : text;
      });
    }
    case 'Metaspace': {
      const replacement = characterOf(value, 'replacement', where);
      const isDropped = readPrependScheme(value, where) !== 'never';
      const decode = (text: string, index: number): string =>
        text.replaceAll(replacement, index === 0 && isDropped ? '' : ' ');
      return (next, isFused) =>
        isFused ? { push: (text) => next.push(decode(text, 0)), end: next.end } : eachToken(decode)(next, false);
    }
    case 'BPEDecoder': {
      const suffix = stringOf(value, 'suffix', where, '</w>');
      return (next, isFused) =>
        isFused ? held((text) => text.replaceAll(suffix, ''), next) : suffixStep(suffix, next);
    }
    case 'Strip':
      return readStrip(value, where);
    case 'Replace':
      return readReplace(value, where);
    case 'CTC':
      return readCtc(value, where);
    default:
      return unknownComponent('decoder', value.type, where);
  }
}

/** A decoder that treats each token for itself, knowing its place. */
function eachToken(decode: (token: string, index: number) => string): Decoder {
  return (next, isFused) => {
    if (isFused) return held((text) => decode(text, 0), next);
    let index = 0;
    return { push: (token) => next.push(decode(token, index++)), end: next.end };
  };
}

/** Waits for the whole text. */
function held(decode: (text: string) => string, next: Step): Step {
  const parts: string[] = [];
  return {
    push: (text) => {
      parts.push(text);
    },
    end: () => {
      next.push(decode(parts.join('')));
      next.end();
    },
  };
}

function cleanUp(text: string): string {
  return CLEANINGS.reduce((result, [from, to]) => result.replaceAll(from, to), text);
}

const CLEANINGS: readonly (readonly [string, string])[] = [
  [' .', '.'],
  [' ?', '?'],
  [' !', '!'],
  [' ,', ','],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [' do not', " don't"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
];

/** The bytes that a token of ByteLevel stands for: itself where a character is none of the alphabet. */
export function byteLevelBytes(token: string): Uint8Array {
  return readSpelling(token) ?? bytesOf(token);
}

function byteLevelText(token: string): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(byteLevelBytes(token));
}

function byteLevelStep(next: Step): Step {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return {
    push: (token) => next.push(decoder.decode(byteLevelBytes(token), { stream: true })),
    end: () => {
      next.push(decoder.decode());
      next.end();
    },
  };
}

/** The byte of a token `<0x00>` to `<0xFF>`, or undefined. */
function byteOf(token: string): number | undefined {
  return /^<0x(?:\+[0-9a-fA-F]|[0-9a-fA-F]{2})>$/.test(token) ? Number.parseInt(token.slice(3, 5), 16) : undefined;
}

/** The text of bytes that stood alone: `token` where it is none. */
function bytesText(byte: number | undefined, token: string): string {
  return byte === undefined ? token : runText([byte]);
}

/** The text of a run of bytes: U+FFFD for each where the run is not UTF-8. */
function runText(run: readonly number[]): string {
  try {
    return new TextDecoder('utf-8', { ignoreBOM: true, fatal: true }).decode(Uint8Array.from(run));
  } catch {
    return '\ufffd'.repeat(run.length);
  }
}

/** Holds a run of bytes until it ends, since one wrong byte makes all of it U+FFFD. */
function byteFallbackStep(next: Step): Step {
  let run: number[] = [];
  const release = (): void => {
    if (run.length > 0) next.push(runText(run));
    run = [];
  };
  return {
    push: (token) => {
      const byte = byteOf(token);
      if (byte !== undefined) run.push(byte);
      else {
        release();
        next.push(token);
      }
    },
    end: () => {
      release();
      next.end();
    },
  };
}

/** A suffix is a space, and nothing in the last token, so one token is held back. */
function suffixStep(suffix: string, next: Step): Step {
  let last: string | undefined;
  return {
    push: (token) => {
      if (last !== undefined) next.push(last.replaceAll(suffix, ' '));
      last = token;
    },
    end: () => {
      if (last !== undefined) next.push(last.replaceAll(suffix, ''));
      next.end();
    },
  };
}

function readStrip(value: Component, where: string): Decoder {
  const content = characterOf(value, 'content', where);
  const start = countOf(value, 'start', where);
  const stop = countOf(value, 'stop', where);
  const stripEach = (token: string): string => {
    let from = 0;
    let to = token.length;
    for (let i = 0; i < start && token.startsWith(content, from); i++) from += content.length;
    for (let i = 0; i < stop && to > from && token.endsWith(content, to); i++) to -= content.length;
    return token.slice(from, to);
  };
  return (next, isFused) => {
    if (!isFused) return eachToken(stripEach)(next, false);
    if (stop > 0) return held(stripEach, next);
    let left = start;
    return {
      push: (text) => {
        let from = 0;
        while (left > 0 && from < text.length) {
          if (text.startsWith(content, from)) {
            from += content.length;
            left--;
          } else left = 0;
        }
        next.push(text.slice(from));
      },
      end: next.end,
    };
  };
}

function readReplace(value: Component, where: string): Decoder {
  const expression = readPattern(value.pattern, 'Replace', where);
  const content = stringOf(value, 'content', where);
  const { pattern } = value;
  const literal = isJsonObject(pattern) && typeof pattern.String === 'string' ? pattern.String : '';
  const replace = (token: string): string =>
    literal === '' ? replaceText(token, expression, content) : token.replaceAll(literal, () => content);
  return (next, isFused) => {
    // A pattern of one unit cannot lie across two chunks.
    if (isFused && literal.length === 1) return { push: (text) => next.push(replace(text)), end: next.end };
    return eachToken(replace)(next, isFused);
  };
}

/** Connectionist temporal classification (Graves et al. 2006): equal neighbors are one, the pad token is nothing. */
function readCtc(value: Component, where: string): Decoder {
  const pad = stringOf(value, 'pad_token', where);
  const delimiter = stringOf(value, 'word_delimiter_token', where);
  const cleans = booleanOf(value, 'cleanup', where);
  const decode = (token: string): string => {
    const text = pad === '' ? token : token.replaceAll(pad, '');
    return cleans ? cleanUp(text).replaceAll(delimiter, ' ') : text;
  };
  return (next, isFused) => {
    if (isFused) return held(decode, next);
    let last: string | undefined;
    return {
      push: (token) => {
        const text = token === last ? '' : decode(token);
        last = token;
        if (text !== '') next.push(text);
      },
      end: next.end,
    };
  };
}
