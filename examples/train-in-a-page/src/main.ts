/** The page itself: it gives orders to the training thread and shows what comes back. */

import { drawCurve } from './curve.js';
import type { News, Order, SIZES } from './messages.js';
import sample from './sample.txt?raw';

function find<E extends Element>(id: string, kind: new () => E): E {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${id}`);
  return found;
}

const text = find('text', HTMLTextAreaElement);
const size = find('size', HTMLSelectElement);
const steps = find('steps', HTMLInputElement);
const device = find('device', HTMLSelectElement);
const prompt = find('prompt', HTMLInputElement);
const trainButton = find('train', HTMLButtonElement);
const stopButton = find('stop', HTMLButtonElement);
const writeButton = find('sample', HTMLButtonElement);
const output = find('output', HTMLPreElement);
const status = find('status', HTMLParagraphElement);
const progress = find('progress', HTMLProgressElement);
const curve = find('curve', SVGSVGElement);
const downloads = [...find('downloads', HTMLDivElement).querySelectorAll('button')];
const figure = (id: string, value: string): void => {
  find(id, HTMLSpanElement).textContent = value;
};

const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
const order = (given: Order): void => worker.postMessage(given);

let values: number[] = [];
let planned = 0;
let drawn = false;
let seed = 1;

function busy(training: boolean, trained: boolean): void {
  trainButton.disabled = training;
  stopButton.disabled = !training;
  writeButton.disabled = training || !trained;
  for (const button of downloads) button.disabled = training || !trained;
}

function say(sentence: string, bad = false): void {
  status.textContent = sentence;
  status.classList.toggle('bad', bad);
}

/** Draws at most once a frame. */
function show(): void {
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(() => {
    drawn = false;
    drawCurve(curve, values, planned);
  });
}

function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–';
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

function countText(): void {
  const bytes = new TextEncoder().encode(text.value).length;
  find('text-size', HTMLParagraphElement).textContent = `${bytes.toLocaleString('en')} bytes`;
}

worker.addEventListener('message', ({ data }: MessageEvent<News>) => {
  switch (data.type) {
    case 'started':
      return say(
        `${data.parameters.toLocaleString('en')} weights. ${data.about}; ${data.threads === 1 ? 'one thread' : `${data.threads} threads`}.`,
      );
    case 'step':
      values.push(data.loss / Math.LN2);
      figure('loss', (data.loss / Math.LN2).toFixed(2));
      figure('step', `${data.step} / ${data.steps}`);
      figure('speed', Math.round(data.tokensPerSecond).toLocaleString('en'));
      figure('left', duration(data.secondsLeft));
      progress.value = data.step / data.steps;
      return show();
    case 'written':
      output.textContent = data.text;
      if (data.final) busy(false, true);
      return;
    case 'ended':
      figure('left', '–');
      busy(false, true);
      return say(
        `${data.reason === 'finished' ? 'Finished' : 'Stopped'} after ${data.step} steps, ${duration(data.seconds)}.`,
      );
    case 'file': {
      const link = document.createElement('a');
      link.href = URL.createObjectURL(new Blob([data.bytes.slice()]));
      link.download = data.file;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      return;
    }
    case 'error':
      busy(false, false);
      return say([data.message, data.hint].filter(Boolean).join(' '), true);
  }
});
worker.addEventListener('error', ({ message }) => {
  busy(false, false);
  say(message || 'The training thread did not start.', true);
});

trainButton.addEventListener('click', () => {
  if (!steps.reportValidity()) return;
  values = [];
  planned = Number(steps.value);
  progress.value = 0;
  busy(true, false);
  say('Loading the engine.');
  show();
  order({
    type: 'train',
    text: text.value,
    size: size.value as keyof typeof SIZES,
    steps: planned,
    device: device.value as 'auto' | 'wasm' | 'webgpu',
    prompt: prompt.value,
  });
});
stopButton.addEventListener('click', () => {
  stopButton.disabled = true;
  say('Stopping after this step.');
  order({ type: 'stop' });
});
find('sample-form', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault();
  writeButton.disabled = true;
  order({ type: 'write', prompt: prompt.value, seed: seed++ });
});
for (const button of downloads) {
  button.addEventListener('click', () => order({ type: 'file', file: button.dataset.file ?? '' }));
}
text.addEventListener('input', countText);
text.value = sample;
countText();
planned = Number(steps.value);
new ResizeObserver(show).observe(curve);
