/** The texts of a column of a table as documents of a corpus, a row each. */

import { TesseraError } from '../host/error.js';
import type { CorpusCursor, CorpusDocument } from './corpus-types.js';
import { findColumn, openParquet } from './parquet.js';
import { describeBinary, findInvalidUtf8 } from './utf8.js';

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * The rows of `path` from row `from.offset` on; null and empty texts are left out.
 *
 * @throws not-found when there is no such column; bad-input, naming the row, for a column without strings and for what
 * is not UTF-8 text; mismatch when the table is shorter; bad-file.
 */
export async function* readTableText(
  path: string,
  from: CorpusCursor,
  column: string,
  signal?: AbortSignal,
): AsyncGenerator<CorpusDocument> {
  const table = await openParquet(path);
  try {
    const { type } = findColumn(table, column);
    if (type !== 'string' && type !== 'bytes') {
      const others = table.columns.filter((other) => other.type === 'string').map(({ name }) => `'${name}'`);
      throw new TesseraError('bad-input', `The column '${column}' of ${path} holds ${type}, not text.`, {
        hint: others.length > 0 ? `Text is in ${others.slice(0, 12).join(', ')}.` : undefined,
      });
    }
    if (from.offset > table.rows) {
      const says = `row ${from.offset} of ${path}, which has only ${table.rows}`;
      throw new TesseraError('mismatch', `The reading was to go on at ${says}.`, {
        hint: 'The text is not the one that was read before.',
      });
    }
    let { index } = from;
    const part = { columns: [column], start: from.offset, strings: 'bytes', signal } as const;
    for await (const { start, rows } of table.batches(part)) {
      for (const [place, row] of rows.entries()) {
        const value = row[column];
        if (!(value instanceof Uint8Array) || value.length === 0) continue;
        const number = start + place;
        checkText(value, `Row ${number} of the column '${column}' of ${path}`);
        const bytes = value.slice(); // the value is a view of a whole page
        const source = { file: path, index: index++ };
        const cursor = { file: from.file, offset: number + 1, index, line: from.line };
        yield { bytes, text: () => decoder.decode(bytes), source, cursor };
      }
    }
  } finally {
    await table.close();
  }
}

function checkText(bytes: Uint8Array, where: string): void {
  const binary = describeBinary(bytes, 0);
  if (binary !== undefined) throw new TesseraError('bad-input', `${where} ${binary}.`);
  const invalid = findInvalidUtf8(bytes);
  if (invalid !== -1) throw new TesseraError('bad-input', `${where} is not UTF-8 at byte ${invalid}.`);
}
