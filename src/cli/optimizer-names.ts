/** The optimizers that `tessera train` offers, with what they take where nothing is chosen. Light: read for `--help`. */

/** An optimizer as the command line knows it. */
export interface OptimizerUsual {
  /** The highest rate, given the one that AdamW would take for the model. */
  rate(adamw: number): number;
  /** The weight decay on matrices. */
  readonly decay: number;
  /** One line for a person. */
  readonly about: string;
}

/** By name. */
export const OPTIMIZERS = {
  adamw: { rate: (adamw) => adamw, decay: 0.1, about: 'Adam with decay apart' },
  sgd: { rate: () => 0.3, decay: 0, about: 'gradients with Nesterov momentum 0.9' },
  adam: { rate: (adamw) => adamw, decay: 0, about: 'Adam with decay in the gradient' },
  lion: { rate: (adamw) => adamw / 3, decay: 0.3, about: 'the sign of a momentum' },
  muon: { rate: (adamw) => adamw, decay: 0.1, about: 'orthogonal momentum for matrices, AdamW for the rest' },
  adafactor: { rate: () => 0.03, decay: 0, about: 'second moments as rows and columns, steps relative to the weights' },
  ademamix: { rate: (adamw) => adamw, decay: 0.1, about: 'AdamW with a slow average beside the fast one' },
} as const satisfies Readonly<Record<string, OptimizerUsual>>;

/** A name of one. */
export type OptimizerName = keyof typeof OPTIMIZERS;

/** All names, AdamW first. */
export const OPTIMIZER_NAMES: readonly string[] = Object.keys(OPTIMIZERS);
