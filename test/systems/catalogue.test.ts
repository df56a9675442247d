/** The catalogue's lists: systems by slug, data sets, names that are mistyped. */

import { SYSTEMS, systemOf, systemsByFamily } from 'tessera-kit/systems';
import { describe, expect, it } from 'vitest';
import { distance, nearest } from '../../dist/text/nearest.js';
import { tinyEntry } from './tiny.mjs';

describe('a name that is not in a list', () => {
  const names = ['tokenformer', 'lexinvariant', 'h-net', 'm2-bert', 'stochastok'];
  it.each([
    ['tokenfromer', 'tokenformer'],
    ['TokenFormer', 'tokenformer'],
    ['hnet', 'h-net'],
    ['lex', 'lexinvariant'],
    ['m2bert', 'm2-bert'],
    ['h-ent', 'h-net'],
    ['stochastic', 'stochastok'],
  ])('%s is near %s', (wrong, right) => expect(nearest(wrong, names)).toBe(right));
  it.each(['', '-', 'gpt', 'xylophone', 'to'])('"%s" is near none', (wrong) =>
    expect(nearest(wrong, names)).toBe(undefined),
  );
  it('counts edits, a swap of neighbors as one', () => {
    expect(distance('kitten', 'sitting')).toBe(3);
    expect(distance('token', 'toekn')).toBe(1);
    expect(distance('', 'abc')).toBe(3);
    expect(distance('abc', 'abc')).toBe(0);
  });
  it('is told of with the nearest', () => {
    const list = names.map((slug) => ({ ...tinyEntry(), slug }));
    expect(systemOf('h-net', list).slug).toBe('h-net');
    expect(() => systemOf('toknformer', list)).toThrow(
      expect.objectContaining({
        code: 'not-found',
        message: 'There is no system "toknformer".',
        hint: 'Did you mean tokenformer? `tessera systems` lists all.',
      }),
    );
  });
});

describe('the systems', () => {
  it('are listed once each, in families that stay together', () => {
    const slugs = SYSTEMS.map(({ slug }) => slug);
    expect(new Set(slugs).size).toBe(slugs.length);
    const entries = ['a', 'b', 'a'].map((family, index) => ({ ...tinyEntry(), family, slug: `s${index}` }));
    const families = [...systemsByFamily(entries)].map(([family, list]) => [family, list.map(({ slug }) => slug)]);
    expect(families).toEqual([
      ['a', ['s0', 's2']],
      ['b', ['s1']],
    ]);
  });
  it('say in full what they said in the list', async () => {
    for (const entry of [tinyEntry(), ...SYSTEMS]) {
      const { slug, name, family, gives, claim, library, command, limits, paper } = await entry.load();
      expect({ slug, name, family, gives }).toEqual({
        slug: entry.slug,
        name: entry.name,
        family: entry.family,
        gives: entry.gives,
      });
      for (const text of [claim, library, command, paper.title, ...limits]) expect(text.trim()).not.toBe('');
      expect(slug).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
    }
  });
});
