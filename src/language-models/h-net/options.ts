/** What an H-Net is made of: ready and published sizes, and checks. */

import { TesseraError } from '../../tensor/index.js';
import { hasMlp, isAttention, type Layout, parseLayout, printLayout, stagesOf } from './layout.js';

/** Who says where chunks begin: the router, every N-th position, or the byte after a white space. */
export type BoundaryRule = 'learned' | 'stride' | 'spaces';

/** Every choice of the architecture. Lists have one entry a stage, the outermost first. */
export interface HNetOptions {
  /** The configuration string, such as `m4,[T22],m4`. */
  readonly layout: string;
  readonly widths: readonly number[];
  /** Width inside the feed-forward blocks of a stage; 0 where it has none. */
  readonly hidden: readonly number[];
  readonly heads: readonly number[];
  /** Channels of each head that turn with the position. */
  readonly rotary: readonly number[];
  /** Earlier positions that attention sees; -1 for all. */
  readonly windows: readonly number[];
  /** Mamba-2: width of the convolution, expansion, size of a state, width of a head, positions of a block. */
  readonly conv: number;
  readonly expand: number;
  readonly state: number;
  readonly ssmHead: number;
  readonly ssmChunk: number;
  /** Positions a chunk, as training steers it; one entry a stage that chunks. */
  readonly ratios: readonly number[];
  /** The weight of the ratio loss (0.03 in the paper). */
  readonly ratioWeight: number;
  /** The most chunks of a row in training, as a share of its positions; each stage takes it of the one outside. */
  readonly capacity: number;
  readonly boundaries: BoundaryRule;
  /**
   * The standard deviation of fresh embeddings: 1 in the reference code. In small models of attention blocks 0.02 lets the
   * blocks say more than the bytes themselves when the router begins to choose.
   */
  readonly embeddingDeviation: number;
  /** Factors of the learning rate, such as 3, 1.7, 0.9. */
  readonly rates: readonly number[];
  readonly context: number;
}

/** Bytes that never occur in UTF-8 begin and end a document. */
export const BOS = 254;
export const EOS = 255;
/** A byte is a token. */
export const VOCABULARY = 256;
/** Inside every norm. */
export const EPSILON = 1e-5;

interface Size {
  readonly layout: string;
  readonly widths: readonly number[];
  readonly hidden: readonly number[];
  readonly heads: readonly number[];
  readonly rotary: readonly number[];
  readonly windows: readonly number[];
  readonly ratios: readonly number[];
  readonly embeddingDeviation?: number;
}

const LARGE = { heads: [16, 16], windows: [1023, -1], ratios: [6] };
const TWO = { heads: [16, 16, 16], windows: [1023, 1023, -1], ratios: [3, 3] };

/** Ready sizes: two small ones, and those of the published checkpoints. */
export const H_NET_SIZES = {
  tiny: {
    layout: 'T2,[T4],T2',
    widths: [128, 192],
    hidden: [352, 512],
    heads: [4, 6],
    rotary: [32, 32],
    windows: [-1, -1],
    ratios: [6],
    embeddingDeviation: 0.02,
  },
  small: {
    layout: 'm3,[T6],m3',
    widths: [192, 320],
    hidden: [0, 864],
    heads: [3, 5],
    rotary: [32, 32],
    windows: [-1, -1],
    ratios: [6],
  },
  '1stage_L': { ...LARGE, layout: 'm4,[T22],m4', widths: [1024, 1536], hidden: [0, 4096], rotary: [32, 48] },
  '2stage_L': {
    ...TWO,
    layout: 'm4,[T1m4,[T26],m4T1],m4',
    widths: [1024, 1024, 1536],
    hidden: [0, 2816, 4096],
    rotary: [32, 32, 48],
  },
  '1stage_XL': { ...LARGE, layout: 'm4,[T24],m4', widths: [1024, 2048], hidden: [0, 5504], rotary: [32, 64] },
  '2stage_XL': {
    ...TWO,
    layout: 'm4,[T1m4,[T27],m4T1],m4',
    widths: [1024, 1536, 2048],
    hidden: [0, 4096, 5504],
    rotary: [32, 48, 64],
  },
} as const satisfies Readonly<Record<string, Size>>;

/** The name of a ready size. */
export type HNetSize = keyof typeof H_NET_SIZES;

/** Options that may be left out. */
export type HNetChoices = Partial<HNetOptions> & { readonly size?: HNetSize };

/** Fills in what was not chosen and refuses what does not fit together. @throws bad-option. */
export function hNetOptions(choices: HNetChoices = {}): HNetOptions {
  const { size, ...given } = choices;
  const named: Size | undefined = size === undefined ? H_NET_SIZES.tiny : sizeOf(size);
  if (named === undefined) {
    throw new TesseraError('bad-option', `There is no size "${String(size)}".`, {
      hint: `Choose ${Object.keys(H_NET_SIZES).join(', ')}.`,
    });
  }
  const ready = given.layout === undefined || size !== undefined ? named : freeSize(given.layout, given.widths);
  const layout = parseLayout(given.layout ?? ready.layout);
  const widths = given.widths ?? ready.widths;
  const heads = given.heads ?? (given.widths === undefined ? ready.heads : widths.map(headsOf));
  const own = given.widths !== undefined || given.heads !== undefined;
  const options: HNetOptions = {
    layout: printLayout(layout),
    widths,
    hidden: given.hidden ?? (given.widths === undefined ? ready.hidden : hiddenOf(layout, widths)),
    heads,
    rotary: given.rotary ?? (own ? widths.map((width, stage) => width / (heads[stage] ?? 1)) : ready.rotary),
    windows: given.windows ?? fitted(ready.windows, widths.length, -1),
    conv: given.conv ?? 4,
    expand: given.expand ?? 2,
    state: given.state ?? (widths[0] !== undefined && widths[0] < 512 ? 64 : 128),
    ssmHead: given.ssmHead ?? 64,
    ssmChunk: given.ssmChunk ?? 64,
    ratios: given.ratios ?? ready.ratios,
    ratioWeight: given.ratioWeight ?? 0.03,
    capacity: given.capacity ?? 0.5,
    boundaries: given.boundaries ?? 'learned',
    embeddingDeviation: given.embeddingDeviation ?? ready.embeddingDeviation ?? 1,
    rates: given.rates ?? widths.map(() => 1),
    context: given.context ?? 256,
  };
  check(options, layout);
  return options;
}

function sizeOf(name: string): Size | undefined {
  return Object.entries<Size>(H_NET_SIZES).find(([known]) => known === name)?.[1];
}

/** Defaults for a configuration string of one's own: widths that grow by half a stage. */
function freeSize(text: string, widths: readonly number[] | undefined): Size {
  const layout = parseLayout(text);
  const stages = stagesOf(layout).length;
  const chosen = widths ?? Array.from({ length: stages }, (_, stage) => 128 + 64 * stage);
  const heads = chosen.map(headsOf);
  return {
    layout: text,
    widths: chosen,
    heads,
    hidden: hiddenOf(layout, chosen),
    rotary: chosen.map((width, stage) => width / (heads[stage] ?? 1)),
    windows: chosen.map(() => -1),
    ratios: stages === 2 ? [6] : Array.from({ length: stages - 1 }, () => 3),
  };
}

function headsOf(width: number): number {
  return width % 32 === 0 ? width / 32 : 1;
}

/** Two thirds of four times the width, in steps of 32, for stages with a feed-forward block. */
function hiddenOf(layout: Layout, widths: readonly number[]): readonly number[] {
  return stagesOf(layout).map((stage, index) =>
    kindsOf(stage).some(hasMlp) ? Math.ceil(((widths[index] ?? 0) * 8) / 3 / 32) * 32 : 0,
  );
}

function fitted(list: readonly number[], length: number, filler: number): readonly number[] {
  return Array.from({ length }, (_, index) => list[index] ?? filler);
}

/** The kinds of blocks of a stage. */
export function kindsOf(stage: Layout) {
  return 'main' in stage ? stage.main : [...stage.encoder, ...stage.decoder];
}

function check(options: HNetOptions, layout: Layout): void {
  const refuse = (sentence: string): never => {
    throw new TesseraError('bad-option', sentence);
  };
  const stages = stagesOf(layout);
  for (const name of ['widths', 'hidden', 'heads', 'rotary', 'windows', 'rates'] as const) {
    const { length } = options[name];
    if (length !== stages.length) {
      refuse(
        `The configuration ${options.layout} has ${stages.length} stages, so ${name} needs as many entries, not ${length}.`,
      );
    }
  }
  if (options.ratios.length !== stages.length - 1) {
    refuse(
      `${options.layout} chunks ${stages.length - 1} times, so ratios needs as many entries, not ${options.ratios.length}.`,
    );
  }
  for (const name of ['conv', 'expand', 'state', 'ssmHead', 'ssmChunk', 'context'] as const) {
    const value = options[name];
    if (!Number.isInteger(value) || value < 1)
      refuse(`The option ${name} must be a whole number from 1, not ${value}.`);
  }
  for (const [index, stage] of stages.entries()) checkStage(options, stage, index, refuse);
  for (const ratio of options.ratios) {
    if (!(ratio > 1)) refuse(`A ratio is the positions of a chunk and must be above 1, not ${ratio}.`);
    if (options.boundaries === 'stride' && !Number.isInteger(ratio))
      refuse(`A fixed stride must be whole, not ${ratio}.`);
  }
  if (!(options.ratioWeight >= 0))
    refuse(`The weight of the ratio loss must be at least 0, not ${options.ratioWeight}.`);
  if (!(options.embeddingDeviation > 0 && Number.isFinite(options.embeddingDeviation)))
    refuse(`The deviation of fresh embeddings must be above 0, not ${options.embeddingDeviation}.`);
  if (!(options.capacity > 0 && options.capacity <= 1)) {
    refuse(`The capacity is a share of the positions, above 0 and at most 1, not ${options.capacity}.`);
  }
  if (options.boundaries === 'spaces' && stages.length > 2) {
    refuse('Boundaries after spaces are a rule for one stage of chunks; this configuration has more.');
  }
}

function checkStage(options: HNetOptions, stage: Layout, index: number, refuse: (sentence: string) => never): void {
  const at = (list: readonly number[]): number => list[index] ?? 0;
  const [width, hidden, heads, rotary, window] = [
    at(options.widths),
    at(options.hidden),
    at(options.heads),
    at(options.rotary),
    at(options.windows),
  ];
  const where = `in stage ${index}`;
  if (!Number.isInteger(width) || width < 1) refuse(`A width must be a whole number from 1, not ${width} ${where}.`);
  const outside = index === 0 ? 0 : (options.widths[index - 1] ?? 0);
  if (width < outside) refuse(`Widths may not shrink on the way in: ${outside}, then ${width}.`);
  const kinds = kindsOf(stage);
  if (kinds.some(hasMlp) && !(Number.isInteger(hidden) && hidden >= 1)) {
    refuse(`Feed-forward blocks need a width inside them, a whole number from 1, not ${hidden} ${where}.`);
  }
  if (!(at(options.rates) >= 0)) refuse(`A factor of the rate must be at least 0, not ${at(options.rates)} ${where}.`);
  if (kinds.some((kind) => !isAttention(kind)) && (width * options.expand) % options.ssmHead !== 0) {
    refuse(`${width} x ${options.expand} does not divide into Mamba-2 heads of ${options.ssmHead} ${where}.`);
  }
  if (!kinds.some(isAttention)) return;
  if (!Number.isInteger(heads) || heads < 1 || width % heads !== 0) {
    refuse(`A width of ${width} does not divide into ${heads} heads ${where}.`);
  }
  const head = width / heads;
  if (head % 2 !== 0) refuse(`A head must have an even width, not ${head} ${where}.`);
  if (!Number.isInteger(rotary) || rotary < 0 || rotary > head || rotary % 2 !== 0) {
    refuse(`The rotary channels must be an even number up to ${head}, not ${rotary} ${where}.`);
  }
  if (!Number.isInteger(window) || window < -1)
    refuse(`A window must be a whole number from 0, or -1, not ${window} ${where}.`);
}
