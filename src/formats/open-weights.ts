/** Weights of whichever format a path holds: safetensors, PyTorch's checkpoints, or the initializers of an ONNX model. */

import { joinPath, listDirectory, stat } from '#host';
import { TesseraError } from '../host/error.js';
import { openOnnx } from './onnx.js';
import { openPytorch } from './pytorch.js';
import { openSafetensors } from './safetensors-read.js';
import type { Weights } from './weights.js';

const SAFETENSORS = /\.safetensors(\.index\.json)?$/;
const PYTORCH = /\.(bin|pt|pth|ckpt)(\.index\.json)?$/;

/** What training leaves beside the weights, in the same format. */
const NO_WEIGHTS = /^(training_args|optimizer|scheduler|scaler|rng_state\w*)\.(bin|pt|pth)$/;

/** True for the name of a file, or of an index of shards, that holds weights. */
export function isWeightsName(name: string): boolean {
  return SAFETENSORS.test(name) || (PYTORCH.test(name) && !NO_WEIGHTS.test(name));
}

/**
 * Opens a file of weights, an index of shards, or a folder that has either; of a folder with both formats, the
 * safetensors. Files are told apart by their names' endings. An ONNX model is opened by its own path only.
 *
 * @throws not-found when there are none; bad-input for another format; what `openSafetensors`, `openPytorch`
 * and `openOnnx` throw.
 */
export async function openWeights(path: string): Promise<Weights> {
  const status = await stat(path);
  if (status === undefined)
    throw new TesseraError('not-found', `There is nothing at ${path}.`, { hint: 'Check the path.' });
  if (status.kind !== 'directory') {
    if (SAFETENSORS.test(path)) return openSafetensors(path);
    if (PYTORCH.test(path)) return openPytorch(path);
    if (path.endsWith('.onnx')) return (await openOnnx(path)).weights;
    throw new TesseraError('bad-input', `${path} is none of the files of weights that are read.`, {
      hint: 'They end in .safetensors, .bin, .pt, .pth, .ckpt, .onnx, or .index.json.',
    });
  }
  const names = (await listDirectory(path)).map(({ name }) => name);
  if (names.some((name) => SAFETENSORS.test(name))) return openSafetensors(path);
  return openPytorch(joinPath(path, findPytorch(path, names.filter(isWeightsName))));
}

/** The name of a folder's checkpoint, as `transformers` looks for it. @throws not-found. */
function findPytorch(folder: string, names: readonly string[]): string {
  for (const name of ['pytorch_model.bin', 'pytorch_model.bin.index.json']) if (names.includes(name)) return name;
  const indexes = names.filter((name) => name.endsWith('.index.json'));
  const found = indexes.length > 0 ? indexes : names;
  const [only] = found;
  if (found.length === 1 && only !== undefined) return only;
  throw only === undefined
    ? new TesseraError('not-found', `${folder} has no weights.`, { hint: 'Fetch its .safetensors or .bin files.' })
    : new TesseraError('not-found', `${folder} has ${found.length} checkpoints and no index: ${found.join(', ')}.`, {
        hint: 'Name the file that is meant.',
      });
}
