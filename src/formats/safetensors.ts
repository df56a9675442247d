/** safetensors: the file format of model weights, read lazily and written by streaming. */

export { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './half.js';
export { SAFETENSORS_BYTES, type SafetensorsDType } from './safetensors-header.js';
export { openSafetensors, type Safetensors } from './safetensors-read.js';
export { castArray } from './safetensors-values.js';
export {
  type LazyTensor,
  type NamedArray,
  type TensorSource,
  type WriteSafetensorsOptions,
  writeSafetensors,
} from './safetensors-write.js';
export type { ReadOptions, TensorInfo, Weights } from './weights.js';
