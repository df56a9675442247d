/** A system's reproduction in its quick size, on two short texts in the place of the novels. */

import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DataSet, type ReproductionResult, runReproduction, systemOf } from 'tessera-kit/systems';
import { sampleText } from '../../scripts/smoke.mjs';

/** Runs it; gives the result and the parts that it told of. */
export async function quickOnTwoTexts(
  slug: string,
): Promise<{ readonly result: ReproductionResult; readonly parts: readonly string[] }> {
  const folder = mkdtempSync(join(tmpdir(), `tessera-${slug}-`));
  const text = sampleText();
  const files = ['first.txt', 'second.txt'].map((name, index) => ({
    name,
    bytes: Buffer.from(text.slice(index * 40_000, (index + 1) * 40_000)),
  }));
  const novels: DataSet = {
    name: 'english-novels',
    about: 'two texts',
    licence: 'none needed',
    files: files.map(({ name, bytes }) => ({
      name,
      repository: 'nobody/nothing',
      path: name,
      bytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    })),
  };
  try {
    mkdirSync(join(folder, 'english-novels'));
    for (const { name, bytes } of files) writeFileSync(join(folder, 'english-novels', name), bytes);
    const parts: string[] = [];
    const result = await runReproduction(await systemOf(slug).load(), {
      size: 'quick',
      seed: 3,
      threads: 1,
      dataSets: [novels],
      dataFolders: [folder],
      onEvent: (event) => {
        if (event.type === 'part') parts.push(event.name);
      },
    });
    return { result, parts };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
