/** The loss of each step as a curve: every value, and their running mean in front. */

const EDGE = { left: 38, right: 10, top: 10, bottom: 26 };
const SMOOTHING = 0.9;

function element(name: string, attributes: Readonly<Record<string, string | number>>, text = ''): SVGElement {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.textContent = text;
  return made;
}

/** A running mean, over few values at first. */
function smooth(values: readonly number[]): number[] {
  let mean = 0;
  return values.map((value, step) => {
    const kept = Math.min(SMOOTHING, step / (step + 3));
    mean = kept * mean + (1 - kept) * value;
    return mean;
  });
}

/** Draws values (bits a byte, one a step) over an axis of `steps` steps. */
export function drawCurve(svg: SVGSVGElement, values: readonly number[], steps: number): void {
  const { clientWidth: width, clientHeight: height } = svg;
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  const top = Math.ceil(Math.max(1, ...values));
  const x = (step: number): number => EDGE.left + ((width - EDGE.left - EDGE.right) * step) / Math.max(1, steps - 1);
  const y = (value: number): number => EDGE.top + (height - EDGE.top - EDGE.bottom) * (1 - value / top);
  const path = (line: readonly number[]): string =>
    line.map((value, step) => `${step === 0 ? 'M' : 'L'}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join('');
  const marks: SVGElement[] = [];
  for (let mark = 0; mark <= top; mark += top > 5 ? 2 : 1) {
    marks.push(element('line', { class: 'grid', x1: EDGE.left, x2: width - EDGE.right, y1: y(mark), y2: y(mark) }));
    marks.push(element('text', { x: EDGE.left - 8, y: y(mark) + 4, 'text-anchor': 'end' }, String(mark)));
  }
  for (const part of [0, 0.5, 1]) {
    const step = Math.round(part * steps);
    const anchor = part === 0 ? 'start' : part === 1 ? 'end' : 'middle';
    marks.push(element('text', { x: x(part * (steps - 1)), y: height - 6, 'text-anchor': anchor }, String(step)));
  }
  svg.replaceChildren(
    ...marks,
    element('path', { class: 'raw', d: path(values) }),
    element('path', { class: 'smooth', d: path(smooth(values)) }),
  );
}
