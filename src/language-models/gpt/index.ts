/** The gpt family: options, model, files and runner. */

export { exportDecoder } from './export.js';
export { type LoadedGpt, loadGpt } from './folder.js';
export { type Gpt, type GptSettings, gpt } from './gpt.js';
export {
  bodyStates,
  forward,
  type GptBody,
  type GptContext,
  type GptParameters,
  hiddenStates,
  initGpt,
  initGptBody,
  logitsOf,
} from './model.js';
export { fromPublished, publishedTensors, toPublished } from './names.js';
export {
  fromConfig,
  GPT_SIZES,
  type GptChoices,
  type GptOptions,
  type GptSize,
  gptOptions,
  toConfig,
} from './options.js';
export { halfWeights, quantizedWeights } from './precision.js';
export { openGptRunner } from './runner.js';
export { type SaveGptOptions, saveGpt } from './save.js';
