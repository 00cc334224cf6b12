/** The records of sums and means, and the handling of dimensions that all reductions share. */
import { apply, type Operator } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { reducedShape, type Shape, sameShape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { anyFloating, seenAs } from './common.js'
import { castTo } from './convert.js'
import { mul } from './elementwise/index.js'
import { kernel, operator } from './operator.js'
import { expand, reshape } from './shape/index.js'

export interface Dims {
  readonly dims: readonly number[]
  readonly keepdim: boolean
}

interface Reduction extends Dims {
  /** The dtype of the result; null for that of x. */
  readonly dtype: DType | null
  /** The factor of the sum; 1 / count for a mean. */
  readonly scale: number
}

/** The result's shape for the kernels: all dimensions, with reduced ones of size 1. */
export const whole = (x: Tensor, dims: readonly number[]): Shape => reducedShape(x.sizes, dims, true)

/** A result with its dimensions of size 1, which the kernel writes. */
export function spreadOut(out: Tensor, x: Tensor, dims: readonly number[]): Tensor {
  return out.ndim === x.ndim ? out : seenAs(out, whole(x, dims))
}

/** A gradient or result of a reduction with its dimensions of size 1 again. */
export function kept(x: Tensor, shape: Shape, { dims, keepdim }: Dims): Tensor {
  return keepdim ? x : reshape(x, reducedShape(shape, dims, true))
}

/** Makes a record each for `sum` and `mean`, so that errors name the called function. */
function total(op: 'sum' | 'mean'): Operator<[x: Tensor], Reduction> {
  return operator<[x: Tensor], Reduction>({
    name: op,
    op,
    // The kernel sums integers too, but their mean is not an integer, so `mean` refuses them.
    inputs: [op === 'mean' ? { name: 'x', dtypes: anyFloating } : 'x'],
    infer([x], { dims, keepdim, dtype }) {
      return { shape: reducedShape(x.sizes, dims, keepdim), dtype: dtype ?? x.dtype }
    },
    forward: kernel('sum', ([x], { dims, scale }, { out }) => ({ out: spreadOut(out, x, dims), x, scale })),
    gradient: {
      saves: () => ({}),
      backward(ctx, [g]) {
        const { shape, dtype } = ctx.spec(0)
        const spread = expand(castTo(kept(g, shape, ctx.attrs), dtype), shape)
        return [ctx.attrs.scale === 1 ? spread : mul(spread, ctx.attrs.scale)]
      },
    },
  })
}

export const sumRecord = total('sum')
export const meanRecord = total('mean')

/** Sums a gradient over the dimensions along which its tensor was broadcast, rounded once to `dtype`. */
export function sumTo(x: Tensor, shape: Shape, dtype: DType = x.dtype): Tensor {
  if (sameShape(x.sizes, shape)) return castTo(x, dtype)
  const lead = x.ndim - shape.length
  const dims: number[] = []
  for (let i = 0; i < x.ndim; i++) if (i < lead || (shape[i - lead] === 1 && x.sizes[i] !== 1)) dims.push(i)
  return reshape(apply(sumRecord, [x], { dims, keepdim: true, scale: 1, dtype }), shape)
}
