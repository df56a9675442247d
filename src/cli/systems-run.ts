/** Lists the systems, and explains one. */

import type { Json, JsonObject } from '../formats/index.js';
import {
  type ReproductionResult,
  resultToJson,
  SYSTEMS,
  type System,
  type SystemEntry,
  systemOf,
  systemsByFamily,
} from '../systems/index.js';
import { type Output, table } from './output.js';
import { committedResult } from './reproduce-results.js';
import { block, resultLines } from './reproduce-show.js';

/** Prints the systems by family. */
export async function listSystems(output: Output, systems: readonly SystemEntry[] = SYSTEMS): Promise<void> {
  const listed: { readonly entry: SystemEntry; readonly result: ReproductionResult | undefined }[] = [];
  for (const entry of systems) listed.push({ entry, result: await committedResult(entry.slug) });
  const value = listed.map(
    ({ entry: { slug, name, family, gives }, result }): Json => ({
      slug,
      name,
      family,
      gives,
      verdict: result?.verdict ?? null,
    }),
  );
  output.result(value, () => {
    const families = [...systemsByFamily(systems)].map(([family, entries]) => {
      const rows = entries.map(({ slug, gives }) => {
        const verdict = listed.find(({ entry }) => entry.slug === slug)?.result?.verdict;
        return [slug, verdict ?? 'no result yet', gives];
      });
      return `${family}\n${indent(table(['slug', 'verdict', 'gives'], rows))}`;
    });
    const next = '`tessera systems show SLUG` explains one; `tessera reproduce SLUG` tests its claim.';
    return [...families, next].join('\n\n');
  });
}

/** Explains a system. @throws not-found, naming the nearest. */
export async function showSystem(
  slug: string,
  output: Output,
  systems: readonly SystemEntry[] = SYSTEMS,
): Promise<void> {
  const system = await systemOf(slug, systems).load();
  const result = await committedResult(slug);
  output.result(systemToJson(system, result), () => explain(system, result));
}

function systemToJson(system: System, result: ReproductionResult | undefined): JsonObject {
  const { slug, name, family, gives, paper, claim, library, command, limits, reproduction } = system;
  const { title, year, arxiv = null } = paper;
  return {
    slug,
    name,
    family,
    gives,
    paper: { title, year, arxiv },
    claim,
    library,
    command,
    limits: [...limits],
    reproduction: {
      command: `tessera reproduce ${slug}`,
      baseline: reproduction.baseline,
      data: [...reproduction.data],
      minutes: reproduction.minutes,
    },
    result: result === undefined ? null : resultToJson(result),
  };
}

function explain(system: System, result: ReproductionResult | undefined): string {
  const { slug, name, family, gives, paper, claim, library, command, limits, reproduction } = system;
  const { title, year, arxiv } = paper;
  const { baseline, data, minutes } = reproduction;
  const reads = data.length === 0 ? 'reads no data set' : `reads ${data.join(', ')}`;
  return [
    `${name} (${family})`,
    block('gives', gives),
    block('paper', `${title}, ${year}${arxiv === undefined ? '' : `, arXiv ${arxiv}`}`),
    block('claim', claim),
    block('library', library),
    block('command', command),
    block('limits', limits.length === 0 ? 'none known' : limits.map((limit) => `- ${limit}`).join('\n')),
    block('test', `tessera reproduce ${slug}\nagainst ${baseline}; ${reads}; about ${minutes} min on two cores`),
    ...(result === undefined ? [block('result', 'none yet')] : ['', 'The committed result', ...resultLines(result)]),
  ].join('\n');
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '  ');
}
