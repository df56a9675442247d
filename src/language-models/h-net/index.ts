/** H-Net: byte-level language models that learn their own tokens. */

export { hNetArchitecture } from './architecture.js';
export { fromHNetConfig, toHNetConfig } from './config.js';
export { openHNetDecoder } from './decoder.js';
export { H_NET_ENTRY } from './entry.js';
export { loadHNet, openPublishedHNet, type PublishedHNet, readHNetConfig } from './folder.js';
export { type HNet, type HNetSettings, hNet, hNetObjective } from './h-net.js';
export {
  type BlockKind,
  type Layout as HNetLayout,
  layoutFromJson as hNetLayoutFromJson,
  layoutJson as hNetLayoutJson,
  parseLayout as parseHNetLayout,
  printLayout as printHNetLayout,
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
  BOS as H_NET_BOS,
  type BoundaryRule,
  EOS as H_NET_EOS,
  H_NET_SIZES,
  type HNetChoices,
  type HNetOptions,
  type HNetSize,
  hNetOptions,
} from './options.js';
export { exportHNet, writeHNetPrograms } from './programs.js';
export {
  alwaysOne,
  averageChunks,
  boundaryProbabilities,
  type Chunks,
  chunksOf,
  confidence,
  type RoutingParameters,
  ratioLoss,
  spreadChunks,
  takeChunks,
} from './routing.js';
export type { HNetRunner } from './runner.js';
export { saveHNet } from './save.js';
export type { Segmentation, Span, StageSegmentation } from './segment.js';
