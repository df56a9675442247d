/** Timing engines in turn: A B A B, seven rounds, the median ratio and its spread. */

/** An engine under test: does its work once and gives the milliseconds of each unit of it. */
export interface Contender {
  readonly name: string;
  round(): Promise<readonly number[]>;
}

/** Figures of one comparison. */
export interface Comparison {
  /** Median milliseconds a unit, by engine. */
  readonly milliseconds: Readonly<Record<string, number>>;
  /** For each peer: its median over ours, round by round, the median of those. Above 1: ours is faster. */
  readonly ratios: Readonly<Record<string, number>>;
  /** For each peer: the interquartile range of the round ratios over their median. */
  readonly spread: Readonly<Record<string, number>>;
  readonly rounds: number;
  readonly noisy: boolean;
}

/** The middle value; the mean of the two middle ones of an even number. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** A quantile by linear interpolation. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = (sorted.length - 1) * q;
  const low = sorted[Math.floor(place)] ?? Number.NaN;
  const high = sorted[Math.ceil(place)] ?? Number.NaN;
  return low + (high - low) * (place - Math.floor(place));
}

const ROUNDS = 7;
const SPREAD_LIMIT = 0.15;

/** Runs `ours` and the peers in turn. A spread above 15 % buys up to two more sets of rounds, then counts as noisy. */
export async function compare(
  ours: Contender,
  peers: readonly Contender[],
  say: (line: string) => void,
): Promise<Comparison> {
  const times = new Map<string, number[][]>([ours, ...peers].map(({ name }) => [name, []]));
  const best: { result?: Comparison } = {};
  for (let set = 0; set < 3; set++) {
    for (const list of times.values()) list.length = 0;
    for (let round = 0; round < ROUNDS; round++) {
      for (const contender of [ours, ...peers]) {
        const unit = await contender.round();
        times.get(contender.name)?.push([...unit]);
      }
      const line = [...times].map(([name, rounds]) => `${name} ${median(rounds.at(-1) ?? []).toFixed(2)} ms`);
      say(`round ${round + 1}: ${line.join(', ')}`);
    }
    const result = summarize(ours.name, times);
    if (best.result === undefined || worst(result) < worst(best.result)) best.result = result;
    if (!result.noisy) break;
    say(`the spread is above ${SPREAD_LIMIT * 100} %: measuring again`);
  }
  if (best.result === undefined) throw new Error('no round was run');
  return best.result;
}

function worst({ spread }: Comparison): number {
  return Math.max(0, ...Object.values(spread));
}

function summarize(ours: string, times: ReadonlyMap<string, readonly (readonly number[])[]>): Comparison {
  const own = (times.get(ours) ?? []).map(median);
  const ratios: Record<string, number> = {};
  const spread: Record<string, number> = {};
  const milliseconds: Record<string, number> = {};
  for (const [name, rounds] of times) {
    milliseconds[name] = median(rounds.map(median));
    if (name === ours) continue;
    const each = rounds.map((round, index) => median(round) / (own[index] ?? Number.NaN));
    ratios[name] = median(each);
    spread[name] = (quantile(each, 0.75) - quantile(each, 0.25)) / median(each);
  }
  return {
    milliseconds,
    ratios,
    spread,
    rounds: own.length,
    noisy: Object.values(spread).some((value) => value > SPREAD_LIMIT),
  };
}
