/** The work of `tessera grow`. */

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  countTokenformer,
  type GrowOptions,
  growMoments,
  growTokenformer,
  loadTokenformer,
  saveTokenformer,
  type TokenformerOptions,
} from '../language-models/index.js';
import { type AdamWStart, readAdamWStart, readRunMoments } from '../nn/index.js';
import { TesseraError } from '../tensor/index.js';
import { modelFolderOf, openModel } from './engine.js';
import type { GrowChoices } from './grow.js';
import { type Job, needed } from './options.js';
import { count, table } from './output.js';

/** Grows as the command line says. @throws TesseraError for everything a person can mend. */
export async function runGrow(path: string, choices: GrowChoices, { output, signal }: Job): Promise<void> {
  const example = `tessera grow ${path} --tokens-ffn 1536 --out grown`;
  const out = needed(choices.out, '--out', example);
  await refuseOthers(path, out);
  const loaded = await loadTokenformer(modelFolderOf(path));
  try {
    const { architecture: before } = loaded.model;
    const grown = growTokenformer(loaded.model, await loaded.parameters(), optionsOf(choices));
    const { architecture } = grown.model;
    const moments = await momentsOf(path);
    const start = moments && { moments: growMoments(moments.moments, grown.model), steps: moments.steps };
    const { tokenizer } = loaded.model;
    const onnx = choices.onnx ? (['fp32'] as const) : [];
    await saveTokenformer(out, { architecture, parameters: grown.parameters, tokenizer, start, onnx, signal });
    const same = !(choices.randomKeys ?? false) && sameTau(before, architecture);
    output.result(
      {
        model: out,
        from: path,
        tokens: { ...countsOf(architecture) },
        tau: { ...architecture.tau },
        parameters: { before: countTokenformer(before), after: countTokenformer(architecture) },
        functionKept: same,
        optimizerSteps: start?.steps ?? null,
      },
      () =>
        [
          table(
            ['', 'before', 'after'],
            [
              ['tokens of query, key, value', count(before.nQkv), count(architecture.nQkv)],
              ['tokens after attention', count(before.nO), count(architecture.nO)],
              ['tokens of feed-forward', count(before.nFfn), count(architecture.nFfn)],
              ['parameters', count(countTokenformer(before)), count(countTokenformer(architecture))],
            ],
          ),
          same ? 'It computes what it did before.' : 'It computes something else than before, until it is trained on.',
          start === undefined
            ? 'There are no moments of an optimizer with it: training goes on with fresh ones.'
            : `The optimizer's moments after ${count(start.steps)} updates are with it.`,
          `The model is in ${out}\n  tessera train --from ${out} --text FILE --steps 400 --out ${out}-trained`,
        ].join('\n'),
    );
  } finally {
    await loaded.close();
  }
}

/** @throws unsupported for a model that has no tokens to add; bad-option for a folder that would replace its base. */
async function refuseOthers(path: string, out: string): Promise<void> {
  const { model, close, folder } = await openModel(path);
  await close();
  if (model.name !== 'tokenformer') {
    throw new TesseraError(
      'unsupported',
      `${path} holds a ${model.name}, which cannot grow: it has no parameter tokens.`,
      { hint: 'Train one that can with: tessera train --architecture tokenformer' },
    );
  }
  if ([folder, path].some((own) => resolve(own) === resolve(out))) {
    throw new TesseraError('bad-option', `The larger model would replace the one it grows from, in ${out}.`, {
      hint: 'Give another folder with --out.',
    });
  }
}

function optionsOf(choices: GrowChoices): GrowOptions {
  return {
    nQkv: choices.tokensQkv,
    nO: choices.tokensO,
    nFfn: choices.tokensFfn,
    keepTau: choices.keepTau,
    zeroKeys: !(choices.randomKeys ?? false),
    seed: choices.seed,
  };
}

/** The moments of the run that made the model, or those that an earlier growth left beside it. */
async function momentsOf(path: string): Promise<AdamWStart | undefined> {
  const isRun = modelFolderOf(path) !== path && existsSync(join(path, 'checkpoints'));
  return isRun ? readRunMoments(path) : readAdamWStart(path);
}

function countsOf({ nQkv, nO, nFfn }: Pick<TokenformerOptions, 'nQkv' | 'nO' | 'nFfn'>) {
  return { nQkv, nO, nFfn };
}

function sameTau(before: TokenformerOptions, after: TokenformerOptions): boolean {
  return (['nQkv', 'nO', 'nFfn'] as const).every((name) => before.tau[name] === after.tau[name]);
}
