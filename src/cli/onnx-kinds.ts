/** `--onnx`, which several commands have. */

import { InvalidArgumentError } from 'commander';

const KINDS = ['fp32', 'fp16', 'quantized'] as const;

/** An ONNX file that can be written. */
export type OnnxKind = (typeof KINDS)[number];

/** Kinds with commas between them, or `none`. */
export function onnxKinds(text: string): readonly OnnxKind[] {
  if (text === 'none') return [];
  return text.split(',').map((name) => {
    const kind = KINDS.find((known) => known === name.trim());
    if (kind === undefined)
      throw new InvalidArgumentError(`There is no "${name}": choose among fp32, fp16, quantized and none.`);
    return kind;
  });
}
