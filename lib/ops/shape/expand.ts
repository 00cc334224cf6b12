/** Elements seen several times. */

import { apply, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { formatShape, namedAs, ShapeError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkSizes, copySizes, type Shape, sameShape } from '../../core/shape.js'
import type { Mutable } from '../../core/shape-types.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { operator } from '../operator.js'
import { sumTo } from '../totals.js'
import { expandView } from '../views.js'
import { detach } from './copies.js'
import { checkList } from './lists.js'

const expandRecord = operator<[x: Tensor], Shape>({
  name: 'expand',
  infer: ([x], shape) => like(x, shape),
  forward: ([x], shape) => (sameShape(x.sizes, shape) ? detach(x) : expandView(x, shape)),
  gradient: { saves: () => ({}), backward: (ctx, [g]) => [sumTo(g, ctx.spec(0).shape)] },
})

/** Repeated along dimensions of size 1 (and new leading ones) without copying; -1 keeps a size. */
export function expand<const S extends Shape, D extends DType>(x: Tensor<Shape, D>, shape: S): Tensor<Mutable<S>, D>
export function expand(x: Tensor, shape: Shape): Tensor {
  checkTensor('expand', 'x', x)
  checkList('expand', shape)
  const sizes = copySizes('expand', shape)
  const lead = sizes.length - x.ndim
  const target = sizes.map((size, i) => (size === -1 && i >= lead ? (x.sizes[i - lead] as number) : size))
  checkSizes('expand', target)
  const fits = lead >= 0 && x.sizes.every((size, i) => size === 1 || size === target[i + lead])
  if (!fits)
    throw new ShapeError(
      'expand',
      `${formatShape(x.sizes)} does not expand to ${formatShape(sizes)}; only sizes of 1 and new leading dimensions grow`,
      [x.sizes, sizes],
    )
  return sameShape(target, x.sizes) ? x : apply(expandRecord, [x], target)
}

/** Expanded to the shape of `other`. A view. */
export function expandAs<S extends Shape, D extends DType>(x: Tensor<Shape, D>, other: Tensor<S>): Tensor<S, D>
export function expandAs(x: Tensor, other: Tensor): Tensor {
  checkTensor('expandAs', 'x', x)
  checkTensor('expandAs', 'other', other)
  return namedAs('expandAs', () => expand(x, other.sizes))
}

/** As `expand`, under NumPy's name; all sizes are said. A view. */
export function broadcastTo<const S extends Shape, D extends DType>(
  x: Tensor<Shape, D>,
  shape: S,
): Tensor<Mutable<S>, D>
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  checkTensor('broadcastTo', 'x', x)
  return namedAs('broadcastTo', () => expand(x, shape))
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    expandAs<T extends Shape>(other: Tensor<T>): Tensor<T, D>
    broadcastTo<const T extends Shape>(shape: T): Tensor<Mutable<T>, D>
    expand<const T extends Shape>(shape: T): Tensor<Mutable<T>, D>
  }
}

defineMethods({
  expandAs(other: Tensor) {
    return expandAs(this, other)
  },
  broadcastTo(shape: Shape) {
    return broadcastTo(this, shape)
  },
  expand(shape: Shape) {
    return expand(this, shape)
  },
})
