/** A GPT read from a Hugging Face folder of any writer. */

import { readModelFolder } from '../../formats/index.js';
import { TesseraError } from '../../tensor/index.js';
import { openTokenizer } from '../../tokenizers/index.js';
import type { LoadedModel } from '../contract.js';
import { type Gpt, gpt } from './gpt.js';
import type { GptParameters } from './model.js';
import { fromPublished } from './names.js';
import { fromConfig } from './options.js';

/** A GPT found in a folder. */
export type LoadedGpt = LoadedModel<GptParameters, Gpt>;

/**
 * Opens a folder of a llama or gpt2 model, also one that another tool wrote (bfloat16, sharded).
 * @throws not-found, bad-file, unsupported; mismatch when tokenizer and embedding disagree.
 */
export async function loadGpt(folder: string): Promise<LoadedGpt> {
  const found = await readModelFolder(folder);
  try {
    const options = fromConfig(found.config);
    if (found.tokenizerPath === undefined) throw new TesseraError('not-found', `${folder} has no tokenizer.json.`);
    const tokenizer = await openTokenizer(found.tokenizerPath);
    if (tokenizer.vocabulary.size > options.vocabulary) {
      throw new TesseraError(
        'mismatch',
        `The tokenizer in ${folder} has ${tokenizer.vocabulary.size} tokens, its model an embedding of ${options.vocabulary}.`,
        {
          hint: 'Put the tokenizer that the model was trained with into the folder.',
        },
      );
    }
    const { style, vocabulary, endOfText: _own, ...rest } = options;
    const model = gpt({ ...rest, style, vocabulary, tokenizer, endOfText: options.endOfText });
    return {
      model,
      parameters: () => fromPublished(options, found.weights),
      weights: found.weights,
      close: found.close,
    };
  } catch (error) {
    await found.close();
    throw error;
  }
}
