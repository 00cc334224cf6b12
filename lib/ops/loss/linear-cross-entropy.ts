/** Cross entropy of the logits of a linear layer, which are never held as a whole. */
import { autocastDType } from '../../autograd/autocast.js'
import { isGradEnabled } from '../../autograd/mode.js'
import { agree, apply, checkDType, checkTensor } from '../../autograd/operator.js'
import { empty, run } from '../../backend/dispatch.js'
import { AutogradError, Faults, formatShape, namedAs, shown, ValueError } from '../../core/errors.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import { sameShape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { anyFloating } from '../common.js'
import { castTo } from '../convert.js'
import { div, mul, neg, tanh } from '../elementwise/index.js'
import { mixedDTypes } from '../elementwise/numbers.js'
import { linear } from '../matmul.js'
import { kernel, operator } from '../operator.js'
import { reshape } from '../shape/index.js'
import { checkIgnoreIndex, checkLabels } from './classes.js'
import { type CrossEntropyOptions, crossEntropy } from './cross-entropy.js'
import { checkReduction, type Reduction, reductionCodes, type ToOne } from './reduction.js'

interface LinearCrossEntropy {
  readonly reduction: Reduction
  readonly ignoreIndex: number
  readonly smoothing: number
  /** The cap of the logits; 0 for none. */
  readonly softcap: number
}

/** x [N, D], linearWeight [V, D], linearBias [V] or null, target int32 [N], weight [V] or null. */
type HeadInputs = [x: Tensor, linearWeight: Tensor, linearBias: Tensor | null, target: Tensor, weight: Tensor | null]

/**
 * Extra outputs: the rows' statistics that backward reads, and the loss's gradients of x, linearWeight and linearBias.
 */
type Kept = [statistics: Tensor, dx: Tensor | null, dweight: Tensor | null, dbias: Tensor | null]

const name = 'linearCrossEntropy'

/**
 * Forward computes the gradients of a single-number loss while it has the logits, up to the factor that backward
 * brings. That takes three products in all, as with kept logits. Losses by row have a factor each, so backward must
 * compute their logits a second time.
 */
const keepsGradient = (x: Tensor | null, reduction: Reduction): boolean =>
  x !== null && reduction !== 'none' && x.requiresGrad && isGradEnabled()

const headRecord = operator<HeadInputs, LinearCrossEntropy, [out: Tensor], Kept>({
  name,
  inputs: ['x', 'linearWeight', 'linearBias', { name: 'target', dtypes: 'free' }, 'weight'],
  infer([x, linearWeight, linearBias], { reduction }) {
    const dtype = x.dtype === 'float64' ? 'float64' : 'float32'
    const [rows = 0] = x.sizes
    const kept = (of: Tensor | null) => ({ shape: of && keepsGradient(of, reduction) ? of.sizes : [0], dtype }) as const
    return [
      { shape: reduction === 'none' ? [rows] : [], dtype },
      { shape: [2, rows], dtype },
      kept(x),
      kept(linearWeight),
      kept(linearBias),
    ]
  },
  forward: kernel(
    'linear_cross_entropy_forward',
    ([x, linearWeight, linearBias, target, weight], attrs, { out, statistics, dx, dweight, dbias }) => ({
      out,
      statistics,
      dx,
      dweight,
      dbias,
      x,
      weight: linearWeight,
      bias: linearBias,
      target,
      classWeight: weight,
      softcap: attrs.softcap,
      ignoreIndex: attrs.ignoreIndex,
      smoothing: attrs.smoothing,
      reduction: reductionCodes[attrs.reduction],
    }),
  ),
  composite([x, linearWeight, linearBias, target, weight], { reduction, ignoreIndex, smoothing, softcap }) {
    const wide = (t: Tensor) => (t.dtype === 'bfloat16' ? castTo(t, 'float32') : t)
    const products = linear(wide(x), wide(linearWeight), linearBias && wide(linearBias))
    const logits = softcap === 0 ? products : mul(tanh(div(products, softcap)), softcap)
    return crossEntropy(logits, target, {
      reduction,
      ignoreIndex,
      labelSmoothing: smoothing,
      weight: weight && wide(weight),
    })
  },
  gradient: {
    // A loss by row reads all inputs again; for other losses only the composite does.
    saves: (needs, { reduction }) => ({
      inputs: [0, 1, 2, 3, 4],
      outputs: reduction === 'none' ? [1] : [0, 1, 2].flatMap((i) => (needs[i] ? [2 + i] : [])),
    }),
    fused: true,
    kernels: ['linear_cross_entropy_backward'],
    backward(ctx, [dy]) {
      const { reduction, ignoreIndex, smoothing, softcap } = ctx.attrs
      const places = [0, 1, 2] as const
      if (reduction !== 'none') {
        const kept = [2, 3, 4] as const
        const [dx = null, dweight = null, dbias = null] = places.map((i) =>
          ctx.needs[i] ? castTo(mul(ctx.output(kept[i]), dy), ctx.gradientDType(i)) : null,
        )
        return [dx, dweight, dbias, null, null]
      }
      const [dx = null, dweight = null, dbias = null] = places.map((i) =>
        ctx.needs[i] ? empty(ctx.device, ctx.spec(i).shape, ctx.gradientDType(i), `${name} backward`) : null,
      )
      run('linear_cross_entropy_backward', {
        dx,
        dweight,
        dbias,
        dy,
        statistics: ctx.output(1),
        x: ctx.input(0),
        weight: ctx.input(1),
        bias: ctx.input(2),
        target: ctx.input(3),
        classWeight: ctx.input(4),
        softcap,
        ignoreIndex,
        smoothing,
      })
      return [dx, dweight, dbias, null, null]
    },
  },
})

/** The options of a linear layer whose logits are not kept. */
export interface HeadOptions {
  /** Added to the logits, [V]. */
  readonly linearBias?: Tensor | null
  /**
   * Turns logits z into softcap tanh(z / softcap), as in Gemma 2 (`final_logit_softcapping`). Must be above 0. Default:
   * no cap.
   */
  readonly softcap?: number | undefined
}

export interface LinearCrossEntropyOptions extends HeadOptions, CrossEntropyOptions {}

const headNames: OptionNames<LinearCrossEntropyOptions> = {
  linearBias: true,
  softcap: true,
  weight: true,
  ignoreIndex: true,
  labelSmoothing: true,
  reduction: true,
}

/** Throws unless dtypes and shapes fit. */
function checkHead(op: string, x: Tensor, linearWeight: Tensor, linearBias: Tensor | null, target: Tensor): void {
  checkDType(op, 'x', x, anyFloating)
  checkDType(op, 'linearWeight', linearWeight, anyFloating)
  if (linearBias !== null) checkDType(op, 'linearBias', linearBias, anyFloating)
  checkLabels(op, 'target', target)
  if (!agree(x, linearWeight)) throw mixedDTypes(op, x.dtype, linearWeight.dtype, anyFloating, ['x', 'linearWeight'])
  const [classes, features] = linearWeight.sizes
  const rows = x.sizes.slice(0, -1)
  const faults = new Faults()
  faults.check(x.ndim >= 1, () => 'x must have at least one dimension')
  faults.check(linearWeight.ndim === 2, () => `linearWeight must be [V, D], but is ${formatShape(linearWeight.sizes)}`)
  faults.check(
    linearWeight.ndim !== 2 || x.ndim < 1 || x.sizes[x.ndim - 1] === features,
    () =>
      `x is ${formatShape(x.sizes)}, linearWeight is ${formatShape(linearWeight.sizes)}; x's last must equal linearWeight's last`,
  )
  faults.check(
    sameShape(target.sizes, rows),
    () => `x is ${formatShape(x.sizes)}, target is ${formatShape(target.sizes)}, but must be ${formatShape(rows)}`,
  )
  faults.check(
    linearBias === null || linearWeight.ndim !== 2 || sameShape(linearBias.sizes, [classes ?? 0]),
    () => `linearBias is ${formatShape(linearBias?.sizes ?? [])}, but must be [${classes}]`,
  )
  faults.throwShape(op, [x.sizes, linearWeight.sizes, target.sizes])
}

function checkClassWeight(op: string, weight: Tensor | null, linearWeight: Tensor): void {
  if (weight === null) return
  checkDType(op, 'weight', weight, anyFloating)
  const faults = new Faults()
  faults.check(
    sameShape(weight.sizes, linearWeight.sizes.slice(0, 1)),
    () => `weight is ${formatShape(weight.sizes)}, but must be [${linearWeight.sizes[0]}]`,
  )
  faults.throwShape(op, [weight.sizes, linearWeight.sizes])
  if (weight.requiresGrad && isGradEnabled())
    throw new AutogradError(op, 'weight wants a gradient, but counts as a constant here; give its detach()')
}

function checkSoftcap(op: string, softcap: number | undefined): number {
  if (softcap === undefined) return 0
  if (typeof softcap !== 'number' || !Number.isFinite(softcap) || softcap <= 0)
    throw new ValueError(op, `softcap is ${shown(softcap)}, but must be a finite number above 0`)
  return softcap
}

/** The loss of x [.., D] and target [..], rounded for bfloat16. Throws unless dtypes and shapes fit. */
function lossOf(op: string, given: HeadInputs, attrs: LinearCrossEntropy): Tensor {
  const [x, linearWeight, linearBias, target, weight] = given
  checkTensor(op, 'x', x)
  checkTensor(op, 'linearWeight', linearWeight)
  checkHead(op, x, linearWeight, linearBias, target)
  checkClassWeight(op, weight, linearWeight)
  const rows = target.numel
  const matrix = reshape(x, [rows, linearWeight.sizes[1] ?? 0])
  const list = reshape(target, [rows])
  const loss = namedAs(op, () => apply(headRecord, [matrix, linearWeight, linearBias, list, weight], attrs))
  const shaped = attrs.reduction === 'none' ? reshape(loss, target.sizes) : loss
  return x.dtype === 'bfloat16' && autocastDType() === null ? castTo(shaped, 'bfloat16') : shaped
}

/**
 * crossEntropy(linear(x, linearWeight, linearBias), target) without ever holding the logits: x [.., D], linearWeight
 * [V, D], int32 labels target [..]. It takes memory for some hundred rows of logits. Rows with `ignoreIndex` cost
 * nothing: if 15 % of the rows count, only that share is computed. `mean` divides by the sum of the counted rows'
 * weights, and is NaN if none counts. Logits are float32, and are not rounded if x and linearWeight are bfloat16. If a
 * gradient is wanted, `mean` and `sum` compute it along with the loss, and `none` computes the logits once more in
 * backward. A label outside of the classes is a late IndexOutOfRangeError. The method follows the kernels of Liger (Hsu
 * et al., 2024) and "Cut Your Losses" (Wijmans et al., 2024).
 */
export function linearCrossEntropy(
  x: Tensor,
  linearWeight: Tensor,
  target: Tensor,
  options?: LinearCrossEntropyOptions & ToOne,
): Tensor<[]>
export function linearCrossEntropy(
  x: Tensor,
  linearWeight: Tensor,
  target: Tensor,
  options?: LinearCrossEntropyOptions,
): Tensor
export function linearCrossEntropy(
  x: Tensor,
  linearWeight: Tensor,
  target: Tensor,
  options: LinearCrossEntropyOptions = {},
): Tensor {
  checkOptions(name, options, headNames)
  const { linearBias = null, weight = null, ignoreIndex, labelSmoothing = 0, reduction = 'mean' } = options
  checkReduction(name, reduction)
  if (typeof labelSmoothing !== 'number' || !(labelSmoothing >= 0 && labelSmoothing <= 1))
    throw new ValueError(name, `labelSmoothing is ${shown(labelSmoothing)}, but must lie in [0, 1]`)
  checkIgnoreIndex(name, ignoreIndex)
  const softcap = checkSoftcap(name, options.softcap)
  const attrs = { reduction, ignoreIndex: ignoreIndex ?? -100, smoothing: labelSmoothing, softcap }
  return lossOf(name, [x, linearWeight, linearBias, target, weight], attrs)
}

export interface TokenLogProbsOptions extends HeadOptions {
  /** Rows with this label give 0, and cost nothing. Default -100. */
  readonly ignoreIndex?: number
}

const tokenNames: OptionNames<TokenLogProbsOptions> = { linearBias: true, softcap: true, ignoreIndex: true }

/**
 * The logarithm of each target's probability under softmax(linear(x, linearWeight, linearBias)): x [.., D],
 * linearWeight [V, D], int32 labels target [..] -> [..]. Preference training needs them from a model and its reference.
 * The logits are never held as a whole, as in linearCrossEntropy, whose errors it shares.
 */
export function tokenLogProbs(
  x: Tensor,
  linearWeight: Tensor,
  target: Tensor,
  options: TokenLogProbsOptions = {},
): Tensor {
  const op = 'tokenLogProbs'
  const { linearBias = null, ignoreIndex, softcap } = checkOptions(op, options, tokenNames)
  checkIgnoreIndex(op, ignoreIndex)
  const attrs = {
    reduction: 'none',
    ignoreIndex: ignoreIndex ?? -100,
    smoothing: 0,
    softcap: checkSoftcap(op, softcap),
  } as const
  return neg(lossOf(op, [x, linearWeight, linearBias, target, null], attrs))
}
