/** Folders of exported programs for the tests: a small gpt, with what the library itself says of it. */

import { cachedDecoderRoles, type Gpt, gpt, hiddenStates, logitsOf, writePrograms } from 'tessera-kit/language-models';
import { type CachedModel, exportCachedDecoder, frozen } from 'tessera-kit/nn';
import { mapArrays, random } from 'tessera-kit/tensor';
import { byteTokenizer } from 'tessera-kit/tokenizers';

export const tokenizer = byteTokenizer();

/** A gpt with weights so large that every path matters. */
export function strongGpt(settings: Partial<Parameters<typeof gpt>[0]> = {}) {
  const model = gpt({
    style: 'llama',
    layers: 2,
    width: 24,
    heads: 6,
    kvHeads: 2,
    head: 4,
    context: 16,
    tokenizer,
    ...settings,
  });
  const parameters = mapArrays(model.init(random(7)), (leaf, path) => {
    const noise = random(3).child(path).normal(leaf.shape, 0.25);
    return { ...noise, data: noise.data.map((value, i) => value + Number(leaf.data[i])) };
  });
  return { model, parameters };
}

/** The decoder of a gpt as `exportCachedDecoder` takes it. */
export function cachedModel(
  { architecture }: Gpt,
  parameters: ReturnType<typeof strongGpt>['parameters'],
): CachedModel {
  const weights = frozen<Parameters<typeof logitsOf>[0]>(parameters);
  return {
    ...architecture,
    weights: 0,
    hidden: (ids, context, _extra, call) => hiddenStates(architecture, weights, ids, context, call),
    logits: (hidden, _extra, call) => logitsOf(weights, hidden, call),
  };
}

/** Writes the decode program of a gpt and its description. */
export async function writeGptPrograms(folder: string, { model, parameters }: ReturnType<typeof strongGpt>) {
  const lowered = exportCachedDecoder(cachedModel(model, parameters));
  const { context, vocabulary, endOfText } = model.architecture;
  return writePrograms(
    folder,
    { system: 'gpt', loop: 'next-token', context, vocabulary, endOfText },
    { decode: { lowered, about: 'new tokens to logits', roles: cachedDecoderRoles(lowered) } },
  );
}

/** The bytes of each row of a generation. */
export async function rowsOf(
  pieces: AsyncIterable<{ readonly row: number; readonly bytes: Uint8Array }>,
  rows: number,
): Promise<number[][]> {
  const made: number[][] = Array.from({ length: rows }, () => []);
  for await (const { row, bytes } of pieces) made[row]?.push(...bytes);
  return made;
}
