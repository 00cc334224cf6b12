/** Clamping to limits, which are numbers or tensors. */
import { noGrad } from '../../autograd/mode.js'
import { apply, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { namedAs, shown, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import type { Shape } from '../../core/shape.js'
import { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { kernel, operator } from '../operator.js'
import { maximum, minimum } from './arithmetic.js'
import { alike, scalarTensor } from './binary.js'
import { eq, ge, gt, le, lt, where } from './compare.js'
import { logicalAnd, logicalOr } from './logic.js'
import { checkNumber } from './numbers.js'

/** A limit of clamp: a number, or a tensor that broadcasts with x. Null and undefined do not limit. */
export type Limit = number | Tensor | null | undefined

const clampRecord = operator<[x: Tensor], { readonly min: number; readonly max: number }>({
  name: 'clamp',
  infer: ([x]) => like(x),
  forward: kernel('clamp', ([x], { min, max }, { out }) => ({ out, x, min, max })),
  composite([x], { min, max }) {
    // Unlike `maximum` and `minimum`, which share a gradient at a tie, x gets the whole gradient within the limits, and
    // none beyond.
    const limited = noGrad(() => {
      const above = min === Number.NEGATIVE_INFINITY ? x : maximum(x, min)
      return max === Number.POSITIVE_INFINITY ? above : minimum(above, max)
    })
    return where(ge(x, min), where(le(x, max), x, limited), limited)
  },
  gradient: {
    saves: () => ({ inputs: [0] }),
    backward: kernel('clamp_backward', (ctx, [dy], { dx }) => ({ dx, dy, x: ctx.input(0), ...ctx.attrs })),
    formula(ctx, [g]) {
      const x = ctx.input(0)
      return [where(ge(x, ctx.attrs.min), where(le(x, ctx.attrs.max), g, 0), 0)]
    },
  },
})

/** x clamped from below by a tensor. The gradient goes to whichever was taken, and NaN gets none. */
function above(x: Tensor, min: Tensor): Tensor {
  const limited = noGrad(() => maximum(x, min))
  return where(ge(x, min), x, where(lt(x, min), min, limited))
}
function below(x: Tensor, max: Tensor): Tensor {
  const limited = noGrad(() => minimum(x, max))
  return where(le(x, max), x, where(gt(x, max), max, limited))
}

/** x clamped from both sides by tensors. If the limits cross, the upper one holds. */
function between(x: Tensor, min: Tensor, max: Tensor): Tensor {
  const limited = noGrad(() => minimum(maximum(x, min), max))
  const isWithin = logicalAnd(ge(x, min), le(x, max))
  const isBelow = logicalAnd(lt(x, min), lt(min, max))
  const isAbove = logicalAnd(eq(x, x), logicalOr(gt(x, max), lt(max, min)))
  const picked = where(isWithin, x, where(isBelow, min, where(isAbove, max, limited)))
  // A limit of NaN gives NaN beside any other.
  return where(eq(limited, limited), picked, limited)
}

/**
 * Clamps values to [min, max]. A limit that is left out, null or infinite does not limit, and a limit of NaN gives NaN.
 * Limits may be tensors, which broadcast with x and get the gradient where they apply. An int32 tensor takes only whole
 * limits.
 */
export function clamp<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  min?: number | null,
  max?: number | null,
): Tensor<S, D>
export function clamp(x: Tensor, min?: Limit, max?: Limit): Tensor
export function clamp(x: Tensor, min?: Limit, max?: Limit): Tensor {
  checkTensor('clamp', 'x', x)
  for (const limit of [min ?? 0, max ?? 0])
    if (limit instanceof Tensor) checkTensor('clamp', 'a limit', limit)
    else if (typeof limit !== 'number')
      throw new ValueError('clamp', `a limit is ${shown(limit)}, but must be a number or a tensor`)
  if (!(min instanceof Tensor) && !(max instanceof Tensor)) {
    const [low, high] = [min ?? Number.NEGATIVE_INFINITY, max ?? Number.POSITIVE_INFINITY]
    if (low !== Number.NEGATIVE_INFINITY) checkNumber('clamp', low, x.dtype)
    if (high !== Number.POSITIVE_INFINITY) checkNumber('clamp', high, x.dtype)
    return apply(clampRecord, [x], { min: low, max: high })
  }
  return namedAs('clamp', () => {
    const limits = [min, max].filter((limit) => limit instanceof Tensor)
    // All three are converted to their common dtype.
    const wide = limits.reduce((wide, limit) => alike('clamp', wide, limit)[0], x)
    const made = (limit: number | Tensor) =>
      limit instanceof Tensor ? alike('clamp', wide, limit)[1] : scalarTensor('clamp', limit, wide)
    if (min === null || min === undefined) return below(wide, made(max ?? Number.POSITIVE_INFINITY))
    if (max === null || max === undefined) return above(wide, made(min))
    return between(wide, made(min), made(max))
  })
}

/** Values not below `min`. */
export function clampMin<S extends Shape, D extends DType>(x: Tensor<S, D>, min: number): Tensor<S, D>
export function clampMin(x: Tensor, min: number | Tensor): Tensor
export function clampMin(x: Tensor, min: number | Tensor): Tensor {
  return clamp(x, min)
}
/** Values not above `max`. */
export function clampMax<S extends Shape, D extends DType>(x: Tensor<S, D>, max: number): Tensor<S, D>
export function clampMax(x: Tensor, max: number | Tensor): Tensor
export function clampMax(x: Tensor, max: number | Tensor): Tensor {
  return clamp(x, undefined, max)
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    clamp(min?: number | null, max?: number | null): Tensor<S, D>
    clamp(min?: Limit, max?: Limit): Tensor
    clampMin(min: number): Tensor<S, D>
    clampMin(min: number | Tensor): Tensor
    clampMax(max: number): Tensor<S, D>
    clampMax(max: number | Tensor): Tensor
  }
}

defineMethods({
  clamp(min?: Limit, max?: Limit) {
    return clamp(this, min, max)
  },
  clampMin(min: number | Tensor) {
    return clampMin(this, min)
  },
  clampMax(max: number | Tensor) {
    return clampMax(this, max)
  },
})
