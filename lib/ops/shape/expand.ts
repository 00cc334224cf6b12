/** Views that repeat elements. */

import { apply, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { DeviceError, DTypeError, formatShape, namedAs, ShapeError, shown, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import { checkShape, checkSizes, copySizes, type Shape, sameShape } from '../../core/shape.js'
import type { Mutable } from '../../core/shape-types.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { operator } from '../operator.js'
import { sumTo } from '../totals.js'
import { expandView } from '../views.js'
import { detach } from './copies.js'
import { checkList, checkTensors } from './lists.js'
import { reshape } from './reshape.js'

const expandRecord = operator<[x: Tensor], Shape>({
  name: 'expand',
  infer: ([x], shape) => like(x, shape),
  forward: ([x], shape) => (sameShape(x.sizes, shape) ? detach(x) : expandView(x, shape)),
  gradient: { saves: () => ({}), backward: (ctx, [g]) => [sumTo(g, ctx.spec(0).shape)] },
})

/**
 * A view of this shape, repeated along dimensions of size 1 and new leading ones; -1 keeps a size. [3, 1] expands to
 * [2, 3, 4]. Throws ShapeError if another size would change.
 */
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
      `${formatShape(x.sizes)} does not expand to ${formatShape(sizes)}; only sizes of 1 can grow, and only leading dimensions be added`,
      [x.sizes, sizes],
    )
  return sameShape(target, x.sizes) ? x : apply(expandRecord, [x], target)
}

/** A view expanded to the shape of `other`. */
export function expandAs<S extends Shape, D extends DType>(x: Tensor<Shape, D>, other: Tensor<S>): Tensor<S, D>
export function expandAs(x: Tensor, other: Tensor): Tensor {
  checkTensor('expandAs', 'x', x)
  checkTensor('expandAs', 'other', other)
  return namedAs('expandAs', () => expand(x, other.sizes))
}

/** Like `expand`, but under NumPy's name and with all sizes given. A view. */
export function broadcastTo<const S extends Shape, D extends DType>(
  x: Tensor<Shape, D>,
  shape: S,
): Tensor<Mutable<S>, D>
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  checkTensor('broadcastTo', 'x', x)
  return namedAs('broadcastTo', () => expand(x, shape))
}

export interface MeshgridOptions {
  /**
   * With 'ij' (the default) the first axis runs along the first dimension; with 'xy' the first two change places, as
   * for images.
   */
  readonly indexing?: 'ij' | 'xy'
}

const meshgridNames: OptionNames<MeshgridOptions> = { indexing: true }

/**
 * Treats vectors (or numbers) as the axes of a grid. Returns for each axis a view of its coordinate at every point:
 * axes [A] and [B] give two [A, B]. Throws ValueError if there are no axes, ShapeError if one has several dimensions,
 * and DTypeError or DeviceError if they differ.
 */
export function meshgrid<D extends DType>(
  axes: readonly Tensor<Shape, D>[],
  options?: MeshgridOptions,
): Tensor<Shape, D>[]
export function meshgrid(axes: readonly Tensor[], options: MeshgridOptions = {}): Tensor[] {
  checkTensors('meshgrid', axes)
  const { indexing = 'ij' } = checkOptions('meshgrid', options, meshgridNames)
  if (indexing !== 'ij' && indexing !== 'xy')
    throw new ValueError('meshgrid', `indexing is ${shown(indexing)}, but must be 'ij' or 'xy'`)
  if (axes.length === 0) throw new ValueError('meshgrid', 'there are no axes: the list of tensors is empty')
  const [first] = axes as readonly [Tensor]
  for (const axis of axes) {
    if (axis.device !== first.device)
      throw new DeviceError(
        'meshgrid',
        `axes are on ${first.device.name} and on ${axis.device.name}; move one with .to()`,
      )
    if (axis.dtype !== first.dtype)
      throw new DTypeError(
        'meshgrid',
        `axes are ${first.dtype} and ${axis.dtype}; convert one with .to('${first.dtype}')`,
      )
    if (axis.ndim > 1)
      throw new ShapeError('meshgrid', `an axis is ${formatShape(axis.sizes)}, but must be a vector or a number`, [
        axis.sizes,
      ])
  }
  const dims = axes.map((_, i) => (indexing === 'xy' && axes.length > 1 && i < 2 ? 1 - i : i))
  const shape = new Array<number>(axes.length)
  for (const [i, axis] of axes.entries()) shape[dims[i] as number] = axis.numel
  checkShape('meshgrid', shape)
  return axes.map((axis, i) =>
    expand(
      reshape(
        axis,
        shape.map((size, d) => (d === dims[i] ? size : 1)),
      ),
      shape,
    ),
  )
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
