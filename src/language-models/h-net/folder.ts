/** H-Nets read from folders of ours, and the published configuration files. */

import { type JsonObject, readJsonObject } from '../../formats/index.js';
import type { LoadedModel } from '../contract.js';
import { openTextModel } from '../model-folder.js';
import { type HNet, hNet } from './h-net.js';
import type { HNetParameters } from './model.js';
import { fromPublishedHNet } from './names.js';
import { fromHNetConfig, type HNetOptions } from './options.js';
import { H_NET_TYPE } from './save.js';

/** Opens a folder that `saveHNet` wrote. @throws not-found, bad-file, unsupported, mismatch. */
export async function loadHNet(folder: string): Promise<LoadedModel<HNetParameters, HNet>> {
  const opened = await openTextModel(folder, H_NET_TYPE, (config: JsonObject) => Number(config.vocab_size));
  try {
    const options = fromHNetConfig(opened.config);
    return {
      model: hNet(options),
      parameters: () => fromPublishedHNet(options, opened.folder.weights),
      weights: opened.folder.weights,
      close: opened.folder.close,
    };
  } catch (error) {
    await opened.folder.close();
    throw error;
  }
}

/** The options of a published configuration file. @throws not-found, bad-file, unsupported. */
export async function readHNetConfig(path: string): Promise<HNetOptions> {
  return fromHNetConfig(await readJsonObject(path));
}
