/**
 * Numbers on the host: decompositions, least squares, clusters, statistics. Matrices are `NDArray`s of two dimensions.
 *
 * The decompositions are our own because they are faster than the package of the field that runs everywhere: ml-matrix
 * 6.15 took, side by side in one process (A B A B, the median of three, processor time, one core of a busy machine):
 *
 * | n by n | product | eigenvectors | SVD  | Cholesky | QR   | solve |
 * |--------|---------|--------------|------|----------|------|-------|
 * | 256    | 1.7x    | 1.4x         | 1.7x | 3.0x     | 1.8x | 1.7x  |
 * | 512    | 3.5x    | 1.7x         | 2.1x | 2.6x     | 2.7x | 1.9x  |
 *
 * as long (ours at 512: 78 ms, 0.68 s, 1.6 s, 42 ms, 0.42 s, 83 ms). The tests hold the results against that package.
 */

export { cholesky, solve, solveCholesky } from './cholesky.js';
export * from './correlation.js';
export { type BootstrapOptions, bootstrapInterval, type Interval, type WelchTest, welchTest } from './inference.js';
export { assignClusters, kMeans } from './k-means.js';
export type { KMeans, KMeansOptions, KMeansProgress } from './k-means-types.js';
export * from './least-squares.js';
export * from './matrix.js';
export * from './pca.js';
export { gram, multiply, multiplyTransposed, outerGram } from './products.js';
export { orthonormalize, type QR, qr } from './qr.js';
export * from './random-projection.js';
export * from './randomized.js';
export {
  correlations,
  covariance,
  mean,
  median,
  quantile,
  quantiles,
  type Sample,
  standardDeviation,
  variance,
} from './statistics.js';
export { compose, conditionNumber, type SVD, singularValues, svd, truncated } from './svd.js';
export { type SymmetricEigen, symmetricEigen } from './symmetric-eigen.js';
