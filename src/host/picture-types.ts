/** Pictures as both halves of the host decode and encode them. */

/** A decoded picture, upright: its orientation tag is applied. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha; alpha is not multiplied in. */
  readonly channels: number;
  /** Frames or pages, each of the same size. */
  readonly frames: number;
  /** Milliseconds that each frame is shown; empty for a picture that does not move. */
  readonly delays: readonly number[];
  /** [frames, height, width, channels], of 8 or of 16 bits. */
  readonly data: Uint8Array | Uint16Array;
}

/** What is known of a picture without decoding it. */
export interface PictureInfo {
  /** `png`, `jpeg`, `webp`, `gif`, ... */
  readonly format: string;
  /** Pixels as they are stored, before the orientation is applied; of one frame. */
  readonly width: number;
  readonly height: number;
  /** 0 where the host does not tell. */
  readonly channels: number;
  /** Bits of a channel; 0 where the host does not tell. */
  readonly bits: number;
  readonly frames: number;
  /** The EXIF orientation, 1 to 8; 1 when there is none or the host does not tell. */
  readonly orientation: number;
}

/** How a picture is decoded. */
export interface DecodePictureOptions {
  /** The most pixels, of all frames that are wanted. */
  readonly maxPixels: number;
  /** Every frame instead of the first. */
  readonly allFrames?: boolean;
  /** Pictures of 16 bits as such, instead of their upper 8. */
  readonly wide?: boolean;
  /** Colors as stored, instead of converted to sRGB by the picture's profile. */
  readonly ignoreProfile?: boolean;
}

/** The part of a host that knows pictures. A source is the path of a file, or a file's bytes. */
export interface PictureHost {
  /** @throws not-found, bad-file, unsupported where the host has no decoder. */
  describePicture(source: string | Uint8Array): Promise<PictureInfo>;
  /** @throws also bad-input for more pixels than `maxPixels`, found before they are decoded. */
  decodePicture(source: string | Uint8Array, options: DecodePictureOptions): Promise<Picture>;
  /** One frame as a file's bytes; `quality` from 1 to 100 is for JPEG, which has no alpha. */
  encodePicture(picture: Picture, format: 'png' | 'jpeg', quality: number): Promise<Uint8Array>;
}
