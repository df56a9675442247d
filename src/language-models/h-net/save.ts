/** Folders of H-Nets: the published configuration and tensor names, with what is ours beside them. */

import type { Arrays } from '../../tensor/index.js';
import type { Tokenizer } from '../../tokenizers/index.js';
import type { SaveModelOptions } from '../contract.js';
import { saveTextModel } from '../model-folder.js';
import { toHNetConfig } from './config.js';
import type { HNetParameters } from './model.js';
import { toPublishedHNet } from './names.js';
import type { HNetOptions } from './options.js';
import { writeHNetPrograms } from './programs.js';

/** The `model_type` of our folders; published configurations have none. */
export const H_NET_TYPE = 'tessera_h-net';

/** What is saved. */
export interface SaveHNetOptions extends SaveModelOptions {
  readonly architecture: HNetOptions;
  readonly parameters: Arrays<HNetParameters>;
  readonly tokenizer: Tokenizer;
}

/** Writes the folder whole or not at all. @throws no-space, bad-input, aborted. */
export async function saveHNet(folder: string, options: SaveHNetOptions): Promise<void> {
  const { architecture, parameters, tokenizer, ...rest } = options;
  await saveTextModel(folder, {
    ...rest,
    modelType: H_NET_TYPE,
    config: toHNetConfig(architecture),
    context: architecture.context,
    tokenizer,
    parameters,
    weights: toPublishedHNet(architecture, parameters),
    programs: (hidden) => writeHNetPrograms(hidden, architecture, parameters),
  });
}
