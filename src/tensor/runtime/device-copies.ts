/**
 * Tensors to a device and back through sessions of one node, one a dtype and direction: reading a device tensor of the
 * native WebGPU provider directly ends the process, and it has no way to make one.
 */

import type { DType, NDArray } from '../ndarray.js';
import { canCopy, copyModel } from './copy-model.js';
import type { Provider } from './provider.js';
import { isResident, openSession, type Session, type SessionValue, toArray, toValue } from './session.js';

/** Whether a device keeps tensors between runs. The bindings offer that for WebGPU only. */
export function keepsTensors({ device }: Pick<Provider, 'device'>): boolean {
  return device === 'webgpu';
}

/** Moves tensors between this thread and a device that keeps them; elsewhere values stay what they are. */
export class DeviceCopies {
  private readonly sessions = new Map<string, Promise<Session>>();

  constructor(private readonly provider: Provider) {}

  /** Whether a leaf of this dtype and shape can live on the device. */
  fits(dtype: DType, shape: readonly (number | string)[]): boolean {
    return keepsTensors(this.provider) && canCopy(dtype) && !shape.includes(0);
  }

  /** The array as a value of the device, or of this thread where it does not fit there. */
  async put(value: NDArray): Promise<SessionValue> {
    const here = toValue(this.provider, value);
    return this.fits(value.dtype, value.shape) ? this.move(here, value.dtype, 'put') : here;
  }

  /** The value as an array of this thread; its memory is the value's own where it is here already. */
  async get(value: SessionValue): Promise<NDArray> {
    if (!isResident(value)) return toArray(value);
    return toArray(await this.move(value, value.type as DType, 'get'));
  }

  async close(): Promise<void> {
    const sessions = await Promise.all(this.sessions.values());
    this.sessions.clear();
    await Promise.all(sessions.map((session) => session.release()));
  }

  private async move(value: SessionValue, dtype: DType, way: 'put' | 'get'): Promise<SessionValue> {
    const key = `${way} ${dtype}`;
    const opening =
      this.sessions.get(key) ??
      openSession(this.provider, copyModel(dtype), {
        threads: 1,
        optimized: false,
        resident: way === 'put' ? ['y'] : [],
      });
    this.sessions.set(key, opening);
    const { y } = await (await opening).run({ x: value });
    if (y === undefined) throw new Error('a copy without a result');
    return y;
  }
}
