/** How a lowered model reaches an engine: as bytes, or as files where its weights are more than one message can hold. */

import { createWriter, joinPath, makeTemporaryDirectory, remove } from '#host';
import type { Lowered } from '../onnx/lower.js';
import { EXTERNAL_LIMIT, encodeLowered, encodeOnnxFiles, weightBytes } from '../onnx/write.js';
import type { Engine, Plan } from './engine.js';

const FILE = 'model.onnx';

/** Loads a model into an engine. The files of a large one are removed once the session has read them. */
export async function loadModel(engine: Engine, lowered: Lowered, plan: Plan, limit = EXTERNAL_LIMIT): Promise<number> {
  if (weightBytes(lowered) <= limit) return engine.load(encodeLowered(lowered), plan);
  const folder = await makeTemporaryDirectory();
  try {
    await writeModel(folder, FILE, lowered, limit);
    return await engine.load(joinPath(folder, FILE), plan);
  } finally {
    await remove(folder);
  }
}

/** Writes the files of a model into a folder, each whole or not at all. @throws no-space. */
export async function writeModel(
  folder: string,
  name: string,
  lowered: Lowered,
  limit = EXTERNAL_LIMIT,
): Promise<void> {
  let open: { readonly file: string; readonly writer: Awaited<ReturnType<typeof createWriter>> } | undefined;
  try {
    for (const { file, bytes } of encodeOnnxFiles(lowered, name, limit)) {
      if (open?.file !== file) {
        await open?.writer.commit();
        open = { file, writer: await createWriter(joinPath(folder, file)) };
      }
      await open.writer.write(bytes);
    }
    await open?.writer.commit();
  } catch (error) {
    await open?.writer.abort();
    throw error;
  }
}
