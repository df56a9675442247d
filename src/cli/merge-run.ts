/** The work of `tessera merge`. */

import { resolve } from 'node:path';
import { loadAdapter } from '../language-models/index.js';
import { countLora, mergeLora } from '../nn/index.js';
import { TesseraError } from '../tensor/index.js';
import { adapterFolderOf, openModel } from './engine.js';
import type { MergeChoices } from './merge.js';
import { type Job, needed } from './options.js';
import { count } from './output.js';

/** Merges as the command line says. @throws TesseraError for everything a person can mend. */
export async function runMerge(
  path: string,
  adapterPath: string,
  choices: MergeChoices,
  { output, signal }: Job,
): Promise<void> {
  const out = needed(choices.out, '--out', `tessera merge ${path} ${adapterPath} --out merged`);
  const adapter = adapterFolderOf(adapterPath);
  const loaded = await openModel(path);
  try {
    if ([path, loaded.folder, adapterPath, adapter].some((own) => resolve(own) === resolve(out))) {
      throw new TesseraError('bad-option', `The merged model would replace what it is made from, in ${out}.`, {
        hint: 'Give another folder with --out.',
      });
    }
    const base = await loaded.parameters();
    const { settings, adapters } = await loadAdapter(adapter, loaded.model, base);
    await loaded.model.save(out, mergeLora(base, settings, adapters), { onnx: choices.onnx, signal });
    const result = {
      model: out,
      from: loaded.folder,
      adapter,
      modules: settings.modules.length,
      parameters: countLora(adapters),
      rank: settings.rank,
      dora: settings.dora,
    };
    output.result(
      result,
      () =>
        `${count(result.parameters)} parameters of ${settings.dora ? 'DoRA' : 'LoRA'} adapters went into ${count(result.modules)} modules.\n` +
        `The model is in ${out}\n  tessera generate ${out} --prompt "..."\n  tessera eval ${out} --text FILE`,
    );
  } finally {
    await loaded.close();
  }
}
