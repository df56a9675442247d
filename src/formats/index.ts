/** The field's files: safetensors, PyTorch's checkpoints, Hugging Face model folders, text corpora. */

export {
  type Corpus,
  type CorpusCursor,
  type CorpusDocument,
  type CorpusOptions,
  corpusFromStrings,
  openCorpus,
} from './corpus.js';
export { type ModelFolder, type ModelFolderContent, readModelFolder, writeModelFolder } from './huggingface.js';
export { isJsonObject, type Json, type JsonObject, parseJson, readJsonObject, writeJson } from './json.js';
export { isWeightsName, openWeights } from './open-weights.js';
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
export * from './safetensors.js';
export { findInvalidUtf8 } from './utf8.js';
