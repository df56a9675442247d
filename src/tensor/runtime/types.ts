/** What a caller holds of an engine: a runtime, trees of state on its device, compiled programs. */

import type { ProgramSpecs, Traceable } from '../trace.js';
import type { Arrays, Tensors } from '../tree.js';
import type { EngineOptions } from './engine.js';
import type { Device } from './provider.js';

/** How a runtime is made. */
export interface RuntimeOptions extends EngineOptions {
  /** Run in a worker thread (the default), so that this thread stays free. */
  readonly worker?: boolean;
}

/** A tree of state that lives on the device. Views and joins share the same leaves. */
export interface DeviceTree<S> {
  /** Bytes that the leaves take. */
  readonly bytes: number;
  /** A branch of the tree. @throws not-found when there is no such branch. */
  view<K extends keyof S & (string | number)>(key: K): DeviceTree<S[K]>;
  /** The values, copied to this thread. */
  read(): Promise<Arrays<S>>;
  /** New values for every leaf that `values` has. @throws mismatch when a shape differs. */
  write(values: Arrays<S>): Promise<void>;
  /** Frees the leaves, also for views and joins that share them. */
  dispose(): Promise<void>;
}

/** What a program costs. */
export interface ProgramReport {
  readonly nodes: number;
  /** Floating-point operations of the matrix products in one run. */
  readonly flops: number;
  /** Operations that left the device. */
  readonly fallbacks: readonly string[];
}

/** What a run gives: outputs in the form the function returned, and recorded figures by path. */
export interface RunOutput<Out> {
  readonly out: Arrays<Out>;
  readonly figures: Readonly<Record<string, number>>;
}

/** A compiled function of state and input. */
export interface Program<S, In, Out> {
  /** Runs once; state that the function returned replaces the old. `step` and `micro` choose the draws. */
  run(
    state: DeviceTree<S>,
    input: Arrays<In>,
    at?: { readonly step?: number; readonly micro?: number },
  ): Promise<RunOutput<Out>>;
  /** The program as ONNX files, with `weights` as constants in place of the state inputs when given. */
  toONNX(weights?: Arrays<S>): Iterable<{ readonly file: string; readonly bytes: Uint8Array }>;
  readonly report: ProgramReport;
  dispose(): Promise<void>;
}

/** An engine with a device: uploads state, compiles functions. */
export interface Runtime {
  readonly device: Device;
  readonly threads: number;
  /** One line that says which engine runs. */
  readonly about: string;
  /** Copies a tree of arrays to the device. */
  upload<A>(values: A): Promise<DeviceTree<Tensors<A>>>;
  /** One tree of several, each under its name; nothing is copied. */
  join<T extends Readonly<Record<string, unknown>>>(
    trees: { readonly [K in keyof T]: DeviceTree<T[K]> },
  ): DeviceTree<T>;
  /** Traces `f` once and compiles it. @throws TesseraError bad-shape naming operation, shapes and line. */
  compile<S, In, Out>(f: Traceable<S, In, Out>, specs: ProgramSpecs<S, In>): Promise<Program<S, In, Out>>;
  /** Ends the engine; everything it held is gone. */
  dispose(): Promise<void>;
}
