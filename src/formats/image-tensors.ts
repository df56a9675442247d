/** Pictures as models take them: channels first, floats, normalized; and back. */

import { TesseraError } from '../host/error.js';
import { type NDArray, ndarray } from '../tensor/ndarray.js';
import { imageSizes } from './image-resample.js';

/** Means and deviations of channels in 0 to 1. */
export interface ImageNormalization {
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

/** Published normalizations: ImageNet's, CLIP's (arXiv 2103.00020), SigLIP's (arXiv 2303.15343), and plain -1 to 1. */
export const IMAGE_NORMALIZATIONS = {
  imagenet: { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] },
  clip: { mean: [0.48145466, 0.4578275, 0.40821073], deviation: [0.26862954, 0.26130258, 0.27577711] },
  siglip: { mean: [0.5], deviation: [0.5] },
  half: { mean: [0.5], deviation: [0.5] },
  none: { mean: [0], deviation: [1] },
} as const satisfies Readonly<Record<string, ImageNormalization>>;

/** A normalization by name, or of one's own; one number is for every channel. */
export type NormalizationChoice = keyof typeof IMAGE_NORMALIZATIONS | ImageNormalization;

const WHITE = { uint8: 255, int32: 65535 } as const;

/**
 * A picture `[height, width, channels]` of 8 bits, or of 16 in int32, as float32 `[channels, height, width]`:
 * `(value / white - mean) / deviation`. @throws bad-shape; bad-option when the normalization has other channels.
 */
export function toTensorLayout(
  image: NDArray<'uint8'> | NDArray<'int32'>,
  normalization: NormalizationChoice = 'none',
): NDArray<'float32'> {
  const [height, width, channels] = imageSizes(image);
  const { mean, deviation } = channelsOf(normalization, channels);
  const pixels = height * width;
  const out = new Float32Array(pixels * channels);
  for (let c = 0; c < channels; c++) {
    const scale = 1 / (WHITE[image.dtype] * (deviation[c] ?? 1));
    const shift = (mean[c] ?? 0) / (deviation[c] ?? 1);
    for (let i = 0; i < pixels; i++) out[c * pixels + i] = (image.data[i * channels + c] as number) * scale - shift;
  }
  return ndarray('float32', [channels, height, width], out);
}

/**
 * The way back: float32 `[channels, height, width]` as a picture of 8 bits `[height, width, channels]`, rounded to nearest and
 * clipped to 0 and 255. @throws bad-shape; bad-option.
 */
export function fromTensorLayout(
  tensor: NDArray<'float32'>,
  normalization: NormalizationChoice = 'none',
): NDArray<'uint8'> {
  const [channels, height, width] = imageSizes(tensor);
  const { mean, deviation } = channelsOf(normalization, channels);
  const pixels = height * width;
  const out = new Uint8ClampedArray(pixels * channels);
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < pixels; i++) {
      const value = (tensor.data[c * pixels + i] as number) * (deviation[c] ?? 1) + (mean[c] ?? 0);
      out[i * channels + c] = value * 255;
    }
  }
  return ndarray('uint8', [height, width, channels], new Uint8Array(out.buffer));
}

function channelsOf(choice: NormalizationChoice, channels: number): ImageNormalization {
  const { mean, deviation }: ImageNormalization = typeof choice === 'string' ? IMAGE_NORMALIZATIONS[choice] : choice;
  const spread = (values: readonly number[]): readonly number[] =>
    values.length === 1 ? new Array<number>(channels).fill(values[0] ?? 0) : values;
  const [means, deviations] = [spread(mean), spread(deviation)];
  if (means.length === channels && deviations.length === channels && deviations.every((value) => value > 0)) {
    return { mean: means, deviation: deviations };
  }
  throw new TesseraError(
    'bad-option',
    `A normalization of ${mean.length} channels does not fit a picture of ${channels}.`,
    {
      hint: 'Decode with channels: 3, or give one mean and one deviation, above zero, for each channel.',
    },
  );
}
