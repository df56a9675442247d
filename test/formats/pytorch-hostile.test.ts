import fc from 'fast-check';
import { openPytorch } from 'tessera-kit/formats';
import { describe, expect, it } from 'vitest';
import { array, bytesOf } from '../../dist/tensor/ndarray.js';
import {
  call,
  checkpoint,
  type Described,
  dictionary,
  legacy,
  list,
  named,
  none,
  type Pickled,
  pickle,
  tensor,
  text,
  tuple,
  zip,
} from './pytorch-writer.js';

const floats = (...values: number[]): Uint8Array => bytesOf(array(values));
const vector = (more: Partial<Described> = {}, layout: 'zip' | 'legacy' = 'zip'): Pickled =>
  tensor({ storage: 'FloatStorage', key: '0', elements: 2, shape: [2], strides: [1], ...more }, layout);

describe('what would run code is refused by its name', () => {
  const system = named('posix', 'system');
  it.each<[string, Pickled, string]>([
    ['a call', call(named('os', 'system'), text('true')), 'os.system'],
    ['a call in a state dict', dictionary({ w: vector(), x: call(system, text('true')) }), 'posix.system'],
    ['a global from the stack', call(named('builtins', 'eval', 4), text('1')), 'builtins.eval'],
    ['a global without a call', dictionary({ w: vector(), x: named('builtins', 'exec') }), 'builtins.exec'],
    ['a new object', [...named('subprocess', 'Popen'), ...tuple(list()), 0x81], 'subprocess.Popen'],
    ['a name inside of an allowed module', named('torch', 'load'), 'torch.load'],
    ['a name with dots', named('collections', 'OrderedDict.fromkeys', 4), 'collections.OrderedDict.fromkeys'],
    ['a name of objects', named('__proto__', 'toString'), '__proto__.toString'],
    ['a name that is no own property', named('constructor', 'x'), 'constructor.x'],
    [
      'a storage that is thrown away',
      [...call(system, text('true')), 0x30, ...dictionary({ w: vector() })],
      'posix.system',
    ],
    ['a NumPy number', call(named('numpy.core.multiarray', 'scalar'), text('f8')), 'numpy.core.multiarray.scalar'],
  ])('%s', async (_, value, name) => {
    await expect(openPytorch(checkpoint(value, { 0: floats(1, 2) }))).rejects.toMatchObject({
      code: 'bad-file',
      message: `The checkpoint given holds a \`${name}\`, which is no tensor; it was not read.`,
    });
  });

  it.each(['_rebuild_sparse_tensor', '_rebuild_qtensor'])('%s, as a kind of tensor that is not read', async (name) => {
    const value = dictionary({ w: named('torch._utils', name) });
    await expect(openPytorch(checkpoint(value))).rejects.toMatchObject({ code: 'unsupported' });
  });

  it('in the older layout too', async () => {
    const file = legacy(call(named('os', 'system'), text('true')), {});
    await expect(openPytorch(file)).rejects.toThrow('`os.system`');
  });
});

describe('a pickle that breaks the rules', () => {
  const many = (count: number, ...bytes: number[]): number[] => new Array<number[]>(count).fill(bytes).flat();
  // A list of two references to the one before, sixty times: 2^60 ways to nothing.
  const doubled = Array.from({ length: 60 }, (_, i) => [0x5d, 0x28, 0x68, i, 0x68, i, 0x65, 0x71, i + 1, 0x30]);
  const bomb = [0x5d, 0x71, 0, 0x30, ...doubled.flat(), 0x68, 60];
  it.each<[string, Pickled, string]>([
    ['calls what is no function', [...text('system'), ...tuple(), 0x52], 'a call of what is no function'],
    ['calls a type of numbers', call(named('torch', 'float32')), 'calls `torch.float32` with what it does not take'],
    ['calls with no tuple', [...named('torch', 'Size'), ...list(), 0x52], 'a call without its arguments'],
    ['makes a tensor of text', call(named('torch._utils', '_rebuild_tensor_v2'), text('a')), 'what it does not take'],
    ['makes a parameter of text', call(named('torch._utils', '_rebuild_parameter'), text('a')), 'does not take'],
    ['makes a size of text', call(named('torch', 'Size'), text('ab')), 'does not take'],
    ['sets attributes of a tensor', [...vector(), ...dictionary({}), 0x62], 'attributes of what can have none'],
    ['names a storage by text', [...text('0'), 0x51], 'a storage in a way that is not known'],
    ['multiplies without end', bomb, 'so often that it holds no end of values'],
    ['nests without end', [...many(50_000, 0x5d), ...vector(), ...many(50_000, 0x61)], 'nests more than 64 deep'],
    ['goes in a circle', [0x5d, 0x71, 0, 0x68, 0, 0x61], 'nests more than 64 deep'],
    ['lies of a text', [0x58, 0xff, 0xff, 0xff, 0xff, 0x61], 'ends inside of its pickle, where 4294967295 bytes'],
    ['lies of bytes', [0x8e, 0, 0, 0, 0, 0, 0, 1, 0], 'ends inside of its pickle'],
    ['lies beyond numbers', [0x8e, ...many(8, 0xff)], 'a length of 18446744073709551615'],
    ['has an integer of two gigabytes', [0x8b, 0, 0, 0, 0x80], 'an integer of 2147483648 bytes'],
    ['takes from an empty stack', [0x61], 'an operation without its operand'],
    ['takes past a mark', [...list(), 0x28, 0x61], 'an operation without its operand'],
    ['closes what was not opened', [0x74], 'an operation without its mark'],
    ['leaves values', [...none, ...none], 'values left over'],
    ['asks an empty memo', [0x68, 7], 'entry 7 of the memo'],
    ['appends to a number', [0x4b, 1, ...none, 0x61], 'elements of a list that is none'],
    ['sets entries of a list', [...list(), ...none, ...none, 0x73], 'entries of a dictionary that is none'],
    ['has a key without a value', [0x7d, 0x28, ...none, 0x75], 'a key without a value'],
    ['instantiates', [0x28, 0x69, ...new TextEncoder().encode('os\nsystem\n')], 'the operation 0x69'],
    ['uses an extension', [0x82, 1], 'the operation 0x82'],
    ['asks for a buffer', [0x97], 'the operation 0x97'],
    ['has no protocol that is known', [0x80, 9], 'a protocol above 5'],
  ])('%s', async (_, value, says) => {
    await expect(openPytorch(checkpoint(value, { 0: floats(1, 2) }))).rejects.toMatchObject({
      name: 'TesseraError',
      code: 'bad-file',
      message: expect.stringContaining(says),
    });
  });
});

describe('a tensor that lies is named', () => {
  const open = (more: Partial<Described>, bytes = floats(1, 2)) =>
    openPytorch(checkpoint(dictionary({ 'layer.w': vector(more) }), { 0: bytes }));
  it.each<[string, Partial<Described>, string]>([
    ['beyond its storage', { offset: 1 }, 'reaches element 2 of its storage, which has 2'],
    ['by its strides', { strides: [2] }, 'reaches element 2'],
    ['by its shape', { shape: [2, 2 ** 40], strides: [1, 1] }, 'reaches element'],
    ['by repeating', { shape: [2 ** 40], strides: [0] }, 'made of 2 elements'],
    ['by repeating beyond numbers', { shape: [2 ** 40, 2 ** 40, 2 ** 40], strides: [0, 0, 0] }, 'made of 2 elements'],
    ['of its storage', { elements: 3 }, 'needs 12 bytes of storage 0, which has 8'],
    ['of its place', { key: '7' }, 'is in storage 7, which is not there'],
    ['of a way out', { key: '../version' }, 'is in storage ../version, which is not there'],
  ])('%s', async (_, more, says) => {
    await expect(open(more)).rejects.toMatchObject({ code: 'bad-file', message: expect.stringContaining(says) });
    await expect(open(more)).rejects.toThrow("Tensor 'layer.w'");
  });

  it('of two minds on one storage', async () => {
    const value = dictionary({ a: vector(), b: vector({ storage: 'IntStorage' }) });
    await expect(openPytorch(checkpoint(value, { 0: floats(1, 2) }))).rejects.toThrow('storage 0 in two ways');
  });

  it('in the older layout: a storage of another length, or of no tensor', async () => {
    const value = dictionary({ w: vector({}, 'legacy') });
    const file = (key: string, bytes: Uint8Array) => openPytorch(legacy(value, { [key]: { bytes, width: 4 } }));
    await expect(file('0', floats(1, 2, 3))).rejects.toThrow('3 elements and should have 2');
    await expect(file('1', floats(1, 2))).rejects.toThrow('storage 1, which no tensor uses');
  });
});

describe('an archive that lies', () => {
  const data = pickle(dictionary({ w: vector() }));
  const description = { name: 'a/data.pkl', bytes: data };
  const storage = { name: 'a/data/0', bytes: floats(1, 2) };
  it.each<[string, Uint8Array, string]>([
    [
      'of a stored size',
      zip([{ ...description, size: 5000 }, storage]),
      'has 91 bytes and should have 5000'.replace('91', String(data.length)),
    ],
    ['of what it unpacks to', zip([{ ...description, deflate: true, size: 5 }, storage]), 'unpacks to more than the 5'],
    ['beyond deflate', zip([{ ...description, deflate: true, size: 2 ** 31 }, storage]), 'cannot unpack from'],
    ['in a method', zip([{ ...description, method: 12 }, storage]), 'packed by method 12'],
    ['by encryption', zip([{ ...description, flags: 1 }, storage]), 'is encrypted'],
    ['with two of a name', zip([description, description]), 'twice'],
    ['in what is no deflate', zip([{ ...description, method: 8 }, storage]), 'does not unpack'],
  ])('%s', async (_, bytes, says) => {
    await expect(openPytorch(bytes)).rejects.toMatchObject({
      code: 'bad-file',
      message: expect.stringContaining(says),
    });
  });

  it('is read with a comment at its end, whatever that holds', async () => {
    const file = await openPytorch(zip([description, storage], { comment: 'PK\u0005\u0006 and much more than that' }));
    expect([...(await file.read('w')).data]).toEqual([1, 2]);
  });
});

describe('damage', () => {
  const value = dictionary({ w: vector(), b: vector({ key: '1', elements: 1, shape: [], strides: [] }) });
  const old = dictionary({
    w: vector({}, 'legacy'),
    b: vector({ key: '1', elements: 1, shape: [], strides: [] }, 'legacy'),
  });
  const files: readonly (readonly [string, Uint8Array])[] = [
    ['stored', checkpoint(value, { 0: floats(1, 2), 1: floats(3) })],
    ['deflated', checkpoint(value, { 0: floats(1, 2), 1: floats(3) }, { deflate: true })],
    ['64-bit', checkpoint(value, { 0: floats(1, 2), 1: floats(3) }, { wide: true })],
    ['older', legacy(old, { 0: { bytes: floats(1, 2), width: 4 }, 1: { bytes: floats(3), width: 4 } })],
  ];

  it.each(files)('never passes: any cut of a %s file is refused', async (_, whole) => {
    for (let length = 0; length < whole.length; length++) {
      await expect(openPytorch(whole.subarray(0, length)), `${length}`).rejects.toMatchObject({ code: 'bad-file' });
    }
  });

  it.each(files)('gives whole tensors or a sentence: any changed byte of a %s file', async (_, whole) => {
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), async (at, byte) => {
        const changed = whole.slice();
        changed[at] = byte;
        try {
          const file = await openPytorch(changed);
          for (const name of file.names) expect((await file.readRaw(name)).length).toBe(file.tensor(name).bytes);
        } catch (error) {
          expect(error).toMatchObject({ name: 'TesseraError' });
        }
      }),
      { numRuns: 400 },
    );
  });
});
