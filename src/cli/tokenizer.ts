/** `tessera tokenizer`: jobs on tokenizers. They load no engine. */

import { Command, Option } from 'commander';
import { examples, type Job, needed, runJob, wholeNumber, withCommon } from './options.js';
import { count, size } from './output.js';

interface TokenizerChoices {
  readonly text?: readonly string[];
  readonly field: string;
  readonly vocabulary: number;
  readonly split: 'gpt2' | 'cl100k' | 'qwen2';
  readonly out?: string;
  readonly json?: boolean;
}

/** The sub-command. */
export function tokenizerCommand(): Command {
  const command = new Command('train')
    .description('Train a byte-level BPE tokenizer on text.')
    .option('--text <path...>', 'files, folders or patterns')
    .option('--column, --field <name>', 'the column of a table, or field of a JSON line, that holds the text', 'text')
    .option('--vocabulary <n>', 'tokens, with the 256 bytes and the end of text', wholeNumber(257), 8192)
    .addOption(
      new Option('--split <name>', 'how text is cut into words').choices(['gpt2', 'cl100k', 'qwen2']).default('gpt2'),
    )
    .option('--out <folder>', 'where tokenizer.json and tokenizer_config.json go');
  withCommon(command);
  examples(command, ['tessera tokenizer train --text book.txt --vocabulary 4096 --out my-tokenizer']).action(
    (choices: TokenizerChoices) => runJob(choices, (job) => trainTokenizer(choices, job)),
  );
  return examples(new Command('tokenizer').description('Train tokenizers.').addCommand(command), [
    'tessera tokenizer train --text book.txt --vocabulary 4096 --out my-tokenizer',
    'tessera help tokenizer',
  ]);
}

async function trainTokenizer(choices: TokenizerChoices, { output, signal }: Job): Promise<void> {
  const text = needed(choices.text, '--text', 'tessera tokenizer train --text book.txt --out my-tokenizer');
  const out = needed(choices.out, '--out', 'tessera tokenizer train --text book.txt --out my-tokenizer');
  const { openCorpus } = await import('../formats/index.js');
  const { learnTokenizer, writeTokenizer } = await import('./learn-tokenizer.js');
  const corpus = await openCorpus(text, { field: choices.field, signal });
  const { vocabulary, split } = choices;
  const { tokenizer, report } = await learnTokenizer({ corpus, vocabulary, splitPattern: split, output, signal });
  let tokens = 0;
  for await (const { bytes } of corpus.documents()) tokens += tokenizer.encodeBytes(bytes).length;
  const files = await writeTokenizer(out, tokenizer);
  output.result(
    { files: [...files], vocabulary: report.tokens, bytes: report.bytes, tokens, bytesPerToken: report.bytes / tokens },
    () =>
      `${count(report.tokens)} tokens; the text is ${size(report.bytes)} and becomes ${count(tokens)} tokens, ` +
      `${(report.bytes / tokens).toFixed(2)} bytes each.\n${files.join('\n')}`,
  );
}
