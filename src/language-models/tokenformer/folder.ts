/** A TokenFormer read from a folder, ours or one as it was published (its `config.json` has no `model_type`). */

import { type ModelFolder, readModelFolder } from '../../formats/index.js';
import { TesseraError } from '../../tensor/index.js';
import { openTokenizer, type Tokenizer } from '../../tokenizers/index.js';
import type { LoadedModel } from '../contract.js';
import { openTextModel } from '../model-folder.js';
import { fromTokenformerConfig, PUBLISHED_ARCHITECTURE, TOKENFORMER_TYPE } from './config.js';
import type { TokenformerParameters } from './model.js';
import { fromPublishedTokenformer, publishedVocabulary } from './names.js';
import { type Tokenformer, tokenformer } from './tokenformer.js';

/** A TokenFormer found in a folder. */
export type LoadedTokenformer = LoadedModel<TokenformerParameters, Tokenformer>;

/**
 * Opens a folder of a TokenFormer.
 * @throws not-found, bad-file, unsupported; mismatch when tokenizer and embedding disagree.
 */
export async function loadTokenformer(path: string): Promise<LoadedTokenformer> {
  const { folder, tokenizer, vocabulary } = await openFolder(path);
  try {
    const endOfText = tokenizer.endOfText ?? 0;
    const architecture = fromTokenformerConfig(folder.config, { vocabulary, endOfText });
    return {
      model: tokenformer({ ...architecture, tokenizer }),
      parameters: () => fromPublishedTokenformer(architecture, folder.weights),
      weights: folder.weights,
      close: folder.close,
    };
  } catch (error) {
    await folder.close();
    throw error;
  }
}

interface OpenFolder {
  readonly folder: ModelFolder;
  readonly tokenizer: Tokenizer;
  readonly vocabulary: number;
}

async function openFolder(path: string): Promise<OpenFolder> {
  const folder = await readModelFolder(path);
  if (folder.config.model_type !== undefined) {
    await folder.close();
    const found = await openTextModel(path, TOKENFORMER_TYPE, ({ vocab_size: size }) => Number(size));
    return { ...found, vocabulary: Number(found.config.vocab_size) };
  }
  try {
    const { architectures } = folder.config;
    if (!Array.isArray(architectures) || !architectures.includes(PUBLISHED_ARCHITECTURE)) {
      throw new TesseraError('unsupported', `${path} holds no TokenFormer: its config.json names no such model.`);
    }
    if (folder.tokenizerPath === undefined) throw new TesseraError('not-found', `${path} has no tokenizer.json.`);
    const tokenizer = await openTokenizer(folder.tokenizerPath);
    const vocabulary = publishedVocabulary(folder.weights);
    if (tokenizer.vocabulary.size > vocabulary) {
      throw new TesseraError(
        'mismatch',
        `The tokenizer in ${path} has ${tokenizer.vocabulary.size} tokens, its model an embedding of ${vocabulary}.`,
        { hint: 'Put the tokenizer that the model was trained with into the folder.' },
      );
    }
    return { folder, tokenizer, vocabulary };
  } catch (error) {
    await folder.close();
    throw error;
  }
}
