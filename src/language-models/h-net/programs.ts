/** The programs of an H-Net for other hosts, one for each step of a stage: 2 S + 1 of them for S stages that chunk. */

import type { ExportSpec } from '../../nn/index.js';
import type { HNetOptions } from './options.js';

/** The programs by name. */
export function programFiles(options: HNetOptions): Readonly<Record<string, ExportSpec>> {
  const outer = options.ratios.map((_, stage) => stage);
  const main = options.ratios.length;
  return Object.fromEntries([
    ...outer.map((stage) => [
      `encoder${stage}`,
      {
        file: `onnx/encoder${stage}.onnx`,
        about: `a position into the hidden state of stage ${stage}, and the probability of a boundary`,
      },
    ]),
    ['main', { file: 'onnx/main.onnx', about: `a chunk through the innermost stage, ${main}` }],
    ...outer
      .toReversed()
      .map((stage) => [
        `decoder${stage}`,
        { file: `onnx/decoder${stage}.onnx`, about: `the average of chunks and the decoder of stage ${stage}` },
      ]),
  ]);
}
