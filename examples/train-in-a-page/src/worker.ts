/** The training thread: the same calls as in Node. The model's folder is written to the page's memory, then downloaded. */

import { corpusFromStrings, readFile } from 'tessera-kit/formats';
import { type Gpt, gpt } from 'tessera-kit/language-models';
import { type Runner, train } from 'tessera-kit/nn';
import { createRuntime, type Runtime, random, TesseraError } from 'tessera-kit/tensor';
import { byteTokenizer } from 'tessera-kit/tokenizers';
import { type News, type Order, SIZES } from './messages.js';

type Parameters = ReturnType<Gpt['init']>;

/** What is left of a run: the model with its weights and the engine to run it. */
interface Trained {
  readonly model: Gpt;
  readonly parameters: Parameters;
  readonly runtime: Runtime;
  runner?: Required<Runner>;
}

let trained: Trained | undefined;
let stop: AbortController | undefined;

function tell(news: News, transfer: Transferable[] = []): void {
  postMessage(news, { transfer });
}

async function write(runner: Required<Runner>, prompt: string, seed: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  const start = new TextEncoder().encode(prompt);
  for await (const { bytes } of runner.generate([start], { maxTokens: 200, temperature: 0.8, seed }))
    chunks.push(bytes);
  const decoder = new TextDecoder();
  return prompt + chunks.map((chunk) => decoder.decode(chunk, { stream: true })).join('') + decoder.decode();
}

async function learn(order: Extract<Order, { type: 'train' }>): Promise<void> {
  await trained?.runner?.dispose();
  await trained?.runtime.dispose();
  trained = undefined;
  stop = new AbortController();
  const { batch, ...shape } = SIZES[order.size];
  const model = gpt({ tokenizer: byteTokenizer(), ...shape });
  const source = model.source(corpusFromStrings([order.text], 'the text'), { batch, length: shape.context }, random(0));
  const runtime = await createRuntime({ device: order.device });
  try {
    const sampleEvery = Math.max(20, Math.round(order.steps / 6));
    const run = train({
      model,
      source,
      steps: order.steps,
      rate: 3e-3,
      runtime,
      signal: stop.signal,
      sampleEvery,
      sample: async ({ parameters, step }) => {
        const runner = await model.open(runtime, await parameters());
        const text = await write(runner, order.prompt, step);
        await runner.dispose();
        return text;
      },
    });
    for await (const event of run) {
      if (event.type === 'start') {
        const { about, threads, parameters } = event;
        tell({ type: 'started', about, threads, parameters });
      } else if (event.type === 'step') {
        const { step, steps, loss, tokensPerSecond, secondsLeft } = event;
        tell({ type: 'step', step, steps, loss, tokensPerSecond, secondsLeft });
      } else if (event.type === 'sample') {
        tell({ type: 'written', text: String(event.sample), final: false });
      } else if (event.type === 'end') {
        trained = { model, parameters: await event.parameters(), runtime };
        tell({ type: 'ended', reason: event.reason, step: event.step, seconds: event.seconds });
      }
    }
  } finally {
    if (trained === undefined) await runtime.dispose();
  }
}

async function obey(order: Order): Promise<void> {
  if (order.type === 'train') return learn(order);
  if (order.type === 'stop') return stop?.abort();
  if (trained === undefined) throw new TesseraError('not-found', 'Nothing was trained yet.');
  if (order.type === 'write') {
    trained.runner ??= await trained.model.open(trained.runtime, trained.parameters);
    tell({ type: 'written', text: await write(trained.runner, order.prompt, order.seed), final: true });
    return;
  }
  await trained.model.save('model', trained.parameters, { onnx: [] });
  const bytes = await readFile(`model/${order.file}`);
  tell({ type: 'file', file: order.file, bytes }, [bytes.buffer as ArrayBuffer]);
}

addEventListener('message', ({ data }: MessageEvent<Order>) => {
  obey(data).catch((error: unknown) => {
    const message = error instanceof Error ? error.message : String(error);
    tell({ type: 'error', message, hint: error instanceof TesseraError ? error.hint : undefined });
  });
});
