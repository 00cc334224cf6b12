/** The rows of normalisation. */
import { float } from './grammar.js'

export const norm = {
  /**
   * x is [N, C, L]; statistics [C] over N and L. In training they are the batch's, and running = (1 - momentum) running
   * + momentum batch (with the unbiased variance); otherwise mean and rstd come from the running statistics.
   */
  batch_norm_forward: {
    calledAs: 'batchNorm',
    args: {
      out: 'out T',
      mean: 'out T',
      rstd: 'out T',
      x: 'in T',
      weight: 'in? T',
      bias: 'in? T',
      runningMean: 'inout? T',
      runningVar: 'inout? T',
      momentum: 'number',
      eps: 'number',
      training: 'flag',
    },
    T: float,
    optional: true,
    precision: 'float32',
  },
  /** in training gradients flow through the batch's statistics; otherwise these are constants */
  batch_norm_backward: {
    calledAs: 'batchNorm backward',
    args: {
      dx: 'out? T',
      dweight: 'out? T',
      dbias: 'out? T',
      dy: 'in T',
      x: 'in T',
      mean: 'in T',
      rstd: 'in T',
      weight: 'in? T',
      training: 'flag',
    },
    T: float,
    optional: true,
  },
  /** x is [rows, columns], normalised over columns; mean and rstd are [rows] */
  layer_norm_forward: {
    calledAs: 'layerNorm',
    args: { out: 'out T', mean: 'out T', rstd: 'out T', x: 'in T', weight: 'in? T', bias: 'in? T', eps: 'number' },
    T: float,
    optional: true,
    precision: 'float32',
  },
  layer_norm_backward: {
    calledAs: 'layerNorm backward',
    args: {
      dx: 'out? T',
      dweight: 'out? T',
      dbias: 'out? T',
      dy: 'in T',
      x: 'in T',
      mean: 'in T',
      rstd: 'in T',
      weight: 'in? T',
    },
    T: float,
    optional: true,
  },
  /** x is [rows, columns], divided by the roots of the mean squares of rows; rstd is [rows] */
  rms_norm_forward: {
    calledAs: 'rmsNorm',
    args: { out: 'out T', rstd: 'out T', x: 'in T', weight: 'in? T', eps: 'number' },
    T: float,
    optional: true,
    precision: 'float32',
  },
  rms_norm_backward: {
    calledAs: 'rmsNorm backward',
    args: { dx: 'out? T', dweight: 'out? T', dy: 'in T', x: 'in T', rstd: 'in T', weight: 'in? T' },
    T: float,
    optional: true,
  },
  /** x is [N, C, L]; mean and rstd are [N groups], over C / groups channels and L */
  group_norm_forward: {
    calledAs: 'groupNorm',
    args: {
      out: 'out T',
      mean: 'out T',
      rstd: 'out T',
      x: 'in T',
      weight: 'in? T',
      bias: 'in? T',
      groups: 'integer',
      eps: 'number',
    },
    T: float,
    optional: true,
    precision: 'float32',
  },
  group_norm_backward: {
    calledAs: 'groupNorm backward',
    args: {
      dx: 'out? T',
      dweight: 'out? T',
      dbias: 'out? T',
      dy: 'in T',
      x: 'in T',
      mean: 'in T',
      rstd: 'in T',
      weight: 'in? T',
      groups: 'integer',
    },
    T: float,
    optional: true,
  },
} as const
