/** The rows of losses. */
import type { StridedView } from '../../core/device.js'
import { countOf } from '../../core/shape.js'
import { float, row, size } from './grammar.js'

/** `reduction` is 0 none, 1 mean, 2 sum. */
const options = { ignoreIndex: 'integer', smoothing: 'number', reduction: 'integer' } as const

/** The products of the logits, and of each wanted gradient. */
const productsOf = (gradients: readonly (StridedView | null)[]): number =>
  gradients.reduce((count, gradient) => count + (gradient !== null && countOf(gradient.sizes) > 0 ? 1 : 0), 1)

export const loss = {
  /**
   * logits [N, C], read in float32 whatever their dtype; target [N], weight [C]. out is [N] (none) or []; statistics
   * [2, N] holds the largest logit m of each row, then each row's sum of exp(logit - m); total [] is the sum of the
   * counted rows' weights, by which mean divides. A label outside [0, C) that is not ignoreIndex is recorded as an
   * error.
   */
  cross_entropy_forward: {
    calledAs: 'crossEntropy',
    args: {
      out: 'out T',
      statistics: 'out T',
      total: 'out T',
      logits: 'in float',
      target: 'in int32',
      weight: 'in? T',
      ...options,
    },
    T: float,
    optional: true,
    precision: 'float32',
  },
  /** dy has the shape of the forward's out */
  cross_entropy_backward: {
    calledAs: 'crossEntropy backward',
    args: {
      dlogits: 'out float',
      dy: 'in T',
      statistics: 'in T',
      total: 'in T',
      logits: 'in float',
      target: 'in int32',
      weight: 'in? T',
      ...options,
    },
    T: float,
    optional: true,
  },
  /**
   * The cross entropy of the logits x [N, D] weight [V, D]^T + bias [V], capped to softcap tanh(logit / softcap) unless
   * that is 0; target [N], classWeight [V]. out is [N] (none) or []; statistics as above, zeros for rows that do not
   * count. Gradients are those of the loss itself. One that is null or has no elements is not wanted.
   */
  linear_cross_entropy_forward: row(
    {
      out: 'out float32',
      statistics: 'out float32',
      dx: 'out? float32',
      dweight: 'out? float32',
      dbias: 'out? float32',
      x: 'in float',
      weight: 'in float',
      bias: 'in? float',
      target: 'in int32',
      classWeight: 'in? float',
      softcap: 'number',
      ...options,
    },
    {
      calledAs: 'linearCrossEntropy',
      optional: true,
      precision: 'low',
      multiplyAdds: ({ dx, dweight, x, weight }) =>
        productsOf([dx, dweight]) * countOf(x.sizes) * size(weight.sizes, 0),
    },
  ),
  /** The gradients from dy [N], the gradients of each row's loss. The logits are computed a second time. */
  linear_cross_entropy_backward: row(
    {
      dx: 'out? float',
      dweight: 'out? float',
      dbias: 'out? float',
      dy: 'in float32',
      statistics: 'in float32',
      x: 'in float',
      weight: 'in float',
      bias: 'in? float',
      target: 'in int32',
      classWeight: 'in? float',
      softcap: 'number',
      ignoreIndex: 'integer',
      smoothing: 'number',
    },
    {
      calledAs: 'linearCrossEntropy backward',
      optional: true,
      multiplyAdds: ({ dx, dweight, x, weight }) =>
        productsOf([dx, dweight]) * countOf(x.sizes) * size(weight.sizes, 0),
    },
  ),
  /**
   * logProbs [N, C, I], read in float32 whatever their dtype; target [N I], weight [C]. out is [N I] (none) or [];
   * total [] is the sum of the counted rows' weights. A label outside [0, C) that is not ignoreIndex is recorded as an
   * error.
   */
  nll_loss_forward: row(
    {
      out: 'out T',
      total: 'out T',
      logProbs: 'in float',
      target: 'in int32',
      weight: 'in? T',
      ignoreIndex: 'integer',
      reduction: 'integer',
    },
    { calledAs: 'nllLoss', T: float, optional: true, precision: 'float32', partly: { logProbs: 'target' } },
  ),
  /** dy has the shape of the forward's out */
  nll_loss_backward: {
    calledAs: 'nllLoss backward',
    args: {
      dlogProbs: 'out float',
      dy: 'in T',
      total: 'in T',
      target: 'in int32',
      weight: 'in? T',
      ignoreIndex: 'integer',
      reduction: 'integer',
    },
    T: float,
    optional: true,
  },
  /**
   * logProbs [T, N, C], targets [N, S], lengths [N] -> out [N], infinite if there is no alignment, or 0 with
   * zeroInfinity; alpha [N, T, 2 S + 1], with each row relative to the largest element of the row before. Elements
   * beyond a sequence's own states and steps are not written. Impossible lengths and labels are recorded as errors.
   */
  ctc_forward: {
    calledAs: 'ctcLoss',
    args: {
      out: 'out T',
      alpha: 'out T',
      logProbs: 'in T',
      targets: 'in int32',
      inputLengths: 'in int32',
      targetLengths: 'in int32',
      blank: 'integer',
      zeroInfinity: 'flag',
    },
    T: float,
    optional: true,
    precision: 'float32',
  },
  /** dy [N] */
  ctc_backward: {
    calledAs: 'ctcLoss backward',
    args: {
      dlogProbs: 'out T',
      dy: 'in T',
      alpha: 'in T',
      logProbs: 'in T',
      targets: 'in int32',
      inputLengths: 'in int32',
      targetLengths: 'in int32',
      blank: 'integer',
      zeroInfinity: 'flag',
    },
    T: float,
    optional: true,
  },
} as const
