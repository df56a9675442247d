/**
 * Remainders and whole quotients with NumPy's signs, bits and shifts.
 *
 * Two divisors end a run, or the whole process, when the hardware divides whole numbers: 0, and -1 under the most negative
 * number. Unless the divisor is a constant they are replaced before the division, and what NumPy gives is put in after.
 */

import { defineBinary, isFloat, type Operand, only, type Writing } from '../define.js';
import { foldEach } from '../fold.js';
import { applyOne, type Operation, shapeError, type Tensor } from '../graph.js';
import type { DType } from '../ndarray.js';
import type { Write } from '../onnx/recipes.js';
import { div, floor, mul, neg } from './elementwise.js';
import { trunc } from './rounding.js';

type Binary = (a: Operand, b: Operand) => Tensor;

const isWhole = (dtype: DType): boolean => dtype === 'int32' || dtype === 'int64';
const isNumber = (dtype: DType): boolean => isFloat(dtype) || isWhole(dtype);

/** The divisor with 1 in place of 0 and -1, under which a remainder is 0 as under these. */
function safeDivisor(b: string, write: Write, constant: number | undefined): string {
  if (constant !== undefined && constant !== 0 && constant !== -1) return b;
  return write('Where', [write('Or', [write('Equal', [b, 0]), write('Equal', [b, -1])]), 1, b]);
}

/** The remainder with the sign of the dividend. */
function remainder(a: string, b: string, write: Write): string {
  return write('Mod', [a, b], { fmod: 1 });
}

/** Where a floating remainder has not the sign of the divisor. */
function otherSign(rest: string, b: string, write: Write): string {
  const apart = write('Xor', [write('Less', [rest, 0]), write('Less', [b, 0])]);
  return write('And', [write('Not', [write('Equal', [rest, 0])]), apart]);
}

function modulo(a: number, b: number, dtype: DType): number {
  if (b === 0 && !isFloat(dtype)) return 0;
  const rest = a % b;
  return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
}

/**
 * `a - b * floor(a / b)`: the remainder with the sign of the divisor (NumPy's `mod`, Python's `%`). Of whole numbers
 * under 0 it is 0, of floating ones NaN. The gradient holds the whole quotient fixed.
 */
export const mod: Binary = defineBinary('mod', {
  value: modulo,
  gradient: (a, b, g) => [g, neg(mul(g, floor(div(a, b))))],
  lower: (a, b, { write, dtype }, constant) => {
    if (!isFloat(dtype)) return write('Mod', [a, safeDivisor(b, write, constant)], { fmod: 0 });
    const rest = remainder(a, b, write);
    return write('Where', [otherSign(rest, b, write), write('Add', [rest, b]), rest]);
  },
  fits: isNumber,
  kinds: 'floating, int32 or int64',
});

/**
 * `a - b * trunc(a / b)`: the remainder with the sign of the dividend (C's `fmod`). Of whole numbers under 0 it is 0, of
 * floating ones NaN. The gradient holds the whole quotient fixed.
 */
export const fmod: Binary = defineBinary('fmod', {
  value: (a, b, dtype) => (b === 0 && !isFloat(dtype) ? 0 : a % b),
  gradient: (a, b, g) => [g, neg(mul(g, trunc(div(a, b))))],
  lower: (a, b, { write, dtype }, constant) =>
    remainder(a, isFloat(dtype) ? b : safeDivisor(b, write, constant), write),
  fits: isNumber,
  kinds: 'floating, int32 or int64',
});

function floorDivideWhole(a: string, b: string, write: Write, constant: number | undefined): string {
  const safe = safeDivisor(b, write, constant);
  const toward0 = write('Div', [a, safe]);
  const exact = write('Equal', [write('Mod', [a, safe], { fmod: 0 }), remainder(a, safe, write)]);
  const quotient = write('Where', [exact, toward0, write('Sub', [toward0, 1])]);
  if (safe === b) return quotient;
  const minus = write('Where', [write('Equal', [b, -1]), write('Neg', [a]), quotient]);
  return write('Where', [write('Equal', [b, 0]), 0, minus]);
}

/**
 * `floor(a / b)`, computed through the remainder so that `b * floorDivide(a, b) + mod(a, b)` is `a` (NumPy's
 * `floor_divide`). Whole numbers under 0 give 0; the most negative one under -1 gives itself. Its gradient is 0.
 */
export const floorDivide: Binary = defineBinary('floorDivide', {
  value: (a, b, dtype) =>
    b === 0 ? (isFloat(dtype) ? a / b : 0) : Math.round((a - (a % b)) / b - Number(modulo(a, b, dtype) !== a % b)),
  lower: (a, b, { write, dtype }, constant) => {
    if (!isFloat(dtype)) return floorDivideWhole(a, b, write, constant);
    const rest = remainder(a, b, write);
    const toward0 = write('Round', [write('Div', [write('Sub', [a, rest]), b])]);
    const quotient = write('Where', [otherSign(rest, b, write), write('Sub', [toward0, 1]), toward0]);
    return write('Where', [write('Equal', [b, 0]), write('Div', [a, b]), quotient]);
  },
  fits: isNumber,
  kinds: 'floating, int32 or int64',
});

const hasBits = (dtype: DType): boolean => isWhole(dtype) || dtype === 'uint8' || dtype === 'bool';
const BIT_KINDS = 'int32, int64, uint8 or bool';

/** Bits of every dtype; those of bool are its truth values. */
function bitwise(name: string, bits: string, f: (a: bigint, b: bigint) => bigint): Binary {
  return defineBinary(`bitwise${name}`, {
    value: (a, b) => Number(f(BigInt(a), BigInt(b))),
    lower: (a, b, { write, dtype }) => write(dtype === 'bool' ? name : bits, [a, b]),
    fits: hasBits,
    kinds: BIT_KINDS,
  });
}

/** The bits set in both. */
export const bitwiseAnd: Binary = bitwise('And', 'BitwiseAnd', (a, b) => a & b);
/** The bits set in either. */
export const bitwiseOr: Binary = bitwise('Or', 'BitwiseOr', (a, b) => a | b);
/** The bits set in one and not in the other. */
export const bitwiseXor: Binary = bitwise('Xor', 'BitwiseXor', (a, b) => a ^ b);

const bitwiseNotOperation: Operation = {
  name: 'bitwiseNot',
  lower: ({ inputs }, emitter) => {
    const x = only(inputs);
    return emitter.emit(x.dtype === 'bool' ? 'Not' : 'BitwiseNot', [emitter.name(x)]);
  },
  fold: (inputs, attributes, outputs) => {
    const dtype = inputs[0]?.dtype;
    const inverse = (x: number): number => (dtype === 'bool' ? 1 - x : dtype === 'uint8' ? 255 - x : -1 - x);
    return foldEach(inverse)(inputs, attributes, outputs);
  },
};

/** Every bit the other way. */
export function bitwiseNot(x: Tensor): Tensor {
  if (!hasBits(x.dtype)) throw shapeError(`bitwiseNot takes ${BIT_KINDS} tensors, not ${x.dtype}; cast it first.`);
  return applyOne(bitwiseNotOperation, [x], {}, x);
}

const WIDTHS: Readonly<Partial<Record<DType, number>>> = { int32: 32, int64: 64, uint8: 8 };
/** ONNX's numbers of the unsigned dtypes, the only ones that its BitShift takes. */
const UNSIGNED: Readonly<Partial<Record<DType, number>>> = { int32: 12, int64: 13 };

/** `a` shifted by `count` bits of its width as an unsigned number; `count` must be below the width. */
function shiftUnsigned(a: string, count: string, { write, dtype }: Writing, direction: 'LEFT' | 'RIGHT'): string {
  const to = UNSIGNED[dtype];
  if (to === undefined) return write('BitShift', [a, count], { direction });
  const [bits, places] = [write('Cast', [a], { to }), write('Cast', [count], { to })];
  return write('Cast', [write('BitShift', [bits, places], { direction })], { to: { dtype } });
}

/** The count with `instead` in place of what is outside of the width, and where that is (undefined: nowhere). */
function countNodes(
  count: string,
  { write, dtype }: Writing,
  constant: number | undefined,
  instead: 'none' | 'all',
): { readonly count: string; readonly outside?: string } {
  const width = WIDTHS[dtype] ?? 0;
  if (constant !== undefined && constant >= 0 && constant < width) return { count };
  const outside = write('Or', [write('Less', [count, 0]), write('Greater', [count, width - 1])]);
  return { count: write('Where', [outside, instead === 'all' ? width - 1 : 0, count]), outside };
}

/** What a shift by `count` gives on the host. */
function shift(direction: 'LEFT' | 'RIGHT') {
  return (a: number, count: number, dtype: DType): number => {
    const width = WIDTHS[dtype] ?? 0;
    if (count < 0 || count >= width) return direction === 'RIGHT' && a < 0 ? -1 : 0;
    if (direction === 'RIGHT') return Number(BigInt(a) >> BigInt(count));
    const wide = BigInt(a) << BigInt(count);
    return Number(dtype === 'uint8' ? BigInt.asUintN(width, wide) : BigInt.asIntN(width, wide));
  };
}

/**
 * `a * 2 ** count` in the width of the dtype: zeros come in at the right, what leaves at the left is lost. A count below 0 or
 * from the width on leaves nothing. For int32, int64 and uint8.
 */
export const leftShift: Binary = defineBinary('leftShift', {
  value: shift('LEFT'),
  lower: (a, b, writing, constant) => {
    const { count, outside } = countNodes(b, writing, constant, 'none');
    const shifted = shiftUnsigned(a, count, writing, 'LEFT');
    return outside === undefined ? shifted : writing.write('Where', [outside, 0, shifted]);
  },
  fits: (dtype) => dtype in WIDTHS,
  kinds: 'int32, int64 or uint8',
});

/**
 * `floor(a / 2 ** count)`: copies of the sign come in at the left. A count below 0 or from the width on leaves only the
 * sign: 0 or -1. For int32, int64 and uint8.
 */
export const rightShift: Binary = defineBinary('rightShift', {
  value: shift('RIGHT'),
  lower: (a, b, writing, constant) => {
    const { write, dtype } = writing;
    const { count, outside } = countNodes(b, writing, constant, 'all');
    if (dtype === 'uint8') {
      const shifted = shiftUnsigned(a, count, writing, 'RIGHT');
      return outside === undefined ? shifted : write('Where', [outside, 0, shifted]);
    }
    // The bits of a negative number are turned over before and after, so that zeros come in as ones.
    const sign = write('Where', [write('Less', [a, 0]), -1, 0]);
    const shifted = shiftUnsigned(write('BitwiseXor', [a, sign]), count, writing, 'RIGHT');
    return write('BitwiseXor', [shifted, sign]);
  },
  fits: (dtype) => dtype in WIDTHS,
  kinds: 'int32, int64 or uint8',
});
