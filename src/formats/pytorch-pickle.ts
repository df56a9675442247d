/**
 * Python's pickle (protocols 2 to 5, PEP 3154 and 574) as data, never as a program: numbers, strings and
 * containers are built here; every global, call and persistent id is handed to rules, which build or refuse.
 * No opcode looks anything up or runs anything. Lengths are checked before they are believed, nothing recurses,
 * and opcodes are counted, so that a hostile stream ends in a sentence.
 */

import { pickleBytes } from './pytorch-pickle-bytes.js';

/** What a pickle can hold: plain values, containers, and what the rules made of `O`. */
export type PickleValue<O> =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleContainer<O>
  | { readonly kind: 'global'; readonly name: string }
  | { readonly kind: 'made'; readonly value: O };

/** Lists, tuples, sets and dictionaries; a dictionary keeps the order of insertion. */
export type PickleContainer<O> =
  | { readonly kind: 'list'; readonly items: PickleValue<O>[] }
  | { readonly kind: 'tuple'; readonly items: PickleValue<O>[] }
  | { readonly kind: 'set'; readonly items: PickleValue<O>[] }
  | { readonly kind: 'dict'; readonly entries: Map<PickleValue<O>, PickleValue<O>> };

/** What a format makes of globals, calls and persistent ids. Each throws for what it does not know. */
export interface PickleRules<O> {
  /** Called for a global by its full name, before anything is done with it. */
  allow(name: string): void;
  /** `name(...items)`. */
  call(name: string, items: readonly PickleValue<O>[]): PickleValue<O>;
  /** What a persistent id stands for. */
  persistent(id: PickleValue<O>): PickleValue<O>;
}

/** The most opcodes that are followed: an order of magnitude above the largest published checkpoints. */
const MOST_OPCODES = 1 << 24;
/**
 * Reads one pickle from `start`; `end` is where it stopped.
 *
 * @throws bad-file for a damaged or hostile stream, `PickleCutShort` for one that does not end, what the rules throw.
 */
export function readPickle<O>(
  bytes: Uint8Array,
  where: string,
  rules: PickleRules<O>,
  start = 0,
): { readonly value: PickleValue<O>; readonly end: number } {
  const from = pickleBytes(bytes, where, start);
  const { bad } = from;
  const memo = new Map<number, PickleValue<O>>();
  const marks: number[] = [];
  const stack: PickleValue<O>[] = [];

  const pop = (): PickleValue<O> => {
    const value = stack.length > (marks.at(-1) ?? 0) ? stack.pop() : undefined;
    if (value === undefined) throw bad('an operation without its operand');
    return value;
  };
  const popMark = (): PickleValue<O>[] => {
    const mark = marks.pop();
    if (mark === undefined) throw bad('an operation without its mark');
    const items = stack.slice(mark);
    stack.length = mark;
    return items;
  };
  const popTuple = (length: number): PickleValue<O> => {
    const items: PickleValue<O>[] = [];
    for (let i = 0; i < length; i++) items.unshift(pop());
    return { kind: 'tuple', items };
  };
  const top = (): PickleValue<O> => {
    const value = pop();
    stack.push(value);
    return value;
  };
  const add = (items: readonly PickleValue<O>[], kind: 'list' | 'set'): void => {
    const target = top();
    if (!isContainer(target) || target.kind !== kind) throw bad(`elements of a ${kind} that is none`);
    for (const item of items) target.items.push(item);
  };
  const set = (pairs: readonly PickleValue<O>[]): void => {
    const target = top();
    if (!isContainer(target) || target.kind !== 'dict') throw bad('entries of a dictionary that is none');
    if (pairs.length % 2 !== 0) throw bad('a key without a value');
    for (let i = 0; i < pairs.length; i += 2) target.entries.set(pairs[i] ?? null, pairs[i + 1] ?? null);
  };
  const global = (module: string, name: string): PickleValue<O> => {
    const full = `${module}.${name}`;
    rules.allow(full);
    return { kind: 'global', name: full };
  };
  const call = (): PickleValue<O> => {
    const given = pop();
    const callee = pop();
    if (!isContainer(given) || given.kind !== 'tuple') throw bad('a call without its arguments');
    if (!isKind(callee, 'global')) throw bad('a call of what is no function');
    return rules.call(callee.name, given.items);
  };
  const build = (): void => {
    // Attributes of an ordered dictionary (`_metadata`: the versions of modules) say nothing of tensors.
    pop();
    const target = top();
    if (!isContainer(target) || target.kind !== 'dict') throw bad('attributes of what can have none');
  };
  const recall = (index: number): PickleValue<O> => {
    const value = memo.get(index);
    if (value === undefined) throw bad(`entry ${index} of the memo, which is empty`);
    return value;
  };

  for (let count = 0; count < MOST_OPCODES; count++) {
    const code = from.uint8();
    switch (code) {
      case 0x80: // PROTO
        if (from.uint8() > 5) throw bad('a protocol above 5');
        break;
      case 0x95: // FRAME: a hint for buffering
        from.length64();
        break;
      case 0x2e: {
        // STOP
        const value = pop();
        if (stack.length > 0 || marks.length > 0) throw bad('values left over');
        return { value, end: from.position() };
      }
      case 0x4e: // NONE
        stack.push(null);
        break;
      case 0x88: // NEWTRUE
        stack.push(true);
        break;
      case 0x89: // NEWFALSE
        stack.push(false);
        break;
      case 0x4a: // BININT
        stack.push(from.int32());
        break;
      case 0x4b: // BININT1
        stack.push(from.uint8());
        break;
      case 0x4d: // BININT2
        stack.push(from.uint16());
        break;
      case 0x8a: // LONG1
        stack.push(from.integer(from.uint8()));
        break;
      case 0x8b: // LONG4
        stack.push(from.integer(from.uint32()));
        break;
      case 0x47: // BINFLOAT, big-endian
        stack.push(from.double());
        break;
      case 0x8c: // SHORT_BINUNICODE
      case 0x55: // SHORT_BINSTRING, of Python 2
        stack.push(from.text(from.uint8()));
        break;
      case 0x58: // BINUNICODE
      case 0x54: // BINSTRING, of Python 2
        stack.push(from.text(from.uint32()));
        break;
      case 0x8d: // BINUNICODE8
        stack.push(from.text(from.length64()));
        break;
      case 0x43: // SHORT_BINBYTES
        stack.push(from.blob(from.uint8()));
        break;
      case 0x42: // BINBYTES
        stack.push(from.blob(from.uint32()));
        break;
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        stack.push(from.blob(from.length64()));
        break;
      case 0x5d: // EMPTY_LIST
        stack.push({ kind: 'list', items: [] });
        break;
      case 0x29: // EMPTY_TUPLE
        stack.push({ kind: 'tuple', items: [] });
        break;
      case 0x7d: // EMPTY_DICT
        stack.push({ kind: 'dict', entries: new Map() });
        break;
      case 0x8f: // EMPTY_SET
        stack.push({ kind: 'set', items: [] });
        break;
      case 0x28: // MARK
        marks.push(stack.length);
        break;
      case 0x30: // POP
        if (stack.length > (marks.at(-1) ?? 0)) pop();
        else popMark();
        break;
      case 0x31: // POP_MARK
        popMark();
        break;
      case 0x32: // DUP
        stack.push(top());
        break;
      case 0x74: // TUPLE
        stack.push({ kind: 'tuple', items: popMark() });
        break;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        stack.push(popTuple(code - 0x84));
        break;
      case 0x6c: // LIST
        stack.push({ kind: 'list', items: popMark() });
        break;
      case 0x91: // FROZENSET
        stack.push({ kind: 'set', items: popMark() });
        break;
      case 0x64: {
        // DICT
        const pairs = popMark();
        stack.push({ kind: 'dict', entries: new Map() });
        set(pairs);
        break;
      }
      case 0x61: // APPEND
        add([pop()], 'list');
        break;
      case 0x65: // APPENDS
        add(popMark(), 'list');
        break;
      case 0x90: // ADDITEMS
        add(popMark(), 'set');
        break;
      case 0x73: {
        // SETITEM
        const value = pop();
        set([pop(), value]);
        break;
      }
      case 0x75: // SETITEMS
        set(popMark());
        break;
      case 0x71: // BINPUT
        memo.set(from.uint8(), top());
        break;
      case 0x72: // LONG_BINPUT
        memo.set(from.uint32(), top());
        break;
      case 0x94: // MEMOIZE
        memo.set(memo.size, top());
        break;
      case 0x68: // BINGET
        stack.push(recall(from.uint8()));
        break;
      case 0x6a: // LONG_BINGET
        stack.push(recall(from.uint32()));
        break;
      case 0x63: // GLOBAL
        stack.push(global(from.line(), from.line()));
        break;
      case 0x93: {
        // STACK_GLOBAL
        const name = pop();
        const module = pop();
        if (typeof name !== 'string' || typeof module !== 'string') throw bad('a global whose name is no text');
        stack.push(global(module, name));
        break;
      }
      case 0x52: // REDUCE
      case 0x81: // NEWOBJ: here a call like any other, as only what the rules know can be made
        stack.push(call());
        break;
      case 0x62: // BUILD
        build();
        break;
      case 0x51: // BINPERSID
        stack.push(rules.persistent(pop()));
        break;
      default:
        throw bad(`the operation 0x${code.toString(16).padStart(2, '0')}, which no checkpoint needs,`);
    }
  }
  throw bad(`more than ${MOST_OPCODES} operations`);
}

/** True for a list, tuple, set or dictionary. */
export function isContainer<O>(value: PickleValue<O> | undefined): value is PickleContainer<O> {
  return isObject(value) && (value.kind === 'dict' || 'items' in value);
}

/** True for a value of that kind. */
export function isKind<O, K extends Tagged<O>['kind']>(
  value: PickleValue<O> | undefined,
  kind: K,
): value is Extract<Tagged<O>, { readonly kind: K }> {
  return isObject(value) && value.kind === kind;
}

type Tagged<O> = Exclude<PickleValue<O>, null | boolean | number | bigint | string | Uint8Array>;

function isObject<O>(value: PickleValue<O> | undefined): value is Tagged<O> {
  return typeof value === 'object' && value !== null && !(value instanceof Uint8Array);
}
