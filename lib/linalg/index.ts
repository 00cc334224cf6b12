/** Linear algebra, as in PyTorch's `torch.linalg`. */

export { vectorNorm } from '../ops/reduce/index.js'
export { cross } from '../ops/vectors.js'
export { type EighOptions, eigh, eigvalsh } from './eigh.js'
export { type LeastSquares, lstsq, matrixRank, pinv, type ToleranceOptions } from './inverse.js'
export { det, inv, lu, luFactor, type SolveOptions, slogdet, solve } from './lu.js'
export { cond, type MatrixOrder, matrixNorm, norm } from './norms.js'
export { matrixExp, matrixPower, multiDot, type VanderOptions, vander } from './powers.js'
export { type QrOptions, qr } from './qr.js'
export { type SvdOptions, svd, svdvals } from './svd.js'
export {
  type CholeskyOptions,
  cholesky,
  choleskySolve,
  type SolveTriangularOptions,
  solveTriangular,
} from './triangular.js'
