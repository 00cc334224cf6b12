/**
 * Medians of all elements, and of those that are not NaN. Both are the lower of the two middle elements if the number
 * of elements is even.
 */
import { noGrad } from '../../autograd/mode.js'
import { apply, checkTensor } from '../../autograd/operator.js'
import { type DType, isFloating } from '../../core/dtype.js'
import { formatShape, namedAs, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { normalizeDim, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { castTo } from '../convert.js'
import { clampMin, div, eq, floor, mul, ne, sub, where } from '../elementwise/index.js'
import { gather } from '../indexing/index.js'
import { operator } from '../operator.js'
import { keepdimOf, type ReduceOptions } from '../reduce/dims.js'
import { argmax, sum } from '../reduce/index.js'
import { picked, type Selected } from '../reduce/picked.js'
import { detach, reshape } from '../shape/index.js'
import { kthvalue, sort } from './order.js'

/** Finds the place of the median of each line; size 1 along `dim`. */
type Middle = (x: Tensor, dim: number) => Tensor

/** The place of the lower of the two middle elements, or of the first NaN. */
function middle(x: Tensor, dim: number): Tensor {
  const line = detach(x)
  const [, place] = kthvalue(line, ((line.sizes[dim] ?? 1) + 1) >> 1, dim, { keepdim: true })
  const last = argmax(line, dim, { keepdim: true })
  const largest = gather(line, dim, last)
  return where(ne(largest, largest), last, place)
}

/** The place of the lower of the two middle elements that are not NaN; any place if all are NaN. */
function middleOfNumbers(x: Tensor, dim: number): Tensor {
  const line = detach(x)
  const [, order] = sort(line, dim)
  const last = sub(sum(eq(line, line), dim, { keepdim: true }), 1)
  return gather(order, dim, castTo(floor(mul(castTo(clampMin(last, 0), 'float32'), 0.5)), 'int32'))
}

const recordOf = (name: string, place: Middle) =>
  operator<[x: Tensor]>({
    name,
    infer: ([x]) => like(x, []),
    forward: ([x]) => noGrad(() => reshape(gather(x, 0, place(x, 0)), [])),
    gradient: {
      saves: () => ({ inputs: [0], outputs: [0] }),
      // Ties share the gradient equally, as in PyTorch.
      backward(ctx, [g]) {
        const [x, y] = [ctx.input(0), ctx.output(0)]
        const winners = castTo(where(eq(y, y), eq(x, y), ne(x, x)), x.dtype)
        return [mul(winners, div(g, sum(winners)))]
      },
    },
  })

const medianRecord = recordOf('median', middle)
const nanmedianRecord = recordOf('nanmedian', middleOfNumbers)

function medianOf(
  record: ReturnType<typeof recordOf>,
  place: Middle,
  x: Tensor,
  dim: number | undefined,
  options: ReduceOptions,
): Tensor | Selected {
  const { op } = record
  const keepdim = keepdimOf(op, options)
  checkTensor(op, 'x', x)
  const d = dim === undefined ? 0 : normalizeDim(op, dim, x.ndim)
  const isNone = dim === undefined || x.ndim === 0 ? x.numel === 0 : x.sizes[d] === 0
  if (isNone && dim === undefined && isFloating(x.dtype))
    // The sum of no elements is 0, and gives x a gradient without elements.
    return namedAs(op, () => div(sum(x), 0))
  if (isNone) throw new ValueError(op, `there is no median of nothing: x is ${formatShape(x.sizes)}`)
  return namedAs(op, () =>
    dim === undefined ? apply(record, [reshape(x, [x.numel])], null) : picked(x, d, keepdim, (line) => place(line, d)),
  )
}

/**
 * The median of all elements (ties share its gradient equally), or with `dim` the median along it and its index
 * (int32). It is the lower of the two middle elements if their number is even. It is NaN if any element is NaN, or if
 * there are no elements and x holds floats; otherwise throws ValueError if there are no elements.
 */
export function median<D extends DType>(x: Tensor<Shape, D>): Tensor<Shape, D>
export function median<D extends DType>(x: Tensor<Shape, D>, dim: number, options?: ReduceOptions): Selected<D>
export function median(x: Tensor, dim?: number, options: ReduceOptions = {}): Tensor | Selected {
  return medianOf(medianRecord, middle, x, dim, options)
}

/** Like `median`, but of the elements that are not NaN; NaN if all are NaN. */
export function nanmedian<D extends DType>(x: Tensor<Shape, D>): Tensor<Shape, D>
export function nanmedian<D extends DType>(x: Tensor<Shape, D>, dim: number, options?: ReduceOptions): Selected<D>
export function nanmedian(x: Tensor, dim?: number, options: ReduceOptions = {}): Tensor | Selected {
  return medianOf(nanmedianRecord, middleOfNumbers, x, dim, options)
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    median(): Tensor<Shape, D>
    median(dim: number, options?: ReduceOptions): Selected<D>
    nanmedian(): Tensor<Shape, D>
    nanmedian(dim: number, options?: ReduceOptions): Selected<D>
  }
}

defineMethods({
  median(dim?: number, options?: ReduceOptions) {
    return median(this, dim as number, options)
  },
  nanmedian(dim?: number, options?: ReduceOptions) {
    return nanmedian(this, dim as number, options)
  },
})
