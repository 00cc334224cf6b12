/** The rows of pooling. */
import { float } from './grammar.js'

const maximum = {
  kernelH: 'integer',
  kernelW: 'integer',
  strideH: 'integer',
  strideW: 'integer',
  padH: 'integer',
  padW: 'integer',
  dilationH: 'integer',
  dilationW: 'integer',
} as const
const average = {
  kernelH: 'integer',
  kernelW: 'integer',
  strideH: 'integer',
  strideW: 'integer',
  padH: 'integer',
  padW: 'integer',
  countIncludePad: 'flag',
} as const

export const pool = {
  /** indices: position of the first maximum within the H*W plane of x; NaN counts as largest; padding never wins */
  max_pool2d_forward: {
    calledAs: 'maxPool2d',
    args: { out: 'out T', indices: 'out int32', x: 'in T', ...maximum },
    T: float,
    precision: 'float32',
  },
  max_pool2d_backward: {
    calledAs: 'maxPool2d backward',
    args: { dx: 'out T', dy: 'in T', indices: 'in int32' },
    T: float,
    precision: 'float32',
  },
  avg_pool2d_forward: {
    calledAs: 'avgPool2d',
    args: { out: 'out T', x: 'in T', ...average },
    T: float,
    precision: 'float32',
  },
  avg_pool2d_backward: {
    calledAs: 'avgPool2d backward',
    args: { dx: 'out T', dy: 'in T', ...average },
    T: float,
    precision: 'float32',
  },
} as const
