/** Negative log likelihood of labels. */
import { autocastDType } from '../../autograd/autocast.js'
import { apply, checkTensor } from '../../autograd/operator.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import { countOf } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { castTo } from '../convert.js'
import { div, mul, ne, neg, where } from '../elementwise/index.js'
import { gather, indexSelect } from '../indexing/index.js'
import { kernel, operator } from '../operator.js'
import { sum } from '../reduce/index.js'
import { reshape } from '../shape/index.js'
import { checkClasses, checkIgnoreIndex } from './classes.js'
import {
  checkFloats,
  checkReduction,
  type Reduction,
  type ReductionOptions,
  reductionCodes,
  type ToOne,
} from './reduction.js'

interface Nll {
  readonly reduction: Reduction
  readonly ignoreIndex: number
}

/** logProbs [N, C, I], target [N I] int32, weight [C] or null. Extra output: the total weight. */
const nllRecord = operator<
  [logProbs: Tensor, target: Tensor, weight: Tensor | null],
  Nll,
  [out: Tensor],
  [total: Tensor]
>({
  name: 'nllLoss',
  infer([logProbs, target], { reduction }) {
    const dtype = logProbs.dtype === 'float64' ? 'float64' : 'float32'
    return [
      { shape: reduction === 'none' ? target.sizes : [], dtype },
      { shape: [], dtype },
    ]
  },
  forward: kernel('nll_loss_forward', ([logProbs, target, weight], attrs, { out, total }) => ({
    out,
    total,
    logProbs,
    target,
    weight,
    ignoreIndex: attrs.ignoreIndex,
    reduction: reductionCodes[attrs.reduction],
  })),
  composite([logProbs, target, weight], { reduction, ignoreIndex }) {
    const [n = 0, , inner = 0] = logProbs.sizes
    const counted = ne(target, ignoreIndex)
    // Any label will do for a row that is not counted, because its loss is masked below.
    const label = where(counted, target, 0)
    const given = reshape(gather(logProbs, 1, reshape(label, [n, 1, inner])), target.sizes)
    const picked = given.dtype === 'bfloat16' ? castTo(given, 'float32') : given
    const factor = weight && indexSelect(weight, 0, label)
    const losses = where(counted, neg(factor ? mul(picked, factor) : picked), 0)
    if (reduction === 'none') return losses
    if (reduction === 'sum') return sum(losses)
    const mask = castTo(counted, picked.dtype)
    return div(sum(losses), sum(factor ? mul(mask, factor) : mask))
  },
  gradient: {
    // Only the composite reads logProbs, and its own gradient does not read them either.
    saves: () => ({ inputs: [0, 1, 2], outputs: [1] }),
    backward: kernel('nll_loss_backward', (ctx, [dy], { dlogProbs }) => ({
      dlogProbs,
      dy,
      total: ctx.output(1),
      target: ctx.input(1),
      weight: ctx.input(2),
      ignoreIndex: ctx.attrs.ignoreIndex,
      reduction: reductionCodes[ctx.attrs.reduction],
    })),
  },
})

export interface NllLossOptions extends ReductionOptions {
  /** A factor for each class, [C]. It is a constant: a tensor that wants a gradient is refused. */
  readonly weight?: Tensor | null
  /** Rows with this label do not count. Default -100. */
  readonly ignoreIndex?: number
}

const nllNames: OptionNames<NllLossOptions> = { weight: true, ignoreIndex: true, reduction: true }

/**
 * -logProbs[row, label], times the label's weight: logProbs [N, C], [C] or [N, C, d...] with int32 labels [N], [] or
 * [N, d...]. `mean` divides by the sum of the counted rows' weights, and is NaN if none counts. A label outside of the
 * classes is a late IndexOutOfRangeError.
 */
export function nllLoss(logProbs: Tensor, target: Tensor, options?: NllLossOptions & ToOne): Tensor<[]>
export function nllLoss(logProbs: Tensor, target: Tensor, options?: NllLossOptions): Tensor
export function nllLoss(logProbs: Tensor, target: Tensor, options: NllLossOptions = {}): Tensor {
  const op = 'nllLoss'
  const { weight = null, ignoreIndex = -100, reduction = 'mean' } = checkOptions(op, options, nllNames)
  checkReduction(op, reduction)
  checkIgnoreIndex(op, ignoreIndex)
  checkTensor(op, 'logProbs', logProbs)
  checkFloats(op, { logProbs, weight })
  checkClasses(op, ['logProbs', logProbs], target, weight)
  const { ndim, sizes } = logProbs
  const shape = ndim === 1 ? [1, ...sizes, 1] : [...sizes.slice(0, 2), countOf(sizes.slice(2))]
  // The kernel reads logarithms of any float, but weights only in the dtype in which it computes.
  const factors = logProbs.dtype === 'bfloat16' && weight?.dtype === 'bfloat16' ? castTo(weight, 'float32') : weight
  const inputs = [reshape(logProbs, shape), reshape(target, [target.numel]), factors] as const
  const result = apply(nllRecord, [...inputs], { reduction, ignoreIndex })
  const loss = reduction === 'none' ? reshape(result, target.sizes) : result
  return logProbs.dtype === 'bfloat16' && autocastDType() === null ? castTo(loss, 'bfloat16') : loss
}
