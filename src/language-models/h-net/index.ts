/** H-Net: byte-level language models that learn their own tokens. */

export { hNetArchitecture } from './architecture.js';
export { begun } from './bytes.js';
export { fromHNetConfig, toHNetConfig } from './config.js';
export { openHNetDecoder } from './decoder.js';
export { H_NET_ENTRY } from './entry.js';
export { loadHNet, openPublishedHNet, type PublishedHNet, readHNetConfig } from './folder.js';
export { type HNet, type HNetSettings, hNet, hNetObjective } from './h-net.js';
export {
  type BlockKind,
  heightOf,
  type Layout,
  layoutFromJson,
  layoutJson,
  parseLayout,
  printLayout,
  stagesOf,
} from './layout.js';
export {
  type ForwardOptions,
  forward as hNetForward,
  type HNetOutput,
  type HNetParameters,
  initHNet,
} from './model.js';
export { fromPublishedHNet, type PublishedTensor, publishedHNetTensors, toPublishedHNet } from './names.js';
export {
  BOS,
  type BoundaryRule,
  EOS,
  H_NET_SIZES,
  type HNetChoices,
  type HNetOptions,
  type HNetSize,
  hNetOptions,
} from './options.js';
export { exportHNet, writeHNetPrograms } from './programs.js';
export * from './routing.js';
export type { HNetRunner } from './runner.js';
export { saveHNet } from './save.js';
export type { Segmentation, Span, StageSegmentation } from './segment.js';
