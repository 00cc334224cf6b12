/** The rows of pooling. */
import { float } from './grammar.js'

/** Options of the two spatial dimensions, height first. */
const window = { kernel: 'integers', stride: 'integers', padding: 'integers' } as const

export const pool = {
  /**
   * indices are the positions of the first maxima within the H*W planes of x; NaN counts as largest; padding never wins
   */
  max_pool2d_forward: {
    calledAs: 'maxPool2d',
    args: { out: 'out T', indices: 'out int32', x: 'in T', ...window, dilation: 'integers' },
    T: float,
    precision: 'float32',
  },
  /**
   * Window (p, q) of out's P x Q covers rows floor(p H / P) to ceil((p + 1) H / P) of x, and columns likewise; else as
   * above
   */
  adaptive_max_pool2d_forward: {
    calledAs: 'adaptiveMaxPool2d',
    args: { out: 'out T', indices: 'out int32', x: 'in T' },
    T: float,
    precision: 'float32',
  },
  max_pool2d_backward: {
    calledAs: 'maxPool2d backward',
    args: { dx: 'out T', dy: 'in T', indices: 'in int32' },
    T: float,
    precision: 'float32',
  },
  /** divisor divides the sums; 0 stands for the number of the window's elements that count */
  avg_pool2d_forward: {
    calledAs: 'avgPool2d',
    args: { out: 'out T', x: 'in T', ...window, countIncludePad: 'flag', divisor: 'integer' },
    T: float,
    precision: 'float32',
  },
  avg_pool2d_backward: {
    calledAs: 'avgPool2d backward',
    args: { dx: 'out T', dy: 'in T', ...window, countIncludePad: 'flag', divisor: 'integer' },
    T: float,
    precision: 'float32',
  },
} as const
