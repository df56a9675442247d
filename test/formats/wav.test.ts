import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { encodeWav, mixToMono, openWav, readWav, resampleSound, type WavEncoding, writeWav } from 'tessera-kit/formats';
import { array, type NDArray, TesseraError } from 'tessera-kit/tensor';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-wav-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const ENCODINGS: readonly WavEncoding[] = ['pcm8', 'pcm16', 'pcm24', 'pcm32', 'float32', 'float64'];
const STEPS: Readonly<Record<WavEncoding, number>> = {
  pcm8: 2 ** -7,
  pcm16: 2 ** -15,
  pcm24: 2 ** -23,
  pcm32: 2 ** -31,
  float32: 0,
  float64: 0,
};

const sound = fc
  .record({ channels: fc.integer({ min: 1, max: 4 }), frames: fc.integer({ min: 0, max: 40 }) })
  .chain(({ channels, frames }) =>
    fc
      .array(fc.double({ min: -1, max: 1, noNaN: true }), {
        minLength: channels * frames,
        maxLength: channels * frames,
      })
      .map((values) => array(values, [channels, frames])),
  );

describe('samples', () => {
  it.each(ENCODINGS)('come back from %s within half a step, and exactly the second time', async (encoding) => {
    await fc.assert(
      fc.asyncProperty(sound, fc.integer({ min: 1, max: 400_000 }), async (samples, sampleRate) => {
        const once = await readWav(encodeWav(samples, { sampleRate, encoding }));
        expect(once.sampleRate).toBe(sampleRate);
        expect(once.samples.shape).toEqual(samples.shape);
        for (const [i, value] of once.samples.data.entries()) {
          const wanted = samples.data[i] ?? 0;
          const top = encoding.startsWith('pcm') ? 1 - STEPS[encoding] : 1;
          expect(Math.abs(value - Math.min(wanted, top))).toBeLessThanOrEqual(STEPS[encoding] / 2 + 2 ** -24);
        }
        const twice = await readWav(encodeWav(once.samples, { sampleRate, encoding }));
        expect([...twice.samples.data]).toEqual([...once.samples.data]);
      }),
      { numRuns: 30 },
    );
  });

  it('of integers are clipped, and of floats kept', async () => {
    const loud = array([2, -3, 0.5, Number.NaN]);
    const clipped = await readWav(encodeWav(loud, { sampleRate: 8000 }));
    expect([...clipped.samples.data]).toEqual([1 - 2 ** -15, -1, 0.5, 0]);
    const kept = await readWav(encodeWav(loud, { sampleRate: 8000, encoding: 'float32' }));
    expect([...kept.samples.data]).toEqual([2, -3, 0.5, Number.NaN]);
  });

  it('are known bytes: mono, 16 bits, 8 kHz', () => {
    const bytes = Buffer.from(encodeWav(array([0, 0.5, -1]), { sampleRate: 8000 }));
    const header =
      '52494646 2a000000 57415645 666d7420 10000000 0100 0100 401f0000 803e0000 0200 1000 64617461 06000000';
    expect(bytes.toString('hex')).toBe(`${header} 0000 0040 0080`.replaceAll(' ', ''));
  });

  it('are read at any place and by pieces of any size, alike', async () => {
    const samples = array(
      Array.from({ length: 3000 }, (_, i) => Math.sin(i) / 2),
      [2, 1500],
    );
    const path = join(folder, 'a.wav');
    await writeWav(path, samples, { sampleRate: 16_000, encoding: 'float32' });
    const wav = await openWav(path);
    try {
      expect(wav).toMatchObject({
        channels: 2,
        frames: 1500,
        sampleRate: 16_000,
        encoding: 'float32',
        seconds: 1500 / 16_000,
      });
      const part = await wav.read(100, 103);
      expect([...part.data]).toEqual([...samples.data.slice(100, 103), ...samples.data.slice(1600, 1603)]);
      const gathered: number[] = [];
      for await (const piece of wav.pieces({ frames: 7 })) gathered.push(...piece.data.slice(0, piece.shape[1]));
      expect(gathered).toEqual([...samples.data.slice(0, 1500)]);
      await expect(wav.read(0, 1501)).rejects.toMatchObject({ code: 'bad-option' });
    } finally {
      await wav.close();
    }
  });

  it('are written by pieces as they are at once; a wrong number of them leaves no file', async () => {
    const samples = array(
      Array.from({ length: 999 }, (_, i) => (i - 500) / 500),
      [3, 333],
    );
    function* pieces(): Generator<NDArray<'float32'>> {
      for (let from = 0; from < 333; from += 100) {
        const to = Math.min(333, from + 100);
        const rows = [0, 1, 2].flatMap((channel) => [...samples.data.slice(channel * 333 + from, channel * 333 + to)]);
        yield array(rows, [3, to - from]);
      }
    }
    const options = { sampleRate: 22_050, encoding: 'pcm24' } as const;
    await writeWav(join(folder, 'a.wav'), { channels: 3, frames: 333, pieces: pieces() }, options);
    expect([...(await readFile(join(folder, 'a.wav')))]).toEqual([...encodeWav(samples, options)]);
    for (const frames of [300, 400]) {
      const written = writeWav(join(folder, 'b.wav'), { channels: 3, frames, pieces: pieces() }, options);
      await expect(written).rejects.toMatchObject({ code: 'bad-shape' });
    }
    expect(await readdir(folder)).toEqual(['a.wav']);
  });
});

/** A file of chunks by name; `form` is RIFF or RF64. */
function chunks(parts: readonly (readonly [string, Uint8Array, number?])[], form = 'RIFF'): Uint8Array {
  const bodies = parts.flatMap(([id, bytes, told = bytes.length]) => {
    const head = Buffer.alloc(8);
    head.write(id, 'latin1');
    head.writeUInt32LE(told, 4);
    return [head, bytes, new Uint8Array(bytes.length % 2)];
  });
  const body = Buffer.concat([Buffer.from('WAVE'), ...bodies]);
  const head = Buffer.alloc(8);
  head.write(form, 'latin1');
  head.writeUInt32LE(form === 'RF64' ? 0xffffffff : body.length, 4);
  return new Uint8Array(Buffer.concat([head, body]));
}

function format(tag: number, channels: number, rate: number, align: number, bits: number): Uint8Array {
  const bytes = Buffer.alloc(16);
  for (const [at, value] of [
    [0, tag],
    [2, channels],
    [12, align],
    [14, bits],
  ] as const)
    bytes.writeUInt16LE(value, at);
  bytes.writeUInt32LE(rate, 4);
  bytes.writeUInt32LE(rate * align, 8);
  return new Uint8Array(bytes);
}

const mono = format(1, 1, 8000, 2, 16);
const three = Uint8Array.of(0, 0, 0, 64, 0, 128);

describe('a file', () => {
  it('may hold other chunks of odd sizes, and texts', async () => {
    const info = new Uint8Array(
      Buffer.concat([Buffer.from('INFOINAM'), Uint8Array.of(3, 0, 0, 0), Buffer.from('Hi\0\0')]),
    );
    const wav = await openWav(
      chunks([
        ['JUNK', new Uint8Array(3)],
        ['fmt ', mono],
        ['LIST', info],
        ['data', three],
        ['x   ', new Uint8Array(1)],
      ]),
    );
    expect(wav.tags).toEqual({ INAM: 'Hi' });
    expect([...(await wav.read()).data]).toEqual([0, 0.5, -1]);
  });

  it.each([[0xffffffff], [0]])('of a stream whose size was never written (%i) goes on to its end', async (told) => {
    const { samples } = await readWav(
      chunks([
        ['fmt ', mono],
        ['data', three, told],
      ]),
    );
    expect(samples.data.length).toBe(3);
  });

  it('of no samples has none', async () => {
    const { samples } = await readWav(
      chunks([
        ['fmt ', mono],
        ['data', new Uint8Array(0)],
      ]),
    );
    expect(samples.shape).toEqual([1, 0]);
  });

  it('of RF64 has its size in ds64', async () => {
    const sizes = Buffer.alloc(28);
    sizes.writeBigUInt64LE(6n, 8);
    const bytes = chunks(
      [
        ['ds64', new Uint8Array(sizes)],
        ['fmt ', mono],
        ['data', three, 0xffffffff],
      ],
      'RF64',
    );
    // What follows the samples is not taken for samples.
    expect((await readWav(new Uint8Array([...bytes, 0, 0, 0, 0]))).samples.data.length).toBe(3);
  });

  it.each([
    [
      'cut short',
      chunks([
        ['fmt ', mono],
        ['data', three, 1000],
      ]),
      'bad-file',
      'its data chunk should have 1000 bytes and has 6',
    ],
    [
      'of half a sample',
      chunks([
        ['fmt ', mono],
        ['data', three.slice(0, 5)],
      ]),
      'bad-file',
      'its 5 bytes of samples are no whole number of 2',
    ],
    [
      'of wrong blocks',
      chunks([
        ['fmt ', format(1, 2, 8000, 2, 16)],
        ['data', three],
      ]),
      'bad-file',
      'its blocks are said to be 2 bytes, and 2 channels of 16 bits take 4',
    ],
    ['without a format', chunks([['data', three]]), 'bad-file', 'it has no fmt chunk'],
    ['without samples', chunks([['fmt ', mono]]), 'bad-file', 'it has no data chunk'],
    [
      'of a short format',
      chunks([
        ['fmt ', mono.slice(0, 8)],
        ['data', three],
      ]),
      'bad-file',
      'its fmt chunk has 8 bytes',
    ],
    [
      'of no channels',
      chunks([
        ['fmt ', format(1, 0, 8000, 0, 16)],
        ['data', three],
      ]),
      'bad-file',
      '0 channels',
    ],
    [
      'of mu-law',
      chunks([
        ['fmt ', format(7, 1, 8000, 1, 8)],
        ['data', three],
      ]),
      'unsupported',
      'is a WAV file of mu-law',
    ],
    [
      'of 12 bits',
      chunks([
        ['fmt ', format(1, 1, 8000, 2, 12)],
        ['data', three],
      ]),
      'unsupported',
      'integers of 12 bits',
    ],
    ['of FLAC', new TextEncoder().encode('fLaC and more than that'), 'bad-file', 'it is FLAC'],
    ['of nothing', new Uint8Array(0), 'bad-file', 'it has 0 bytes'],
  ] as const)('%s is refused with a sentence', async (_, bytes, code, says) => {
    await expect(openWav(bytes)).rejects.toMatchObject({ code, message: expect.stringContaining(says) });
  });

  it('with any byte changed opens or is refused by a TesseraError', async () => {
    const whole = encodeWav(array([0, 0.5, -1, 1], [2, 2]), { sampleRate: 8000, encoding: 'pcm24' });
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), async (place, value) => {
        const bytes = whole.slice();
        bytes[place] = value;
        const read = await readWav(bytes).catch((error: Error) => error);
        if (read instanceof Error) expect(read).toBeInstanceOf(TesseraError);
      }),
      { numRuns: 500 },
    );
  });
});

/** A tone of `frequency` at `rate`, for `seconds`. */
function tone(frequency: number, rate: number, seconds = 0.25): NDArray<'float32'> {
  const length = Math.round(rate * seconds);
  return array(
    Array.from({ length }, (_, i) => Math.sin((2 * Math.PI * frequency * i) / rate)),
    [1, length],
  );
}

/** The largest difference, away from the ends. */
function difference(a: NDArray, b: NDArray): number {
  const edge = Math.floor(a.data.length / 4);
  let most = 0;
  for (let i = edge; i < a.data.length - edge; i++)
    most = Math.max(most, Math.abs(Number(a.data[i]) - Number(b.data[i])));
  return most;
}

describe('resampling', () => {
  it.each([
    [44_100, 48_000],
    [48_000, 44_100],
    [44_100, 16_000],
    [8000, 16_000],
    [16_000, 15_999],
  ])('from %i to %i keeps the tones that both rates have, as well as is said', (from, to) => {
    for (const part of [0.05, 0.5, 0.85]) {
      const frequency = (part * Math.min(from, to)) / 2;
      const wanted = tone(frequency, to);
      expect(difference(resampleSound(tone(frequency, from), from, to), wanted)).toBeLessThan(1e-4);
    }
    const low = tone(0.5 * (Math.min(from, to) / 2), from);
    const wanted = tone(0.5 * (Math.min(from, to) / 2), to);
    expect(difference(resampleSound(low, from, to, { quality: 'fast' }), wanted)).toBeLessThan(1e-3);
  });

  it.each([
    ['high', 1e-5],
    ['fast', 1e-4],
  ] as const)('of quality %s damps what would fold back below %f', (quality, most) => {
    for (const frequency of [4400, 5000, 7000]) {
      const folded = resampleSound(tone(frequency + (quality === 'fast' ? 400 : 0), 44_100, 0.5), 44_100, 8000, {
        quality,
      });
      expect(difference(folded, { ...folded, data: new Float32Array(folded.data.length) })).toBeLessThan(most);
    }
  });

  it('lets a constant through, keeps the start in place, and gives as many samples as the time takes', () => {
    const constant = { dtype: 'float32', shape: [2, 1000], data: new Float32Array(2000).fill(0.25) } as const;
    const out = resampleSound(constant, 3, 7);
    expect(out.shape).toEqual([2, Math.ceil(7000 / 3)]);
    for (const value of out.data.slice(1000, 1300)) expect(value).toBeCloseTo(0.25, 6);
    const click = array([1, ...new Array<number>(500).fill(0)], [1, 501]);
    const doubled = resampleSound(click, 1, 2).data;
    expect(doubled.indexOf(Math.max(...doubled))).toBe(0);
    expect(() => resampleSound(click, 0, 8000)).toThrow(TesseraError);
  });

  it('mixes channels to their mean', () => {
    expect([...mixToMono(array([1, 0, 0.5, 1], [2, 2])).data]).toEqual([0.75, 0.5]);
  });
});

const recordings = join(process.env.TESSERA_DATA ?? 'data', 'fsdd');
it.skipIf(!existsSync(recordings))(
  'the recordings of the Free Spoken Digit Dataset are mono at 8 kHz (skipped without fsdd)',
  async () => {
    const names = readdirSync(recordings)
      .filter((name) => name.endsWith('.wav'))
      .slice(0, 40);
    for (const name of names) {
      const { samples, sampleRate } = await readWav(join(recordings, name));
      expect([sampleRate, samples.shape[0]]).toEqual([8000, 1]);
      const bytes = await readFile(join(recordings, name));
      const again = encodeWav(samples, { sampleRate });
      expect(Buffer.from(again.slice(44)).equals(bytes.subarray(bytes.length - (again.length - 44)))).toBe(true);
    }
    expect(names.length).toBeGreaterThan(0);
  },
);
