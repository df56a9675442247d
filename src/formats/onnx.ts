/**
 * ONNX models opened for reading: what goes in and out, operators and their versions, metadata, and the initializers as
 * weights. The file is walked without being held, its weights and files of external data are passed over, and a tensor
 * is read when asked for; so a model of many gigabytes opens in the time that its nodes take. To run one, see
 * `openFrozen` of `tessera-kit/tensor`.
 *
 * Left out: initializers of graphs inside of nodes (If, Loop, Scan), sparse ones, which are counted, and the training
 * part of a model. What a model's nodes compute is not checked.
 */

import { openRandomAccess, type RandomAccess } from '#host';
import { TesseraError } from '../host/error.js';
import { bytesAsFile } from './byte-source.js';
import { readModelPlace, type ValuePlace } from './onnx-graph.js';
import { ExternalFiles, storedInitializer, tensorBytes } from './onnx-tensors.js';
import { elementOf, type OnnxInitializer, type OnnxModel, type OnnxValue } from './onnx-types.js';
import { ProtobufFile } from './protobuf-walk.js';
import { assembleWeights } from './weights.js';

export type { OnnxInitializer, OnnxModel, OnnxValue } from './onnx-types.js';

/**
 * Opens an `.onnx` file, or a file's bytes (beside which no external data is found).
 * @throws not-found; bad-file for what is damaged, lies, or is no ONNX model.
 */
export async function openOnnx(source: string | Uint8Array): Promise<OnnxModel> {
  const file = typeof source === 'string' ? source : 'The model given';
  const access = typeof source === 'string' ? await openRandomAccess(source) : bytesAsFile(source);
  const external = new ExternalFiles(typeof source === 'string' ? source : undefined);
  const close = async (): Promise<void> => {
    await external.close();
    await access.close();
  };
  try {
    return await describeModel(file, access, external, close);
  } catch (error) {
    await close();
    throw error;
  }
}

async function describeModel(
  file: string,
  access: RandomAccess,
  external: ExternalFiles,
  close: () => Promise<void>,
): Promise<OnnxModel> {
  await checkStart(file, access);
  const place = await readModelPlace(new ProtobufFile(access, file, 'ONNX'));
  const initializers = place.tensors.map((tensor): OnnxInitializer => {
    const bytes = tensorBytes(tensor);
    if (!Number.isSafeInteger(bytes)) {
      const shape = tensor.shape.join(', ');
      throw new TesseraError('bad-file', `The tensor '${tensor.name}' of ${file} has the shape [${shape}].`);
    }
    const location = tensor.external?.get('location');
    const { name, shape } = tensor;
    const described = { name, dtype: elementOf(tensor.type).name, shape, bytes };
    return location === undefined ? described : { ...described, external: location };
  });
  const names = new Set(initializers.map(({ name }) => name));
  const stored = place.tensors.flatMap((tensor) => storedInitializer(tensor, access, external, file) ?? []);
  const metadata = Object.fromEntries(place.metadata);
  const counts = [...place.operators].sort(([a, some], [b, more]) => more - some || (a < b ? -1 : 1));
  return {
    file,
    bytes: access.size,
    irVersion: place.irVersion,
    producer: `${place.producerName} ${place.producerVersion}`.trim(),
    domain: place.domain,
    modelVersion: place.modelVersion,
    description: place.description,
    opsets: Object.fromEntries(place.opsets),
    metadata,
    inputs: place.inputs.filter(({ name }) => !names.has(name)).map(describeValue),
    outputs: place.outputs.map(describeValue),
    initializers,
    sparse: place.sparse,
    operators: Object.fromEntries(counts),
    nodes: counts.reduce((sum, [, count]) => sum + count, 0),
    functions: place.functions,
    externalFiles: [...new Set(initializers.flatMap(({ external: location }) => location ?? []))],
    weights: assembleWeights([{ file, metadata, tensors: stored, close }]),
    close,
  };
}

async function checkStart(file: string, access: RandomAccess): Promise<void> {
  const start = new TextDecoder('latin1').decode(await access.read(0, Math.min(access.size, 24)));
  if (start === '') throw new TesseraError('bad-file', `${file} is empty, and so no ONNX model.`);
  if (!start.startsWith('version https://git-lfs')) return;
  throw new TesseraError('bad-file', `${file} is a pointer of Git LFS, not the model.`, {
    hint: 'Fetch the file itself: git lfs pull.',
  });
}

function describeValue({ name, kind, type, shape }: ValuePlace): OnnxValue {
  const dtype = kind === 'tensor' ? elementOf(type).name : kind;
  return shape === undefined ? { name, dtype } : { name, dtype, shape };
}
