/**
 * Greedy decoding with a KV cache by transformers.js, as a benchmark's peer: one JSON line in, one out.
 *
 *     node transformersjs-decode.mjs MODEL_FOLDER '{"threads": 2, "dtype": "fp32"}'
 *
 * MODEL_FOLDER is a Hugging Face folder with onnx/model.onnx; nothing is fetched. {"rounds": 1, "tokens": n,
 * "prompt": [ids]} is answered by {"milliseconds": [one a round], "tokens": [the last round's new ids]}. Between
 * rounds the runtime's threads sleep.
 */

import { readFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { AutoModelForCausalLM, env, LogLevel, Tensor } from '@huggingface/transformers';

const folder = resolve(process.argv[2] ?? '.');
const options = { threads: 2, dtype: 'fp32', ...JSON.parse(process.argv[3] ?? '{}') };

env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = dirname(folder);
if (LogLevel !== undefined) env.logLevel = LogLevel.ERROR;

const model = await AutoModelForCausalLM.from_pretrained(basename(folder), {
  local_files_only: true,
  dtype: options.dtype,
  device: 'cpu',
  session_options: {
    intraOpNumThreads: options.threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    extra: { session: { force_spinning_stop: '1', intra_op: { allow_spinning: '1' } } },
  },
});

async function decode(prompt, tokens) {
  const ids = (values) => new Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
  const start = performance.now();
  const sequences = await model.generate({
    input_ids: ids(prompt),
    attention_mask: ids(prompt.map(() => 1)),
    do_sample: false,
    num_beams: 1,
    min_new_tokens: tokens,
    max_new_tokens: tokens,
  });
  const milliseconds = performance.now() - start;
  return { milliseconds, ids: Array.from(sequences.data, Number).slice(prompt.length) };
}

const manifest = new URL('../package.json', import.meta.resolve('@huggingface/transformers'));
const { version } = JSON.parse(readFileSync(manifest, 'utf8'));
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
say({ ready: true, version, threads: options.threads, note: `onnxruntime-node on the cpu, ${options.dtype}` });
for await (const line of createInterface({ input: process.stdin })) {
  const { rounds = 1, tokens, prompt } = JSON.parse(line);
  const answer = { milliseconds: [], tokens: [] };
  for (let round = 0; round < rounds; round++) {
    const one = await decode(prompt, tokens);
    answer.milliseconds.push(one.milliseconds);
    answer.tokens = one.ids;
  }
  say(answer);
}
process.exit(0);
