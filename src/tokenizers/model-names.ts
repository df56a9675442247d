/** Which encoding a model of OpenAI's has, as tiktoken's table has it (github.com/openai/tiktoken, `model.py`). */

import type { EncodingName } from './tiktoken.js';

/** Names that are met whole. */
const MODELS: Readonly<Record<EncodingName, readonly string[]>> = {
  o200k_harmony: ['gpt-oss-20b', 'gpt-oss-120b'],
  o200k_base: ['gpt-5', 'gpt-4.1', 'gpt-4o', 'o1', 'o3', 'o4-mini'],
  cl100k_base: [
    ...['gpt-4', 'gpt-3.5-turbo', 'gpt-3.5', 'gpt-35-turbo', 'davinci-002', 'babbage-002'],
    ...['text-embedding-ada-002', 'text-embedding-3-small', 'text-embedding-3-large'],
  ],
  p50k_base: [
    ...['text-davinci-003', 'text-davinci-002', 'code-davinci-002', 'code-davinci-001', 'code-cushman-002'],
    ...['code-cushman-001', 'davinci-codex', 'cushman-codex'],
  ],
  p50k_edit: ['text-davinci-edit-001', 'code-davinci-edit-001'],
  r50k_base: [
    ...['text-davinci-001', 'text-curie-001', 'text-babbage-001', 'text-ada-001', 'davinci', 'curie', 'babbage', 'ada'],
    ...['text-similarity-davinci-001', 'text-similarity-curie-001', 'text-similarity-babbage-001'],
    ...['text-similarity-ada-001', 'text-search-davinci-doc-001', 'text-search-curie-doc-001'],
    ...['text-search-babbage-doc-001', 'text-search-ada-doc-001', 'code-search-babbage-code-001'],
    ...['code-search-ada-code-001'],
  ],
  gpt2: ['gpt-2'],
};

/** What dated, sized and fine-tuned models begin with; the first that fits counts. */
const BEGINNINGS: readonly (readonly [string, EncodingName])[] = [
  ['o1-', 'o200k_base'],
  ['o3-', 'o200k_base'],
  ['o4-mini-', 'o200k_base'],
  ['gpt-5-', 'o200k_base'],
  ['gpt-4.5-', 'o200k_base'],
  ['gpt-4.1-', 'o200k_base'],
  ['chatgpt-4o-', 'o200k_base'],
  ['gpt-4o-', 'o200k_base'],
  ['gpt-4-', 'cl100k_base'],
  ['gpt-3.5-turbo-', 'cl100k_base'],
  ['gpt-35-turbo-', 'cl100k_base'],
  ['gpt-oss-', 'o200k_harmony'],
  ['ft:gpt-4o', 'o200k_base'],
  ['ft:gpt-4', 'cl100k_base'],
  ['ft:gpt-3.5-turbo', 'cl100k_base'],
  ['ft:davinci-002', 'cl100k_base'],
  ['ft:babbage-002', 'cl100k_base'],
];

const BY_MODEL = new Map<string, EncodingName>();
for (const [encoding, models] of Object.entries(MODELS)) {
  // Object.entries forgets that the keys are names of encodings.
  for (const model of models) BY_MODEL.set(model, encoding as EncodingName);
}

/** All names of models that are met whole. */
export const MODEL_NAMES: readonly string[] = [...BY_MODEL.keys()];

/** The encoding of a model, or undefined for a name that is none. */
export function encodingOfModel(name: string): EncodingName | undefined {
  return BY_MODEL.get(name) ?? BEGINNINGS.find(([start]) => name.startsWith(start))?.[1];
}
