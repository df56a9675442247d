/** The result of a reproduction, as it is written to a file and read back. */

import { isJsonObject, type Json, type JsonObject, parseJson } from '../formats/index.js';
import { TesseraError } from '../host/error.js';
import { type Criterion, type Verdict, verdictOf } from './contract.js';

/** A criterion in a result: JSON has no word for what is not finite, so that is null. */
export interface ResultCriterion extends Omit<Criterion, 'measured'> {
  readonly measured: number | null;
}

/** What a reproduction gave, and how it was run. */
export interface ReproductionResult {
  readonly slug: string;
  readonly name: string;
  readonly claim: string;
  readonly baseline: string;
  readonly figures: JsonObject;
  readonly criteria: readonly ResultCriterion[];
  readonly remarks: readonly string[];
  readonly verdict: Verdict;
  /** Seconds of the whole work; of them `keptSeconds` were spent by earlier runs on trained parts that were taken. */
  readonly seconds: number;
  readonly keptSeconds: number;
  readonly size: 'full' | 'quick';
  readonly seed: number;
  /** What gives the same result. */
  readonly command: string;
  /** Cores, processor, memory and engine in words. */
  readonly machine: string;
  /** The day, as 2025-01-31. */
  readonly date: string;
}

/** A result as JSON. */
export function resultToJson(result: ReproductionResult): JsonObject {
  const { slug, name, claim, baseline, figures, criteria, remarks, verdict, ...how } = result;
  return {
    slug,
    name,
    claim,
    baseline,
    verdict,
    criteria: criteriaToJson(criteria),
    figures,
    remarks: [...remarks],
    ...how,
  };
}

/** The heart of a result as JSON: what a program that asks wants to know. */
export function summaryToJson({ slug, claim, figures, criteria, verdict, seconds }: ReproductionResult): JsonObject {
  return { slug, claim, figures, criteria: criteriaToJson(criteria), verdict, seconds };
}

function criteriaToJson(criteria: readonly ResultCriterion[]): JsonObject[] {
  return criteria.map(({ says, measured, needs, holds, direction }) => ({ says, measured, needs, holds, direction }));
}

/** Reads a result; `where` names its source. @throws bad-file for what is no result, or has a verdict that its criteria do not give. */
export function parseResult(text: string, where: string): ReproductionResult {
  const value = parseJson(text, where);
  const refuse = (why: string): never => {
    throw new TesseraError('bad-file', `${where} is no result of a reproduction: ${why}.`);
  };
  if (!isJsonObject(value)) return refuse('it holds no object');
  const word = (key: string): string => {
    const found = value[key];
    return typeof found === 'string' ? found : refuse(`"${key}" is no text`);
  };
  const number = (key: string): number => {
    const found = value[key];
    return typeof found === 'number' ? found : refuse(`"${key}" is no number`);
  };
  const { figures, criteria, remarks = [], size } = value;
  if (!isJsonObject(figures)) return refuse('"figures" is no object');
  if (!Array.isArray(criteria)) return refuse('"criteria" is no list');
  if (!Array.isArray(remarks)) return refuse('"remarks" is no list');
  if (size !== 'full' && size !== 'quick') return refuse('"size" is neither full nor quick');
  const read = criteria.map((entry) => criterionOf(entry) ?? refuse('a criterion is incomplete'));
  // The verdict looks at what holds alone.
  const verdict = verdictOf(
    read.map((criterion) => ({ ...criterion, measured: criterion.measured ?? Number.NaN })),
    size,
  );
  if (word('verdict') !== verdict) return refuse(`its criteria give "${verdict}", not "${word('verdict')}"`);
  return {
    slug: word('slug'),
    name: word('name'),
    claim: word('claim'),
    baseline: word('baseline'),
    figures,
    criteria: read,
    remarks: remarks.map(String),
    verdict,
    seconds: number('seconds'),
    keptSeconds: number('keptSeconds'),
    size,
    seed: number('seed'),
    command: word('command'),
    machine: word('machine'),
    date: word('date'),
  };
}

function criterionOf(entry: Json): ResultCriterion | undefined {
  if (!isJsonObject(entry)) return undefined;
  const { says, measured = null, needs, holds, direction } = entry;
  if (typeof says !== 'string' || typeof needs !== 'string') return undefined;
  if (typeof holds !== 'boolean' || typeof direction !== 'boolean') return undefined;
  if (measured !== null && typeof measured !== 'number') return undefined;
  return { says, measured, needs, holds, direction };
}
