/**
 * Character noise: what a text becomes when each character is, with a given probability, dropped, doubled, turned to the
 * other case or replaced by another of the same text. The robustness measure of byte-level and token-level models, as
 * in the perturbed benchmarks of H-Net (Hwang et al., arXiv 2507.07955) and BLT (Pagnoni et al., arXiv 2412.09871),
 * on texts instead of multiple choice.
 */

import { random, TesseraError } from '../tensor/index.js';

/** Options of {@link characterNoise}. */
export interface NoiseOptions {
  /** The probability that a character is changed. */
  readonly share: number;
  readonly seed?: number;
}

/** The text with noise. The same seed gives the same noise. @throws bad-option for a share outside 0 to 1. */
export function characterNoise(text: string, options: NoiseOptions): string {
  const { share, seed = 0 } = options;
  if (!(share >= 0 && share <= 1)) {
    throw new TesseraError('bad-option', `The share of noisy characters must be from 0 to 1, not ${share}.`);
  }
  const uniform = random(seed).child('character-noise').stream();
  const characters = [...text];
  const known = [...new Set(characters)];
  const changed = characters.map((character) => {
    if (uniform() >= share) return character;
    switch (Math.floor(uniform() * 4)) {
      case 0:
        return '';
      case 1:
        return character + character;
      case 2:
        return otherCase(character);
      default:
        return known[Math.floor(uniform() * known.length)] ?? character;
    }
  });
  return changed.join('');
}

function otherCase(character: string): string {
  const lower = character.toLowerCase();
  return lower === character ? character.toUpperCase() : lower;
}
