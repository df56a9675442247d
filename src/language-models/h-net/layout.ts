/**
 * Configuration strings of H-Net (arXiv 2507.07955), such as `m4,[T22],m4`: encoder, inner network in brackets, decoder.
 * A stack is a run of letters with counts; the innermost part is a stack alone.
 */

import { TesseraError } from '../../tensor/index.js';

/** `m`: Mamba-2 alone; `M`: with a feed-forward block; `t`: attention alone; `T`: with a feed-forward block. */
export type BlockKind = 'm' | 'M' | 't' | 'T';

/** Blocks in their order. */
export type StackLayout = readonly BlockKind[];

/** A stage: the innermost one is a stack, the others read and write around the stage inside them. */
export type Layout =
  | { readonly main: StackLayout }
  | { readonly encoder: StackLayout; readonly inner: Layout; readonly decoder: StackLayout };

/** Stages from the outermost in; the last has only `main`. */
export function stagesOf(layout: Layout): readonly Layout[] {
  return 'main' in layout ? [layout] : [layout, ...stagesOf(layout.inner)];
}

/** A residual addition for each block, two for those with a feed-forward block. */
export function heightOf(stack: StackLayout): number {
  return stack.reduce((height, kind) => height + (hasMlp(kind) ? 2 : 1), 0);
}

/** Whether a block ends in a feed-forward block. */
export function hasMlp(kind: BlockKind): boolean {
  return kind === 'M' || kind === 'T';
}

/** Whether a block mixes positions by attention. */
export function isAttention(kind: BlockKind): boolean {
  return kind === 't' || kind === 'T';
}

/** A configuration string read. @throws bad-option saying what is wrong and where. */
export function parseLayout(text: string): Layout {
  const bare = text.replace(/\s+/g, '');
  const refuse = (sentence: string): never => {
    throw new TesseraError('bad-option', `The configuration "${text}" ${sentence}`, {
      hint: 'Write encoder, inner network and decoder as in "m4,[T22],m4" or "m4,[T1m4,[T26],m4T1],m4".',
    });
  };
  const layout = parsePart(bare, refuse);
  if ('main' in layout) return refuse('has no inner network in brackets, so nothing is chunked.');
  return layout;
}

type Refuse = (sentence: string) => never;

function parsePart(text: string, refuse: Refuse): Layout {
  const open = text.indexOf('[');
  const close = text.lastIndexOf(']');
  if (open < 0 && close < 0) {
    if (text.includes(',')) return refuse(`has "${text}" where one stack of blocks is needed.`);
    return { main: parseStack(text, refuse) };
  }
  if (open < 0 || close < open) return refuse('has a bracket that is not closed.');
  const [before, inner, after] = [text.slice(0, open), text.slice(open + 1, close), text.slice(close + 1)];
  if (!before.endsWith(',') || !after.startsWith(',')) {
    return refuse('needs an encoder before and a decoder after each bracket, with commas between.');
  }
  return {
    encoder: parseStack(before.slice(0, -1), refuse),
    inner: parsePart(inner, refuse),
    decoder: parseStack(after.slice(1), refuse),
  };
}

function parseStack(text: string, refuse: Refuse): StackLayout {
  if (text === '') return refuse('has an empty stack of blocks.');
  const blocks: BlockKind[] = [];
  for (const [whole, letter = '', digits = ''] of text.matchAll(/([^\d])(\d*)/g)) {
    const kind = blockKind(letter);
    if (kind === undefined) return refuse(`has "${whole}" in "${text}"; the blocks are m, M, t and T.`);
    const count = Number(digits);
    if (digits === '' || count < 1 || count > 1024) return refuse(`has "${whole}", which needs a count from 1.`);
    for (let i = 0; i < count; i++) blocks.push(kind);
  }
  if (/^\d/.test(text)) return refuse(`has a count without a block in "${text}".`);
  return blocks;
}

function blockKind(letter: string): BlockKind | undefined {
  return letter === 'm' || letter === 'M' || letter === 't' || letter === 'T' ? letter : undefined;
}

/** The configuration string of a layout. */
export function printLayout(layout: Layout): string {
  if ('main' in layout) return printStack(layout.main);
  return `${printStack(layout.encoder)},[${printLayout(layout.inner)}],${printStack(layout.decoder)}`;
}

/** Blocks as letters with counts: `T1m4`. */
export function printStack(stack: StackLayout): string {
  let text = '';
  for (let at = 0; at < stack.length; ) {
    let end = at;
    while (end < stack.length && stack[end] === stack[at]) end++;
    text += `${stack[at]}${end - at}`;
    at = end;
  }
  return text;
}

/** The nested lists of published configurations: `["m4", ["T22"], "m4"]`. */
export type LayoutJson = readonly (string | LayoutJson)[];

/** A layout as published configurations write it. */
export function layoutJson(layout: Layout): LayoutJson {
  if ('main' in layout) return [printStack(layout.main)];
  return [printStack(layout.encoder), layoutJson(layout.inner), printStack(layout.decoder)];
}

/** A published `arch_layout` read. @throws bad-option for what is none. */
export function layoutFromJson(value: unknown): Layout {
  const text = (part: unknown): string =>
    typeof part === 'string' ? part : Array.isArray(part) ? `[${part.map(text).join(',')}]` : JSON.stringify(part);
  const whole = text(value);
  return parseLayout(Array.isArray(value) ? whole.slice(1, -1) : whole);
}
