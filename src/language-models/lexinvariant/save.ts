/** A lexinvariant model written as a folder: the body's weights, `config.json`, the tokenizer, the exported decoder. */

import { exportCachedDecoder, frozen } from '../../nn/index.js';
import type { Arrays } from '../../tensor/index.js';
import type { Tokenizer } from '../../tokenizers/index.js';
import type { SaveModelOptions } from '../contract.js';
import { saveTextModel } from '../model-folder.js';
import { cachedDecoderRoles, writePrograms } from '../programs.js';
import type { LexinvariantParameters } from './model.js';
import { type LexinvariantOptions, toLexinvariantConfig } from './options.js';
import { cachedLexinvariant, rowDraw } from './runner.js';

/** The `model_type` of our folders. */
export const LEXINVARIANT_TYPE = 'tessera_lexinvariant';

/** What is saved. */
export interface SaveLexinvariantOptions extends SaveModelOptions {
  readonly architecture: LexinvariantOptions;
  readonly parameters: Arrays<LexinvariantParameters>;
  readonly tokenizer: Tokenizer;
}

/**
 * Writes the folder whole or not at all. Nothing in `model.safetensors` has the vocabulary's size.
 * @throws no-space, bad-input, aborted.
 */
export async function saveLexinvariant(folder: string, options: SaveLexinvariantOptions): Promise<void> {
  const { architecture, parameters, tokenizer, onnx, signal } = options;
  await saveTextModel(folder, {
    modelType: LEXINVARIANT_TYPE,
    config: toLexinvariantConfig(architecture),
    context: architecture.context,
    tokenizer,
    parameters,
    onnx,
    signal,
    programs: async (temporary) => {
      await writeDecoder(temporary, architecture, parameters);
    },
  });
}

/** The decoder with its caches and, for each row, the draw that a host makes and keeps. */
async function writeDecoder(
  folder: string,
  architecture: LexinvariantOptions,
  parameters: Arrays<LexinvariantParameters>,
): Promise<void> {
  const { context, vocabulary, endOfText, form } = architecture;
  const weights = frozen<LexinvariantParameters>(parameters);
  const lowered = exportCachedDecoder(cachedLexinvariant(architecture, weights));
  const { verb, numbers, path } = rowDraw(architecture);
  const extra = form === 'tables' ? 'extra.tables' : 'extra.orders';
  await writePrograms(
    folder,
    { system: 'lexinvariant', loop: 'next-token', context, vocabulary, endOfText },
    {
      decode: {
        lowered,
        about: 'ids, at, last, caches and the vectors of each row to logits and the new rows of keys and values',
        roles: cachedDecoderRoles(lowered, {
          [extra]: { role: 'draw', draw: { verb, numbers, path, per: 'row' } },
        }),
      },
    },
  );
}
