/**
 * The two 16-bit floats on the host: IEEE 754 binary16 and bfloat16 (the upper half of a float32), as raw
 * bits. Widening is exact, NaN payloads included; narrowing rounds to nearest, ties to even, once, and
 * overflows to infinity.
 */

const scratch = new DataView(new ArrayBuffer(4));
let widened: Uint32Array | undefined;

/** binary16 bits to float32: exact. */
export function float16ToFloat32(bits: Uint16Array): Float32Array {
  widened ??= Uint32Array.from({ length: 65536 }, (_, half) => widenFloat16(half));
  const out = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = widened[bits[i] as number] as number;
  return new Float32Array(out.buffer);
}

/** float32 to binary16 bits, rounded to nearest even; magnitudes of 65520 and more become infinite. */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = narrowToFloat16(bits[i] as number);
  return out;
}

/** bfloat16 bits to float32: exact. */
export function bfloat16ToFloat32(bits: Uint16Array): Float32Array {
  const out = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = (bits[i] as number) << 16;
  return new Float32Array(out.buffer);
}

/** float32 to bfloat16 bits, rounded to nearest even. */
export function float32ToBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = narrowToBfloat16(bits[i] as number);
  return out;
}

/** float64 to binary16 bits, rounded once (going through float32 would round twice). */
export function float64ToFloat16(values: Float64Array): Uint16Array {
  return Uint16Array.from(values, (value) => narrowToFloat16(float32BitsToOdd(value)));
}

/** float64 to bfloat16 bits, rounded once. */
export function float64ToBfloat16(values: Float64Array): Uint16Array {
  return Uint16Array.from(values, (value) => narrowToBfloat16(float32BitsToOdd(value)));
}

function widenFloat16(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 31) return (sign | 0x7f800000 | (fraction << 13)) >>> 0;
  if (exponent > 0) return (sign | ((exponent + 112) << 23) | (fraction << 13)) >>> 0;
  if (fraction === 0) return sign >>> 0;
  // Subnormal: shift the leading one into place; every binary16 is a normal float32.
  const shift = Math.clz32(fraction) - 21;
  return (sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13)) >>> 0;
}

function narrowToFloat16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff); // NaN, made quiet
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520 is the tie between the largest number and 65536
  if (magnitude < 0x33000000) return sign; // below half of the smallest subnormal, 2^-25
  if (magnitude >= 0x38800000) return sign | roundOff(magnitude - 0x38000000, 13);
  return sign | roundOff((magnitude & 0x7fffff) | 0x800000, 126 - (magnitude >>> 23));
}

function narrowToBfloat16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40; // NaN, made quiet
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** `value` without its lowest `count` bits, rounded to nearest even; a carry into the exponent is as it must be. */
function roundOff(value: number, count: number): number {
  const kept = value >>> count;
  const rest = value & ((1 << count) - 1);
  const tie = 1 << (count - 1);
  return rest > tie || (rest === tie && (kept & 1) === 1) ? kept + 1 : kept;
}

/** float32 bits of a double, rounded to odd: a second rounding then sees which side of a tie the double was on. */
function float32BitsToOdd(value: number): number {
  const nearest = Math.fround(value);
  scratch.setFloat32(0, nearest);
  const bits = scratch.getUint32(0);
  if (nearest === value || Number.isNaN(value) || (bits & 1) === 1) return bits;
  return Math.abs(nearest) > Math.abs(value) ? bits - 1 : bits + 1;
}
