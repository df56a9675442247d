/** What an H-Net is made of: ready and published sizes, checks, and the published configuration file. */

import { isJsonObject, type Json, type JsonObject } from '../../formats/index.js';
import { TesseraError } from '../../tensor/index.js';
import {
  hasMlp,
  isAttention,
  type Layout,
  layoutFromJson,
  layoutJson,
  parseLayout,
  printLayout,
  stagesOf,
} from './layout.js';

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

/** The published configuration file of an architecture, with what training adds under names of our own. */
export function toHNetConfig(options: HNetOptions): JsonObject {
  const list = (values: readonly number[]): Json => [...values];
  return {
    arch_layout: layoutJson(parseLayout(options.layout)) as Json,
    d_model: list(options.widths),
    d_intermediate: list(options.hidden),
    vocab_size: VOCABULARY,
    ssm_cfg: {
      chunk_size: options.ssmChunk,
      d_conv: options.conv,
      d_state: options.state,
      expand: options.expand,
      headdim: options.ssmHead,
    },
    attn_cfg: {
      num_heads: list(options.heads),
      rotary_emb_dim: list(options.rotary),
      window_size: list(options.windows),
    },
    tie_embeddings: false,
    target_ratios: list(options.ratios),
    ratio_loss_weight: options.ratioWeight,
    chunk_capacity: options.capacity,
    boundaries: options.boundaries,
    rate_multipliers: list(options.rates),
    max_position_embeddings: options.context,
    bos_token_id: BOS,
    eos_token_id: EOS,
  };
}

/** Reads a published configuration, or ours. @throws bad-file, unsupported, bad-option. */
export function fromHNetConfig(config: JsonObject): HNetOptions {
  const part = (name: string): JsonObject => {
    const value = config[name];
    if (isJsonObject(value)) return value;
    throw new TesseraError('bad-file', `The configuration has no "${name}", as that of an H-Net does.`);
  };
  const [ssm, attention] = [part('ssm_cfg'), part('attn_cfg')];
  if (config.tie_embeddings === true) {
    throw new TesseraError('unsupported', 'An H-Net with one table for input and output is not read.');
  }
  if (config.vocab_size !== VOCABULARY) {
    throw new TesseraError(
      'unsupported',
      `An H-Net reads ${VOCABULARY} bytes, not ${String(config.vocab_size)} tokens.`,
    );
  }
  const layout = layoutFromJson(config.arch_layout);
  const stages = stagesOf(layout).length;
  const boundaries = config.boundaries;
  return hNetOptions({
    layout: printLayout(layout),
    widths: numbers(config.d_model, 'd_model'),
    hidden: numbers(config.d_intermediate, 'd_intermediate'),
    heads: numbers(attention.num_heads, 'num_heads'),
    rotary: numbers(attention.rotary_emb_dim, 'rotary_emb_dim'),
    windows: numbers(attention.window_size, 'window_size'),
    conv: number(ssm.d_conv, 4),
    expand: number(ssm.expand, 2),
    state: number(ssm.d_state, 128),
    ssmHead: number(ssm.headdim, 64),
    ssmChunk: number(ssm.chunk_size, 256),
    ratios:
      config.target_ratios === undefined
        ? stages === 2
          ? [6]
          : Array.from({ length: stages - 1 }, () => 3)
        : numbers(config.target_ratios, 'target_ratios'),
    ratioWeight: number(config.ratio_loss_weight, 0.03),
    capacity: number(config.chunk_capacity, 0.5),
    boundaries: boundaries === 'stride' || boundaries === 'spaces' ? boundaries : 'learned',
    rates: config.rate_multipliers === undefined ? undefined : numbers(config.rate_multipliers, 'rate_multipliers'),
    context: number(config.max_position_embeddings, 8192),
  });
}

function numbers(value: Json | undefined, name: string): readonly number[] {
  if (Array.isArray(value)) {
    const list = value.filter((entry) => typeof entry === 'number');
    if (list.length === value.length) return list;
  }
  throw new TesseraError('bad-file', `"${name}" must be a list of numbers, not ${JSON.stringify(value ?? null)}.`);
}

function number(value: Json | undefined, absent: number): number {
  if (value === undefined) return absent;
  if (typeof value === 'number') return value;
  throw new TesseraError('bad-file', `A number was needed, not ${JSON.stringify(value)}.`);
}
