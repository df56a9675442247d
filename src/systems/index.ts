/** The catalogue: what published systems give, what they claim, and the small experiments that test the claims. */

export type {
  Criterion,
  Measured,
  Reproduction,
  ReproductionContext,
  System,
  SystemEntry,
  Verdict,
} from './contract.js';
export { verdictOf } from './contract.js';
export { atLeast, atMost, type Bounded, between } from './criteria.js';
export {
  checkDataSet,
  type DataOptions,
  dataFolders,
  type FileCheck,
  findDataSet,
  folderAlone,
  requireWhole,
  type SetCheck,
  whereToGet,
} from './data-check.js';
export { bytesOfSet, type DataFile, type DataSet, filesOf, sourcesOf } from './data-set.js';
export { DATA_SETS, dataSetOf } from './data-sets.js';
export { SYSTEMS, systemOf, systemsByFamily } from './entries.js';
export type { ReproductionPart } from './kept.js';
export { machineOf } from './machine.js';
export {
  type ReproductionEvent,
  type ReproductionOptions,
  type ReproductionProgress,
  type ReproductionStart,
  runReproduction,
} from './reproduce.js';
export { parseResult, type ReproductionResult, type ResultCriterion, resultToJson, summaryToJson } from './result.js';
