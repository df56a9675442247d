import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
  float64ToBfloat16,
  float64ToFloat16,
} from '../../dist/formats/half.js';

const everything = Uint16Array.from({ length: 65536 }, (_, i) => i);

/** What 16 bits of sign, exponent and fraction mean, by the standard's formula. */
function meaning(bits: number, exponentBits: number): number {
  const fractionBits = 15 - exponentBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits & 0x7fff) >> fractionBits;
  const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

describe.each([
  {
    name: 'binary16',
    exponentBits: 5,
    widen: float16ToFloat32,
    narrow: float32ToFloat16,
    narrowDouble: float64ToFloat16,
  },
  {
    name: 'bfloat16',
    exponentBits: 8,
    widen: bfloat16ToFloat32,
    narrow: float32ToBfloat16,
    narrowDouble: float64ToBfloat16,
  },
])('$name', ({ exponentBits, widen, narrow, narrowDouble }) => {
  it('widens all 65,536 values exactly', () => {
    const wide = widen(everything);
    const wrong = everything.filter((bits) => !Object.is(wide[bits], Math.fround(meaning(bits, exponentBits))));
    expect([...wrong]).toEqual([]);
  });

  it('narrows every value back to itself, NaN made quiet', () => {
    const quiet = 1 << (14 - exponentBits);
    const back = narrow(widen(everything));
    const wrong = everything.filter((bits) => back[bits] !== bits && back[bits] !== (bits | quiet));
    expect([...wrong]).toEqual([]);
    expect([...narrow(Float32Array.of(Number.NaN))].map((bits) => meaning(bits, exponentBits))).toEqual([Number.NaN]);
  });

  it('rounds to nearest, ties to even, from float32 and once from float64', () => {
    const finite = [...everything.subarray(0, 0x7fff)].filter((bits) => Number.isFinite(meaning(bits, exponentBits)));
    const nextUp = (value: number): number => value + Math.max(Math.abs(value) * 2 ** -52, Number.MIN_VALUE);
    for (const bits of finite.slice(0, -1)) {
      const low = meaning(bits, exponentBits);
      const tie = (low + meaning(bits + 1, exponentBits)) / 2;
      const even = bits % 2 === 0 ? bits : bits + 1;
      const got = [...narrowDouble(Float64Array.of(tie, nextUp(tie), tie - (nextUp(tie) - tie), -tie))];
      if (got.join() !== [even, bits + 1, bits, even | 0x8000].join()) expect.fail(`${bits}: ${got}`);
      if (Math.fround(tie) === tie && narrow(Float32Array.of(tie))[0] !== even) expect.fail(`float32 ${bits}`);
    }
  });

  it('agrees with a search for the nearest value', () => {
    const positive = [...everything.subarray(0, 0x8000)].filter((bits) => Number.isFinite(meaning(bits, exponentBits)));
    const values = positive.map((bits) => meaning(bits, exponentBits));
    const largest = values.at(-1) ?? 0;
    fc.assert(
      fc.property(fc.float({ min: 0, max: Math.fround(largest), noNaN: true }), (value) => {
        let low = 0;
        for (let step = 1 << 15; step >= 1; step >>= 1) {
          if (low + step < values.length && (values[low + step] ?? 0) <= value) low += step;
        }
        const below = value - (values[low] ?? 0);
        const above = (values[low + 1] ?? Number.POSITIVE_INFINITY) - value;
        const nearest = below < above || (below === above && low % 2 === 0) ? low : low + 1;
        expect(narrow(Float32Array.of(value))[0]).toBe(nearest);
      }),
    );
  });
});

it('overflows binary16 from 65520 on', () => {
  expect([...float32ToFloat16(Float32Array.of(65504, 65519.996, 65520, -1e30))]).toEqual([
    0x7bff, 0x7bff, 0x7c00, 0xfc00,
  ]);
  expect([...float64ToFloat16(Float64Array.of(1e300, -65519.9999))]).toEqual([0x7c00, 0xfbff]);
});
