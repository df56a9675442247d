import { encodeWithSpecial, loadTokenizer } from 'tessera-kit/tokenizers';
import { get_encoding } from 'tiktoken';
import { afterAll, describe, expect, it } from 'vitest';
import { openEncoding } from './encodings.js';

const ours = openEncoding('cl100k_base');
const theirs = get_encoding('cl100k_base');
afterAll(() => theirs.free());

const END = '<|endoftext|>';
const FIM = '<|fim_prefix|>';
const text = `one${END} two ${FIM}${FIM}three`;

describe('special tokens in a text', () => {
  it.each([
    ['all', undefined],
    ['all', []],
    [[END], []],
    [[END], ['<|endofprompt|>']],
    [[FIM, END], undefined],
    [[], []],
  ] as const)('are what tiktoken makes of them: allowed %j, disallowed %j', (allowed, disallowed) => {
    const ids = encodeWithSpecial(ours, text, {
      allowedSpecial: allowed,
      ...(disallowed === undefined ? {} : { disallowedSpecial: disallowed }),
    });
    const expected = theirs.encode(text, allowed === 'all' ? 'all' : [...allowed], [...(disallowed ?? [])]);
    expect([...ids]).toEqual([...expected]);
    expect(ours.decode(ids)).toBe(text);
  });

  it('are refused unless they are allowed, the first one named', () => {
    expect(() => encodeWithSpecial(ours, text)).toThrow(`holds the special token "${END}" at 3`);
    expect(() => encodeWithSpecial(ours, text, { allowedSpecial: [END] })).toThrow(`"${FIM}" at 21`);
    expect(() => encodeWithSpecial(ours, text, { disallowedSpecial: [FIM] })).toThrow(`"${FIM}" at 21`);
    expect([...encodeWithSpecial(ours, 'plain <| text')]).toEqual([...theirs.encode('plain <| text')]);
  });

  it('must be tokens that there are', () => {
    expect(() => encodeWithSpecial(ours, 'a', { allowedSpecial: ['<|no|>'] })).toThrow('"<|no|>" is no special token');
  });

  it('stand inside what the post-processor puts around a text', () => {
    const [file] = ours.save();
    const json = JSON.parse(file?.text ?? '');
    json.post_processor = {
      type: 'TemplateProcessing',
      single: [
        { SpecialToken: { id: END, type_id: 0 } },
        { Sequence: { id: 'A', type_id: 0 } },
        { SpecialToken: { id: '<|endofprompt|>', type_id: 0 } },
      ],
      pair: [],
      special_tokens: {
        [END]: { id: END, ids: [100257], tokens: [END] },
        '<|endofprompt|>': { id: '<|endofprompt|>', ids: [100276], tokens: ['<|endofprompt|>'] },
      },
    };
    const framed = loadTokenizer(json);
    const ids = encodeWithSpecial(framed, `a${FIM}b${END}`, {
      allowedSpecial: [FIM],
      disallowedSpecial: [],
      addSpecialTokens: true,
    });
    expect([...ids]).toEqual([100257, ...ours.encode('a'), 100258, ...theirs.encode_ordinary(`b${END}`), 100276]);
  });
});
