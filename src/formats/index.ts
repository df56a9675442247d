/** The field's files: safetensors, PyTorch's checkpoints, Hugging Face model folders, text corpora. */

export { readFile } from '#host';
export {
  type Corpus,
  type CorpusCursor,
  type CorpusDocument,
  type CorpusOptions,
  corpusFromStrings,
  openCorpus,
} from './corpus.js';
export { type ModelFolder, type ModelFolderContent, readModelFolder, writeModelFolder } from './huggingface.js';
export * from './images.js';
export { isJsonObject, type Json, type JsonObject, parseJson, readJsonObject, writeJson } from './json.js';
export * from './onnx.js';
export { isWeightsName, openWeights } from './open-weights.js';
export {
  openParquet,
  type ParquetBatch,
  type ParquetColumn,
  type ParquetRow,
  type ParquetRowOptions,
  type ParquetTable,
  type ParquetValue,
} from './parquet.js';
export {
  type PortDraw,
  type PortRole,
  PROGRAMS_FILE,
  PROGRAMS_FORMAT,
  type ProgramEntry,
  type ProgramPort,
  type ProgramsDescription,
  parsePrograms,
  portType,
  readPrograms,
  writeProgramsFile,
} from './programs.js';
export { type OpenPytorchOptions, openPytorch } from './pytorch.js';
export { mixToMono, type ResampleQuality, resampleSound } from './resample-sound.js';
export * from './safetensors.js';
export { findInvalidUtf8 } from './utf8.js';
export * from './wav.js';
