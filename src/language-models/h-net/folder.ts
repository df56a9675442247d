/** H-Nets read from folders of ours, and the published configuration files. */

import { type JsonObject, openWeights, readJsonObject, type Weights } from '../../formats/index.js';
import type { Arrays } from '../../tensor/index.js';
import type { LoadedModel } from '../contract.js';
import { openTextModel } from '../model-folder.js';
import { fromHNetConfig } from './config.js';
import { type HNet, hNet } from './h-net.js';
import type { HNetParameters } from './model.js';
import { fromPublishedHNet } from './names.js';
import type { HNetOptions } from './options.js';
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

/** A published checkpoint, opened. */
export interface PublishedHNet {
  readonly model: HNet;
  readonly weights: Weights;
  /** The weights, read when asked for. @throws mismatch when they are not those of the configuration. */
  parameters(): Promise<Arrays<HNetParameters>>;
  close(): Promise<void>;
}

/**
 * Opens a published checkpoint: its `.pt` (or `.safetensors`), and the JSON file of its configuration beside it.
 * @throws not-found, bad-file, bad-input, unsupported.
 */
export async function openPublishedHNet(weightsPath: string, configPath: string): Promise<PublishedHNet> {
  const options = await readHNetConfig(configPath);
  const weights = await openWeights(weightsPath);
  return {
    model: hNet(options),
    weights,
    parameters: () => fromPublishedHNet(options, weights),
    close: () => weights.close(),
  };
}

/** The options of a published configuration file. @throws not-found, bad-file, unsupported. */
export async function readHNetConfig(path: string): Promise<HNetOptions> {
  return fromHNetConfig(await readJsonObject(path));
}
