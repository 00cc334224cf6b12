/** Linear algebra, as in PyTorch's `torch.linalg`. */
export { type EighOptions, eigh, eigvalsh } from './eigh.js'
export { det, inv, lu, luFactor, type SolveOptions, slogdet, solve } from './lu.js'
export { type QrOptions, qr } from './qr.js'
export { type SvdOptions, svd, svdvals } from './svd.js'
export {
  type CholeskyOptions,
  cholesky,
  choleskySolve,
  type SolveTriangularOptions,
  solveTriangular,
} from './triangular.js'
