/** `tessera tokenizer`: jobs on tokenizers. They load no engine. */

import { Command, Option } from 'commander';
import type { SplitPatternName } from '../tokenizers/index.js';
import { examples, type Job, needed, runJob, wholeNumber, withCommon } from './options.js';
import { count, size } from './output.js';
import type { DecodeChoices, EncodeChoices } from './tokenizer-run.js';
import type { ShowChoices } from './tokenizer-show.js';

interface TokenizerChoices {
  readonly text?: readonly string[];
  readonly field: string;
  readonly vocabulary: number;
  readonly split: 'gpt2' | 'cl100k' | 'qwen2';
  readonly out?: string;
  readonly json?: boolean;
}

interface ConvertChoices {
  readonly out?: string;
  readonly split?: SplitPatternName;
  readonly download?: boolean;
  readonly json?: boolean;
}

/** The sub-command. */
export function tokenizerCommand(): Command {
  const command = new Command('tokenizer').description(
    'Encode, decode and count tokens; show, convert and train tokenizers.',
  );
  for (const inner of [
    encodeCommand(),
    countCommand(),
    decodeCommand(),
    showCommand(),
    convertCommand(),
    trainCommand(),
  ]) {
    command.addCommand(inner);
  }
  return examples(command, [
    'tessera tokenizer count book.txt --tokenizer o200k_base',
    "echo 'Hello, world' | tessera tokenizer encode --tokenizer gpt-4o",
    'tessera tokenizer show bert/vocab.txt "What is in a name?"',
    'tessera tokenizer train --text book.txt --vocabulary 4096 --out my-tokenizer',
    'tessera help tokenizer',
  ]);
}

/** How a tokenizer is named. */
const NAMED = "a path, an encoding (o200k_base), a model (gpt-4o), org/name in Hugging Face's cache, or bytes";

function withSource(command: Command): Command {
  return command
    .addOption(
      new Option('--split <name>', 'how a rank file (.tiktoken) cuts text into words').choices(Object.keys(SPLITS)),
    )
    .option('--download', "fetch OpenAI's rank file where it is not on this machine");
}

function withSpecial(command: Command): Command {
  return command
    .option('--special', 'special tokens written in the text become their ids')
    .option('--add-special', 'add what the tokenizer puts around a text, such as [CLS] and [SEP]');
}

function encodeCommand(): Command {
  const command = new Command('encode')
    .description('Write the ids of a text as a JSON array.')
    .argument('[file]', 'a file, or - for standard input', '-')
    .option('--tokenizer <name>', NAMED)
    .option('--lines', 'one id a line')
    .option('--jsonl', 'each line is a JSON string; its ids become a line with a JSON array');
  withCommon(withSource(withSpecial(command)));
  return examples(command, [
    'tessera tokenizer encode book.txt --tokenizer o200k_base > ids.json',
    "echo 'Hello, world' | tessera tokenizer encode --tokenizer gpt-4o --lines",
    'tessera tokenizer encode texts.jsonl --jsonl --tokenizer my-tokenizer',
  ]).action((file: string, choices: EncodeChoices) =>
    quiet(async () => (await import('./tokenizer-run.js')).encode(file, choices)),
  );
}

function countCommand(): Command {
  const command = new Command('count')
    .description('Count the tokens of files: tokens, bytes, and bytes a token.')
    .argument('[files...]', 'files, or - for standard input', ['-'])
    .option('--tokenizer <name>', NAMED)
    .option('--jsonl', 'each line is a JSON string, which is counted by itself');
  withCommon(withSource(withSpecial(command)));
  return examples(command, [
    'tessera tokenizer count *.txt --tokenizer cl100k_base',
    'cat book.txt | tessera tokenizer count --tokenizer my-tokenizer --json',
  ]).action((files: readonly string[], choices: EncodeChoices) =>
    quiet(async () => (await import('./tokenizer-run.js')).countTokens(files, choices)),
  );
}

function decodeCommand(): Command {
  const command = new Command('decode')
    .description('Write the text of ids, byte for byte.')
    .argument('[file]', 'ids as JSON array or with spaces, commas or line ends between; - for standard input', '-')
    .option('--tokenizer <name>', NAMED)
    .option('--skip-special', 'leave special tokens out')
    .option('--jsonl', 'each line is a JSON array of ids; its text becomes a line with a JSON string');
  withCommon(withSource(command));
  return examples(command, [
    'tessera tokenizer decode ids.json --tokenizer o200k_base > book.txt',
    "echo '13225 11 2375' | tessera tokenizer decode --tokenizer o200k_base",
  ]).action((file: string, choices: DecodeChoices) =>
    quiet(async () => (await import('./tokenizer-run.js')).decode(file, choices)),
  );
}

function showCommand(): Command {
  const command = new Command('show')
    .description('Show what a tokenizer is made of, or the tokens of a text with their ids, bytes and places.')
    .argument('<name>', NAMED)
    .argument('[text]', 'a text to take apart');
  withCommon(withSource(withSpecial(command)));
  return examples(command, ['tessera tokenizer show o200k_base', 'tessera tokenizer show gpt-4o "naïve"']).action(
    (name: string, text: string | undefined, choices: ShowChoices & { readonly json?: boolean }) =>
      runJob(choices, async ({ output }) => (await import('./tokenizer-show.js')).show(name, text, choices, output)),
  );
}

function convertCommand(): Command {
  const command = new Command('convert')
    .description("Write any tokenizer as Hugging Face's tokenizer.json and tokenizer_config.json.")
    .argument('<name>', NAMED)
    .option('--out <folder>', 'where the files go');
  withCommon(withSource(command));
  return examples(command, [
    'tessera tokenizer convert o200k_base --out o200k',
    'tessera tokenizer convert llama.tiktoken --split cl100k --out llama',
  ]).action((name: string, choices: ConvertChoices) =>
    runJob(choices, async ({ output }) => {
      const out = needed(choices.out, '--out', 'tessera tokenizer convert o200k_base --out o200k');
      await (await import('./tokenizer-show.js')).convert(name, out, choices, output);
    }),
  );
}

/** The splits that have a name; the type says that none is missing. */
const SPLITS: Readonly<Record<SplitPatternName, true>> = { gpt2: true, cl100k: true, qwen2: true, o200k: true };

async function quiet(work: () => Promise<void>): Promise<void> {
  const { quietly } = await import('./tokenizer-input.js');
  await quietly(work);
}

function trainCommand(): Command {
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
  return examples(command, ['tessera tokenizer train --text book.txt --vocabulary 4096 --out my-tokenizer']).action(
    (choices: TokenizerChoices) => runJob(choices, (job) => trainTokenizer(choices, job)),
  );
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
