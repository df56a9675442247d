/** Symbolic tensors, operations with gradients, random draws, and runtimes that run them as ONNX programs. */

export { type ErrorCode, TesseraError } from '../host/error.js';
export { checkpoint } from './checkpoint.js';
export { type Draw, drawRows, fillDraw } from './draws.js';
export { grad, gradients, type Loss, valueAndGrad } from './gradient.js';
export { constant, type Dimension, isTensor, type Shape, type Spec, shapeText, type Tensor } from './graph.js';
export {
  type ArrayOf,
  allocate,
  array,
  BYTES,
  bytesOf,
  type DType,
  isNDArray,
  type NDArray,
  ndarray,
  sizeOf,
  viewAs,
  zeros,
} from './ndarray.js';
export type { Lowered } from './onnx/lower.js';
export { decodeModel, dtypeOf, type ModelProto } from './onnx/schema.js';
export { encodeOnnxFiles } from './onnx/write.js';
export * from './operations/activations.js';
export { broadcastShapes, broadcastTo, type ReduceOptions, sum, unbroadcast } from './operations/broadcast.js';
export * from './operations/conv.js';
export { causalConv1d } from './operations/convolution.js';
export * from './operations/create.js';
export { type Backward, customGradient, straightThrough } from './operations/custom-gradient.js';
export * from './operations/einsum.js';
export {
  abs,
  add,
  cast,
  clip,
  cos,
  div,
  equal,
  erf,
  exp,
  floor,
  greater,
  greaterEqual,
  isFloat,
  less,
  lessEqual,
  log,
  logicalAnd,
  logicalNot,
  logicalOr,
  maximum,
  minimum,
  mul,
  neg,
  type Operand,
  pow,
  reciprocal,
  relu,
  rsqrt,
  sigmoid,
  sign,
  silu,
  sin,
  softplus,
  sqrt,
  square,
  stopGradient,
  sub,
  tanh,
  where,
} from './operations/elementwise.js';
export * from './operations/exponential.js';
export * from './operations/flip.js';
export * from './operations/fused.js';
export { gather, gatherElements, gatherND, range, scatterElementsAdd, scatterRowsAdd } from './operations/gather.js';
export * from './operations/integers.js';
export * from './operations/layout.js';
export * from './operations/logic.js';
export * from './operations/masks.js';
export * from './operations/matmul.js';
export * from './operations/norms.js';
export * from './operations/one-hot.js';
export * from './operations/pad.js';
export * from './operations/patches.js';
export * from './operations/pooling.js';
export * from './operations/products.js';
export * from './operations/quantile.js';
export * from './operations/reduce.js';
export * from './operations/repeat.js';
export * from './operations/resize.js';
export * from './operations/rounding.js';
export * from './operations/running.js';
export { type ScanOptions, scan } from './operations/scan.js';
export * from './operations/scatter.js';
export * from './operations/search-sorted.js';
export * from './operations/segment.js';
export * from './operations/shape.js';
export * from './operations/sort.js';
export * from './operations/trigonometry.js';
export { type Random, random } from './random.js';
export { evaluate } from './runtime/evaluate.js';
export { type ExportOptions, exportProgram } from './runtime/export.js';
export { type FrozenModule, type FrozenOptions, type FrozenPort, openFrozen } from './runtime/frozen.js';
export { writeModel } from './runtime/load.js';
export { DEVICES, type Device, type DeviceState, deviceStates, ONNXRUNTIME_VERSION } from './runtime/provider.js';
export { createRuntime } from './runtime/runtime.js';
export type { DeviceTree, Program, ProgramReport, RunOutput, Runtime, RuntimeOptions } from './runtime/types.js';
export {
  type Append,
  type Call,
  type ProgramSpecs,
  specsOf,
  type Traceable,
  type Traced,
  type TracedRandom,
} from './trace.js';
export {
  type Arrays,
  arrayLeaves,
  type Leaf,
  mapArrays,
  mapTensors,
  mapTree,
  nest,
  type Specs,
  specLeaves,
  type Tensors,
  tensorLeaves,
} from './tree.js';
