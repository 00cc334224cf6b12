/** Elements picked by any indices, as by PyTorch's brackets: `x[...]` and `x[...] = value`. */
import { noGrad } from '../../autograd/mode.js'
import { checkTensor } from '../../autograd/operator.js'
import { run } from '../../backend/dispatch.js'
import { type DType, isBlocks, isFloating } from '../../core/dtype.js'
import { DTypeError, formatShape, kindOf, namedAs, ShapeError, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import { denseStrides, type Shape, sameShape } from '../../core/shape.js'
import { Tensor } from '../../core/tensor.js'
import { checkDistinct } from '../common.js'
import { castTo } from '../convert.js'
import { scalarTensor } from '../elementwise/binary.js'
import { add, where } from '../elementwise/index.js'
import { checkSource, checkWritable, copyInto } from '../inplace.js'
import { clone, contiguous, detach, expand, reshape } from '../shape/index.js'
import { indexSelect } from './rows.js'
import { scatter, scatterAdd } from './scatter.js'
import { areAdjacent, type Index, joined, positions, type Subscripts, takeApart } from './subscripts.js'

export type { Index } from './subscripts.js'

/**
 * PyTorch's `x[...]`: x.index(0, '1:3', null, mask, [2, 0]) is `x[0, 1:3, None, mask, [2, 0]]`. Integers and slices
 * give a view. Masks and indices in tensors or lists broadcast together and give a copy. The picked dimensions take
 * their place if they stand side by side, and otherwise come before all other dimensions. Negative integers count from
 * the end. Masks, and integers in a tensor without dimensions, are read (and waited for). An index outside is an error,
 * and in a tensor of indices a late IndexOutOfRangeError.
 */
export function index<D extends DType>(x: Tensor<Shape, D>, ...indices: readonly Index[]): Tensor<Shape, D>
export function index(x: Tensor, ...indices: readonly Index[]): Tensor {
  checkTensor('index', 'x', x)
  return namedAs('index', () => {
    const parts = takeApart('index', x, indices)
    const { view, found, picks } = parts
    const [first] = found
    if (first === undefined) return view
    if (!areAdjacent(found)) {
      // Elements are looked up singly, so that only picked elements of x are copied.
      const { sizes } = view
      const at = positions('index', parts, { sizes, steps: denseStrides(sizes), offset: 0 })
      return reshape(indexSelect(reshape(view, [view.numel]), 0, reshape(at, [at.numel])), at.sizes)
    }
    const [before, after] = [view.sizes.slice(0, first.dim), view.sizes.slice(first.dim + found.length)]
    const line = found.length === 1 ? first.index : joined('index', view, found, picks)
    const size = view.sizes.slice(first.dim, first.dim + found.length).reduce((product, each) => product * each, 1)
    const rows = indexSelect(reshape(view, [...before, size, ...after]), first.dim, reshape(line, [line.numel]))
    return reshape(rows, [...before, ...picks, ...after])
  })
}

export interface IndexPutOptions {
  /** Whether to add the values to the elements. Several values for the same element are all added. Default false. */
  readonly accumulate?: boolean
}

const putNames: OptionNames<IndexPutOptions> = { accumulate: true }

/** The indices, copied to a new list, and whether values are added. */
function checkPut(
  op: string,
  x: Tensor,
  indices: readonly Index[],
  value: Tensor | number | boolean,
  options: IndexPutOptions,
): [indices: readonly Index[], accumulate: boolean] {
  const { accumulate = false } = checkOptions(op, options, putNames)
  checkFlag(op, 'accumulate', accumulate)
  checkTensor(op, 'x', x)
  if (isBlocks(x.dtype))
    throw new DTypeError(op, `x is ${x.dtype}, but must not be of blocks; convert it with .to('float32')`)
  if (!Array.isArray(indices))
    throw new ValueError(op, `indices are ${kindOf(indices)}, but must be an array of them, as in ${op}([mask], 0)`)
  if (typeof value !== 'number' && typeof value !== 'boolean') checkTensor(op, 'value', value)
  return [[...(indices as readonly Index[])], accumulate]
}

/** The value in x's dtype. */
function valueFor(op: string, x: Tensor, value: Tensor | number | boolean): Tensor {
  if (typeof value === 'number' || typeof value === 'boolean') return scalarTensor(op, Number(value), x)
  if (isFloating(value.dtype) && !isFloating(x.dtype))
    throw new DTypeError(
      op,
      `the value is ${value.dtype}, which ${x.dtype} does not hold; round it and convert it with .to('${x.dtype}')`,
    )
  return castTo(value, x.dtype)
}

/** The value in the shape of the picked elements. Surplus leading sizes of 1 are dropped, as in PyTorch. */
function spread(op: string, value: Tensor, shape: Shape): Tensor {
  const more = value.ndim - shape.length
  const fits = more <= 0 || value.sizes.slice(0, more).every((size) => size === 1)
  const part = fits && more > 0 ? reshape(value, value.sizes.slice(more)) : value
  const sizes = fits ? part.sizes : []
  if (!fits || sizes.some((size, i) => size !== 1 && size !== shape[shape.length - sizes.length + i]))
    throw new ShapeError(
      op,
      `value is ${formatShape(value.sizes)}, but the indices pick ${formatShape(shape)} of x; sizes of value, counted from the ` +
        'last, must be those or 1',
      [value.sizes, shape],
    )
  return expand(part, shape)
}

/** The mask, if it is the only index and the value is a single number, because nothing need be read then. */
function onlyMask(x: Tensor, indices: readonly Index[], value: Tensor): Tensor | null {
  const [mask] = indices
  if (indices.length !== 1 || !(mask instanceof Tensor) || mask.dtype !== 'bool' || value.numel !== 1) return null
  const fits = mask.device === x.device && mask.ndim > 0 && sameShape(x.sizes.slice(0, mask.ndim), mask.sizes)
  return fits ? reshape(mask, [...mask.sizes, ...new Array<number>(x.ndim - mask.ndim).fill(1)]) : null
}

/** x in the dtype in which elements are summed. Bytes wrap around, and a sum of bools is true if any of them is. */
function addable(x: Tensor): Tensor {
  if (x.dtype === 'float64') return x
  return castTo(x, isFloating(x.dtype) ? 'float32' : 'int32')
}

/**
 * A copy of x with `value` at the indices, which are those of `index` in an array. The value, a number, a boolean or a
 * tensor, is broadcast to the picked shape, and converted to x's dtype. If an element is named twice, the last value
 * holds, or with `accumulate` all are added. Gradients reach x and value.
 */
export function indexPut<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  indices: readonly Index[],
  value: Tensor | number | boolean,
  options?: IndexPutOptions,
): Tensor<S, D>
export function indexPut(
  x: Tensor,
  indices: readonly Index[],
  value: Tensor | number | boolean,
  options: IndexPutOptions = {},
): Tensor {
  const op = 'indexPut'
  const [list, accumulate] = checkPut(op, x, indices, value, options)
  return namedAs(op, () => {
    const src = valueFor(op, x, value)
    const mask = accumulate ? null : onlyMask(x, list, src)
    if (mask !== null) return where(mask, reshape(src, []), x)
    const dense = contiguous(accumulate ? addable(x) : x)
    const parts = takeApart(op, detach(dense), list)
    const { sizes, steps, offset } = parts.view
    const at = positions(op, parts, { sizes, steps, offset: offset - dense.offset })
    const [flat, places] = [reshape(dense, [dense.numel]), reshape(at, [at.numel])]
    const values = reshape(spread(op, accumulate ? addable(src) : src, at.sizes), [at.numel])
    const put = accumulate ? scatterAdd(flat, 0, places, values) : scatter(flat, 0, places, values)
    return castTo(reshape(put, x.sizes), x.dtype)
  })
}

/**
 * Writes `value` into x at the indices: PyTorch's `x[...] = value`, with the indices of `index` in an array, and
 * otherwise as `indexPut`. Tensors that want a gradient need noGrad. Returns x.
 */
export function indexPut_<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  indices: readonly Index[],
  value: Tensor | number | boolean,
  options?: IndexPutOptions,
): Tensor<S, D>
export function indexPut_(
  x: Tensor,
  indices: readonly Index[],
  value: Tensor | number | boolean,
  options: IndexPutOptions = {},
): Tensor {
  const op = 'indexPut_'
  const [list, accumulate] = checkPut(op, x, indices, value, options)
  checkWritable(op, x)
  if (value instanceof Tensor) checkSource(op, 'value', value, x, 'indexPut()')
  checkDistinct(op, 'the tensor', x)
  return namedAs(op, () =>
    noGrad(() => {
      const src = valueFor(op, x, value)
      write(op, x, list, src, accumulate)
      return x
    }),
  )
}

function write(op: string, x: Tensor, indices: readonly Index[], src: Tensor, accumulate: boolean): void {
  const mask = accumulate ? null : onlyMask(x, indices, src)
  if (mask !== null) copyInto(x, where(mask, reshape(src, []), x), op)
  // Dtypes that kernels cannot add are converted there and back.
  else if (accumulate && addable(x) !== x) copyInto(x, indexPut(x, indices, src, { accumulate }), op)
  else writeParts(op, x, takeApart(op, detach(x), indices), src, accumulate)
}

function writeParts(op: string, x: Tensor, parts: Subscripts, src: Tensor, accumulate: boolean): void {
  const { view, found } = parts
  if (found.length === 0) {
    const values = spread(op, src, view.sizes)
    copyInto(view, accumulate ? add(view, values) : values, op)
    return
  }
  const at = positions(op, parts, view)
  const { storage } = x
  // The kernels write dense memory, so they get the whole storage, and a view costs no copy.
  const memory = new Tensor(storage, [storage.count], [1], 0)
  const values = reshape(spread(op, src, at.sizes), [at.numel])
  const own = values.storage === storage ? clone(values) : values
  const index = reshape(at, [at.numel])
  if (accumulate) run('scatter_accumulate', { value: memory, src: own, index, dim: 0, by: 0 })
  else run('scatter_into', { dst: memory, src: own, index, dim: 0 })
  storage.markWritten(op)
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    index(...indices: readonly Index[]): Tensor<Shape, D>
    indexPut(indices: readonly Index[], value: Tensor | number | boolean, options?: IndexPutOptions): Tensor<S, D>
    indexPut_(indices: readonly Index[], value: Tensor | number | boolean, options?: IndexPutOptions): Tensor<S, D>
  }
}

defineMethods({
  index(...indices: readonly Index[]) {
    return index(this, ...indices)
  },
  indexPut(indices: readonly Index[], value: Tensor | number | boolean, options?: IndexPutOptions) {
    return indexPut(this, indices, value, options)
  },
  indexPut_(indices: readonly Index[], value: Tensor | number | boolean, options?: IndexPutOptions) {
    return indexPut_(this, indices, value, options)
  },
})
