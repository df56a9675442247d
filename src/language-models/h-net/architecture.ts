/** H-Net behind the contract of all architectures. */

import { TesseraError } from '../../tensor/index.js';
import type { Architecture, TextModel } from '../contract.js';
import { loadHNet } from './folder.js';
import { type HNet, type HNetSettings, hNet } from './h-net.js';

const LISTS: ReadonlySet<string> = new Set(['widths', 'hidden', 'heads', 'rotary', 'windows', 'ratios', 'rates']);

/** Names that differ from the library's, where other architectures have one number under that name. */
const NAMES: Readonly<Record<string, string>> = { stageHidden: 'hidden', stageHeads: 'heads' };

/** Lists that a command line gives as text, such as "128,192". */
function settled(choices: Readonly<Record<string, unknown>>): HNetSettings {
  const entries = Object.entries(choices).map(([given, value]) => {
    const name = NAMES[given] ?? given;
    if (!LISTS.has(name) || typeof value !== 'string') return [name, value];
    const numbers = value.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
    if (numbers.some((number) => !Number.isFinite(number))) {
      throw new TesseraError('bad-option', `The option ${name} takes numbers with commas, not "${value}".`);
    }
    return [name, numbers];
  });
  return Object.fromEntries(entries) as HNetSettings;
}

function isHNet(model: TextModel): model is HNet & TextModel {
  return model.name === 'h-net' && 'architecture' in model;
}

/** Makes, adjusts and opens H-Nets. */
export const hNetArchitecture: Architecture = {
  create: (choices, tokenizer) => hNet({ ...settled(choices), tokenizer }),
  adjust: (model, choices) => {
    if (!isHNet(model)) throw new TesseraError('mismatch', `A ${model.name} is no h-net.`);
    return hNet({ ...model.architecture, ...settled(choices) });
  },
  open: (folder) => loadHNet(folder),
};
