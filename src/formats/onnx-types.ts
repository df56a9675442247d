/** What is known of an ONNX model without running it, and ONNX's numbers for element types (onnx.proto, TensorProto). */

import type { SafetensorsDType } from './safetensors-header.js';
import type { Weights } from './weights.js';

/** A value that goes into or comes out of a model. */
export interface OnnxValue {
  readonly name: string;
  /** An element type (`float32`, `int64`, `bool`, `bfloat16`, `string`, ...), or `sequence`, `map`, `optional`. */
  readonly dtype: string;
  /** Sizes, named sizes, `?` for a size that is not told; undefined when not even their number is. */
  readonly shape?: readonly (number | string)[];
}

/** A constant that is stored by name. */
export interface OnnxInitializer {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes that its elements take. */
  readonly bytes: number;
  /** The file beside the model that holds it, as the model names it; absent for what is inside the model. */
  readonly external?: string;
}

/** An open model. */
export interface OnnxModel {
  readonly file: string;
  /** Bytes of the file itself, without files of external data. */
  readonly bytes: number;
  readonly irVersion: number;
  /** The program that made it, with its version; empty when it does not say. */
  readonly producer: string;
  /** The model's own domain, version and description, where it has them. */
  readonly domain: string;
  readonly modelVersion: number;
  readonly description: string;
  /** Version of the operators by domain; ONNX's own is `ai.onnx`. */
  readonly opsets: Readonly<Record<string, number>>;
  readonly metadata: Readonly<Record<string, string>>;
  /** What must be fed: inputs that have no initializer of their name. */
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly initializers: readonly OnnxInitializer[];
  /** How many sparse initializers, which are not listed. */
  readonly sparse: number;
  /** How many nodes of each operator, most first, with those of inner graphs; `domain.Name` outside of ONNX's own. */
  readonly operators: Readonly<Record<string, number>>;
  /** All nodes, with those of inner graphs. */
  readonly nodes: number;
  /** Names of functions that the model defines. */
  readonly functions: readonly string[];
  /** Files of external data, as the model names them. */
  readonly externalFiles: readonly string[];
  /**
   * The initializers as weights: each, or rows of it, read when asked for. Left out are those whose type `Weights` has not:
   * strings, complex numbers, and numbers of less than 8 bits. They throw bad-file for one that does not fit its shape or
   * lies in a file that is not there whole.
   */
  readonly weights: Weights;
  close(): Promise<void>;
}

/** An element type: its name, the bits an element takes, and its type as weights have it. */
export interface OnnxElement {
  readonly name: string;
  readonly bits: number;
  readonly stored?: SafetensorsDType;
}

const element = (name: string, bits: number, stored?: SafetensorsDType): OnnxElement => ({ name, bits, stored });

/** Element types by ONNX's numbers, from 1. */
const ELEMENTS: readonly OnnxElement[] = [
  element('float32', 32, 'F32'),
  element('uint8', 8, 'U8'),
  element('int8', 8, 'I8'),
  element('uint16', 16, 'U16'),
  element('int16', 16, 'I16'),
  element('int32', 32, 'I32'),
  element('int64', 64, 'I64'),
  element('string', 0),
  element('bool', 8, 'BOOL'),
  element('float16', 16, 'F16'),
  element('float64', 64, 'F64'),
  element('uint32', 32, 'U32'),
  element('uint64', 64, 'U64'),
  element('complex64', 64),
  element('complex128', 128),
  element('bfloat16', 16, 'BF16'),
  element('float8e4m3fn', 8, 'F8_E4M3'),
  element('float8e4m3fnuz', 8),
  element('float8e5m2', 8, 'F8_E5M2'),
  element('float8e5m2fnuz', 8),
  element('uint4', 4),
  element('int4', 4),
  element('float4e2m1', 4),
  element('float8e8m0', 8, 'F8_E8M0'),
  element('uint2', 2),
  element('int2', 2),
];

/** The element type of ONNX's number; an unknown one is named by it. */
export function elementOf(number: number): OnnxElement {
  return ELEMENTS[number - 1] ?? { name: `type ${number}`, bits: 0 };
}
