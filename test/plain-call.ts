import { type Call, constant, type TracedRandom } from 'tessera-kit/tensor';

const noDraws = new Proxy({} as TracedRandom, {
  get: (_target, verb) => () => {
    throw new Error(`${String(verb)} was drawn, where nothing should be`);
  },
});

/** A call for functions that are evaluated outside of a program: not training, without draws, deaf to figures. */
export const plainCall: Call = {
  training: false,
  step: constant(0),
  random: noDraws,
  at: () => plainCall,
  record: () => undefined,
  block: (f) => f,
};
