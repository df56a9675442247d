/** What the page and its training thread say to each other. */

import type { Device } from 'tessera-kit/tensor';

/** Models to choose from. */
export const SIZES = {
  small: { layers: 2, width: 64, heads: 4, context: 64, batch: 8 },
  medium: { layers: 4, width: 128, heads: 4, context: 128, batch: 8 },
} as const;

/** From the page. */
export type Order =
  | {
      readonly type: 'train';
      readonly text: string;
      readonly size: keyof typeof SIZES;
      readonly steps: number;
      readonly device: Device | 'auto';
      readonly prompt: string;
    }
  | { readonly type: 'stop' }
  | { readonly type: 'write'; readonly prompt: string; readonly seed: number }
  | { readonly type: 'file'; readonly file: string };

/** From the thread. */
export type News =
  | { readonly type: 'started'; readonly about: string; readonly threads: number; readonly parameters: number }
  | {
      readonly type: 'step';
      readonly step: number;
      readonly steps: number;
      /** Nats a token, which is a byte here. */
      readonly loss: number;
      readonly tokensPerSecond: number;
      readonly secondsLeft: number;
    }
  | { readonly type: 'written'; readonly text: string; readonly final: boolean }
  | { readonly type: 'ended'; readonly reason: string; readonly step: number; readonly seconds: number }
  | { readonly type: 'file'; readonly file: string; readonly bytes: Uint8Array }
  | { readonly type: 'error'; readonly message: string; readonly hint?: string };
