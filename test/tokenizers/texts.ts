/** Texts to train on and to try, small and in several scripts. */

/** A few sentences in several languages, repeated with changes so that there is something to merge. */
export const CORPUS: readonly string[] = Array.from({ length: 40 }, (_, i) =>
  [
    `In the year ${1800 + i} the quick brown foxes jumped over ${i * 37} lazy dogs, and they didn't stop; we're sure.`,
    `\tfor (let i = 0; i < ${i}; i++) { total += values[i] * 2; } // it's done\n\n`,
    'Über den Wolken muß die Freiheit wohl grenzenlos sein. Çok güzel bir gün, değil mi?',
    'चेहरे पर इस की आँखें बहुत अजीब थीं। 吾輩は猫である。名前はまだ無い。 Съешь же ещё этих мягких булок.',
    `I'VE seen WE'LL and it's ${i}th: 👩‍👩‍👧 café, cafe\u0301, naïve — “quoted” … ½ + ٣ = ?\r\n`,
  ].join(i % 2 === 0 ? ' ' : '  \n'),
);

/** Texts that have been trouble for tokenizers. */
export const TROUBLE: readonly string[] = [
  '',
  ' ',
  '   ',
  'a',
  ' a b  c   d',
  'trailing   ',
  '\n\n  \n x',
  '\r\n\t\t mixed \u00a0\u3000 spaces\u2028here',
  "don't I'LL we'Ve 'tis ''' 's'S",
  'ünïcödé e\u0301 ﬁ ſ K',
  '12345 1,234.56 ½ ٣٤٥ Ⅷ 一二三',
  '\0\u0001\u007f nul',
  'ends with a mark\ufffd',
  '👩‍👩‍👧🏽 🇩🇪 😀😀😀',
  'עברית العربية हिन्दी ไทย 中文 日本語 한국어',
  'x'.repeat(300),
  '-'.repeat(70),
  ' '.repeat(90),
  '\u200b\u200d\u2060',
  'a<b <|x|> < | endoftext |>',
  'https://example.org/a?b=c&d=%20#e',
];

/** A deterministic stream of numbers in [0, below). */
export function drawer(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
