/** Elements chosen by masks and by indices that broadcast, and classes as one-hot vectors. */

import { checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { DTypeError, formatShape, namedAs, ShapeError, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { broadcastShapes, checkSizes, normalizeDim, type Shape, sameShape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { fromTypedArray, zeros } from '../creation.js'
import { scalarTensor } from '../elementwise/binary.js'
import { where } from '../elementwise/index.js'
import { checkNumber, promoted } from '../elementwise/numbers.js'
import { dataSync } from '../read.js'
import { amax } from '../reduce/index.js'
import { expand, reshape, unsqueeze } from '../shape/index.js'
import { checkInteger } from '../shape/lists.js'
import { gather } from './gather.js'
import { placesOf } from './places.js'
import { indexSelect } from './rows.js'
import { scatter } from './scatter.js'
import { wrapped } from './subscripts.js'

function checkMask(op: string, mask: Tensor): void {
  checkTensor(op, 'mask', mask)
  if (mask.dtype !== 'bool')
    throw new DTypeError(op, `mask is ${mask.dtype}, but must be bool; convert it with .to('bool')`)
}

/** The places where a mask is true, in row-major order. Reads the mask, and waits for it. */
const truePlaces = (mask: Tensor): Int32Array => placesOf(dataSync(mask) as ArrayLike<number>)

/**
 * A copy of x with a number, or the number of a tensor without dimensions, where the mask (bool, broadcast) is true.
 * Throws ShapeError for a value with dimensions, and DTypeError for one that x's dtype does not hold.
 */
export function maskedFill<D extends DType>(
  x: Tensor<Shape, D>,
  mask: Tensor,
  value: number | Tensor<[]>,
): Tensor<Shape, D>
export function maskedFill(x: Tensor, mask: Tensor, value: number | Tensor): Tensor {
  checkTensor('maskedFill', 'x', x)
  checkMask('maskedFill', mask)
  if (typeof value === 'number') {
    checkNumber('maskedFill', value, x.dtype)
    const constant = scalarTensor('maskedFill', value, x)
    return namedAs('maskedFill', () => where(mask, constant, x))
  }
  checkTensor('maskedFill', 'value', value)
  if (value.ndim > 0)
    throw new ShapeError(
      'maskedFill',
      `value is ${formatShape(value.sizes)}, but must be one number; use where() for a tensor of them`,
      [value.sizes],
    )
  const meets = promoted(value, x)
  if (meets !== null && meets !== x.dtype)
    throw new DTypeError(
      'maskedFill',
      `value is ${value.dtype}, which x, ${x.dtype}, does not hold; convert one of them with .to(..)`,
    )
  return namedAs('maskedFill', () => where(mask, value, x))
}

/**
 * A copy of the elements where the mask (bool, broadcast with x) is true, in row-major order. Reads the mask at once
 * (and waits for it), because their number depends on it.
 */
export function maskedSelect<D extends DType>(x: Tensor<Shape, D>, mask: Tensor): Tensor<[number], D>
export function maskedSelect(x: Tensor, mask: Tensor): Tensor {
  checkTensor('maskedSelect', 'x', x)
  checkMask('maskedSelect', mask)
  const shape = broadcastShapes('maskedSelect', x.sizes, mask.sizes)
  checkSizes('maskedSelect', shape)
  return namedAs('maskedSelect', () => {
    const places = truePlaces(expand(mask, shape))
    const index = fromTypedArray(places, [places.length], { device: x.device })
    return indexSelect(reshape(expand(x, shape), [-1]), 0, index)
  })
}

/**
 * A copy of x with the first elements of src, in row-major order, where the mask (bool, broadcast to x) is true. Reads
 * the mask, and waits for it. Throws ShapeError if src has too few.
 */
export function maskedScatter<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  mask: Tensor,
  src: Tensor,
): Tensor<S, D>
export function maskedScatter(x: Tensor, mask: Tensor, src: Tensor): Tensor {
  checkTensor('maskedScatter', 'x', x)
  checkMask('maskedScatter', mask)
  checkTensor('maskedScatter', 'src', src)
  if (!sameShape(broadcastShapes('maskedScatter', x.sizes, mask.sizes), x.sizes))
    throw new ShapeError(
      'maskedScatter',
      `mask ${formatShape(mask.sizes)} does not broadcast to x ${formatShape(x.sizes)}`,
      [x.sizes, mask.sizes],
    )
  return namedAs('maskedScatter', () => {
    const places = truePlaces(expand(mask, x.sizes))
    if (src.numel < places.length)
      throw new ShapeError(
        'maskedScatter',
        `src has ${src.numel} elements, but the mask is true ${places.length} times`,
        [src.sizes],
      )
    const index = fromTypedArray(places, [places.length], { device: x.device })
    return reshape(scatter(reshape(x, [x.numel]), 0, index, reshape(src, [src.numel])), x.sizes)
  })
}

/**
 * The elements at `index` (int32) along `dim`; the other dimensions of both broadcast. Without `dim`, x is flattened.
 * Throws ShapeError unless both have the same number of dimensions.
 */
export function takeAlongDim<D extends DType>(x: Tensor<Shape, D>, index: Tensor, dim?: number): Tensor<Shape, D>
export function takeAlongDim(x: Tensor, index: Tensor, dim?: number): Tensor {
  checkTensor('takeAlongDim', 'x', x)
  checkTensor('takeAlongDim', 'index', index)
  if (dim === undefined)
    return namedAs('takeAlongDim', () => gather(reshape(x, [x.numel]), 0, reshape(index, [index.numel])))
  if (x.ndim !== index.ndim)
    throw new ShapeError(
      'takeAlongDim',
      `x ${formatShape(x.sizes)} and index ${formatShape(index.sizes)} must have the same number of dimensions`,
      [x.sizes, index.sizes],
    )
  const d = normalizeDim('takeAlongDim', dim, x.ndim)
  const as = (shape: Shape, size: number) => shape.map((s, i) => (i === d ? size : s))
  const rest = broadcastShapes('takeAlongDim', as(x.sizes, 1), as(index.sizes, 1))
  const along = (y: Tensor) => expand(y, y.ndim === 0 ? [] : as(rest, y.sizes[d] as number))
  return namedAs('takeAlongDim', () => gather(along(x), d, along(index)))
}

/**
 * The elements at `index` (int32) of x flattened, in the shape of the index. Negative indices count from the end. An
 * index outside is a late IndexOutOfRangeError.
 */
export function take<S extends Shape, D extends DType>(x: Tensor<Shape, D>, index: Tensor<S>): Tensor<S, D>
export function take(x: Tensor, index: Tensor): Tensor {
  checkTensor('take', 'x', x)
  checkTensor('take', 'index', index)
  if (index.dtype !== 'int32')
    throw new DTypeError('take', `index is ${index.dtype}, but must be int32; convert it with .to('int32')`)
  return namedAs('take', () => {
    const places = wrapped(reshape(index, [index.numel]), x.numel)
    return reshape(indexSelect(reshape(x, [x.numel]), 0, places), index.sizes)
  })
}

/**
 * Classes x (int32, from 0) as int32 vectors along a new last dimension: 1 at the class, else 0. Without `numClasses`
 * the largest class is read (and waited for) and decides. A class outside is a late IndexOutOfRangeError.
 */
export function oneHot(x: Tensor, numClasses = -1): Tensor<Shape, 'int32'> {
  checkTensor('oneHot', 'x', x)
  if (x.dtype !== 'int32')
    throw new DTypeError('oneHot', `x is ${x.dtype}, but must be int32; convert it with .to('int32')`)
  checkInteger('oneHot', 'numClasses', numClasses, -1)
  if (numClasses === 0 || (numClasses === -1 && x.numel === 0))
    throw new ValueError('oneHot', `numClasses is ${numClasses}, but must be at least 1, or -1 if x has elements`)
  const largest = numClasses === -1 ? (dataSync(amax(x))[0] as number) : 0
  const count = numClasses === -1 ? Math.max(1, largest + 1) : numClasses
  const none = namedAs('oneHot', () => zeros([...x.sizes, count], { dtype: 'int32', device: x.device }))
  return namedAs('oneHot', () => scatter(none, -1, unsqueeze(x, -1), 1))
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    maskedFill(mask: Tensor, value: number | Tensor<[]>): Tensor<Shape, D>
    maskedSelect(mask: Tensor): Tensor<[number], D>
    maskedScatter(mask: Tensor, src: Tensor): Tensor<S, D>
    takeAlongDim(index: Tensor, dim?: number): Tensor<Shape, D>
    take<T extends Shape>(index: Tensor<T>): Tensor<T, D>
  }
}

defineMethods({
  maskedFill(mask: Tensor, value: number | Tensor<[]>) {
    return maskedFill(this, mask, value)
  },
  maskedSelect(mask: Tensor) {
    return maskedSelect(this, mask)
  },
  maskedScatter(mask: Tensor, src: Tensor) {
    return maskedScatter(this, mask, src)
  },
  take(index: Tensor) {
    return take(this, index)
  },
  takeAlongDim(index: Tensor, dim?: number) {
    return takeAlongDim(this, index, dim)
  },
})
