/** What k-means takes and gives. */

import type { MatrixLike } from './matrix.js';

/** Options of `kMeans`. */
export interface KMeansOptions {
  /** How many clusters. */
  readonly clusters: number;
  /** Where to begin (default `k-means++`): seeding by distance, points drawn without regard to it, or given centroids [k, d]. */
  readonly start?: 'k-means++' | 'random' | MatrixLike;
  /** Distance: squared Euclidean, or one minus the cosine, with centroids of length 1 (default `euclidean`). */
  readonly metric?: 'euclidean' | 'cosine';
  /** How much each point counts (default 1 each). */
  readonly weights?: ArrayLike<number>;
  /** Rounds at most (default 100; with `batch` the number of batches). */
  readonly iterations?: number;
  /** Stops when a round lowers the inertia by less than this share of it (default 1e-6; 0: when no label changes). */
  readonly tolerance?: number;
  /** Whole runs from other seeds, of which the best is kept (default 1). */
  readonly restarts?: number;
  /** Points a round for mini-batches (Sculley 2010); all points when left out. */
  readonly batch?: number;
  /**
   * What becomes of a cluster without points (default `farthest`): it moves to the point that lies worst, or stays where it
   * was, or the work ends with `bad-input`.
   */
  readonly empty?: 'farthest' | 'keep' | 'error';
  readonly seed?: number;
  /**
   * Threads (default: as many as there are cores where the work is worth it, and one where memory cannot be shared). The
   * result is the same for any number.
   */
  readonly threads?: number;
  readonly signal?: AbortSignal;
  /** Called after each round. */
  readonly report?: (progress: KMeansProgress) => void;
}

/** How far k-means has come. */
export interface KMeansProgress {
  /** Which of the restarts, from 0. */
  readonly restart: number;
  readonly iteration: number;
  /** The weighted sum of distances to the nearest centroids; of the batch alone with mini-batches. */
  readonly inertia: number;
}

/** Clusters. */
export interface KMeans {
  /** [k, d]. */
  readonly centroids: {
    readonly dtype: 'float32';
    readonly shape: readonly [number, number];
    readonly data: Float32Array;
  };
  /** The nearest centroid of each point; of several equally near the first. */
  readonly labels: Int32Array;
  /** The distance of each point to it. */
  readonly distances: Float64Array;
  /** The weighted sum of the distances. */
  readonly inertia: number;
  /** The inertia before each round's centroids were moved; of the batches alone with mini-batches. */
  readonly history: readonly number[];
  readonly iterations: number;
  /** Whether the rounds ended because nothing improved. */
  readonly converged: boolean;
  /** How many points each cluster has. */
  readonly sizes: Int32Array;
}
