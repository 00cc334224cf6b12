/** Negative log likelihood of labels. */
import { checkTensor } from '../../autograd/operator.js'
import { formatShape, ShapeError } from '../../core/errors.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { castTo } from '../convert.js'
import { div, mul, ne, neg, where } from '../elementwise/index.js'
import { gather, indexSelect } from '../indexing/index.js'
import { sum } from '../reduce/index.js'
import { reshape, unsqueeze } from '../shape/index.js'
import { checkClasses, checkIgnoreIndex } from './classes.js'
import { checkFloats, checkReduction, inFloats, type ReductionOptions } from './reduction.js'

export interface NllLossOptions extends ReductionOptions {
  /** A factor for each class, [C]. */
  readonly weight?: Tensor | null
  /** Rows with this label do not count. Default -100. */
  readonly ignoreIndex?: number
}

const nllNames: OptionNames<NllLossOptions> = { weight: true, ignoreIndex: true, reduction: true }

/**
 * -logProbs[row, label], times the label's weight: logProbs [N, C], [C] or [N, C, d...] with int32 labels [N], [] or [N, d...].
 * `mean` divides by the sum of the counted rows' weights, and is NaN where none counts. A label outside of the classes is a late
 * IndexOutOfRangeError.
 */
export function nllLoss(logProbs: Tensor, target: Tensor, options: NllLossOptions = {}): Tensor {
  const op = 'nllLoss'
  const { weight = null, ignoreIndex = -100, reduction = 'mean' } = checkOptions(op, options, nllNames)
  checkReduction(op, reduction)
  checkIgnoreIndex(op, ignoreIndex)
  checkTensor(op, 'logProbs', logProbs)
  checkFloats(op, { logProbs, weight })
  checkClasses(op, ['logProbs', logProbs], target, weight)
  const dim = logProbs.ndim === 1 ? 0 : 1
  if (logProbs.sizes[dim] === 0 && target.numel > 0)
    throw new ShapeError(op, `logProbs are ${formatShape(logProbs.sizes)}, without any class`, [logProbs.sizes])
  const counted = ne(target, ignoreIndex)
  // Where a row is not counted any label will do: its loss is masked below.
  const label = where(counted, target, 0)
  const picked = reshape(gather(logProbs, dim, unsqueeze(label, dim)), target.sizes)
  return inFloats(op, { picked, weight }, [], (x) => {
    const factor = x.weight && reshape(indexSelect(x.weight, 0, reshape(label, [label.numel])), label.sizes)
    const losses = where(counted, neg(factor ? mul(x.picked, factor) : x.picked), 0)
    if (reduction === 'none') return losses
    if (reduction === 'sum') return sum(losses)
    return div(sum(losses), sum(where(counted, factor ?? 1, castTo(counted, x.picked.dtype))))
  })
}
