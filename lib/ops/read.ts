/** Reading tensors back to JavaScript. */

import { checkTensor } from '../autograd/operator.js'
import { contiguous, empty, run } from '../backend/dispatch.js'
import { noElements } from '../backend/meta/device.js'
import { checkBlockRows } from '../core/blocks.js'
import { type DType, type ElementOf, type ElementsOf, isBlocks, type TypedArray } from '../core/dtype.js'
import { formatShape, ShapeError, ValueError } from '../core/errors.js'
import { defineMethods } from '../core/methods.js'
import { askHeap, checkEntries, mostEntries } from '../core/room.js'
import { countOf, normalizeDim, type Shape } from '../core/shape.js'
import type { Nested, NestedOf, SizeAt } from '../core/shape-types.js'
import type { Tensor } from '../core/tensor.js'

/**
 * Gives `read` the tensor in dense form, with 16-bit floats and blocks as float32. A copy made for that is freed at
 * once.
 */
function reading<R>(op: string, x: Tensor, read: (dense: Tensor) => R): R {
  checkTensor(op, 'x', x)
  x.storage.check(op)
  if (x.device.kind === 'meta') throw noElements(op)
  checkBlockRows(op, x)
  const dense =
    x.dtype === 'bfloat16' || x.dtype === 'float16' || isBlocks(x.dtype)
      ? empty(x.device, x.sizes, 'float32', op)
      : contiguous(x)
  if (dense.dtype !== x.dtype) run('copy', { out: dense, x })
  try {
    return read(dense)
  } finally {
    // Freeing is safe, because devices work in program order, so a read in progress ends first.
    if (dense !== x) dense.dispose()
  }
}

/**
 * Reads a fresh copy of the elements in row-major order, without blocking the event loop. 16-bit floats and blocks come
 * as float32. Throws the errors that earlier kernels found in their data: labels or indices out of range, memory that
 * ran out.
 */
export function data<D extends DType>(x: Tensor<Shape, D>): Promise<ElementsOf<D>> {
  try {
    return reading('data', x, (dense) => x.device.read(dense) as Promise<ElementsOf<D>>)
  } catch (error) {
    return Promise.reject(error)
  }
}

/** Like `data`, but waits for the result on this thread. */
export function dataSync<D extends DType>(x: Tensor<Shape, D>): ElementsOf<D> {
  return elements('dataSync', x) as ElementsOf<D>
}

/** `dataSync` for functions that the program calls by another name. */
function elements(op: string, x: Tensor): TypedArray {
  return reading(op, x, (dense) => x.device.readSync(dense))
}

/** The only element of a tensor. Waits for it. Throws if the tensor has more or none. */
export function item(x: Tensor): number {
  checkTensor('item', 'x', x)
  if (x.numel !== 1)
    throw new ShapeError(
      'item',
      `the tensor has ${x.numel} elements (${formatShape(x.sizes)}), not one; reduce it, or use toArray() for all`,
      [x.sizes],
    )
  return elements('item', x)[0] as number
}

/** Upper bounds of the heap's bytes: for a number, for its place in a list that has grown, and for a list. */
const [numberBytes, placeBytes, listBytes] = [16, 20, 64]
/** The most entries of a list that is made in one piece. */
const wholeList = 2 ** 20

/** Throws if nested arrays of these sizes would be too long, or too large for the JavaScript heap. */
function checkNested(sizes: Shape): void {
  const advice = 'read data() or dataSync(), which give one typed array, or a part with slice() or narrow()'
  let lists = 0
  let entries = 0
  // The number of lists at this depth.
  let level = 1
  for (const size of sizes) {
    if (level > 0)
      checkEntries('toArray', size, mostEntries, `entries stand in a list of a ${formatShape(sizes)} tensor`, advice)
    lists += level
    level *= size
    entries += level
  }
  const numbers = countOf(sizes)
  const bytes = numbers * numberBytes + entries * placeBytes + lists * listBytes
  askHeap(bytes, 'toArray', `nested arrays of ${formatShape(sizes)}`, advice)
}

/** The elements as nested arrays, with bool as booleans. Waits for them. */
export function toArray<S extends Shape, D extends DType>(x: Tensor<S, D>): NestedOf<S, ElementOf<D>> {
  checkTensor('toArray', 'x', x)
  checkNested(x.sizes)
  const flat = elements('toArray', x)
  let position = 0
  const build = (depth: number): Nested => {
    if (depth === x.ndim) {
      const value = flat[position++] as number
      return x.dtype === 'bool' ? value !== 0 : value
    }
    const size = x.sizes[depth] as number
    const list: Nested[] = size <= wholeList ? new Array(size) : []
    for (let i = 0; i < size; i++) list[i] = build(depth + 1)
    return list as Nested
  }
  return build(0) as NestedOf<S, ElementOf<D>>
}

/** The size of a dimension, counted from the end if negative. Throws ValueError if there is none. */
export function size(x: Tensor, dim: number): number {
  checkTensor('size', 'x', x)
  if (x.ndim === 0) throw new ValueError('size', 'the tensor has no dimensions; its one element is item()')
  return x.sizes[normalizeDim('size', dim, x.ndim)] as number
}

// Covariant by annotation: see core/methods.ts.
/** @ts-expect-error TS2636, as core/methods.ts says */
type ToArray<out S extends Shape, out D extends DType> = () => NestedOf<S, ElementOf<D>>
type SizeOf<out S extends Shape> = <const N extends number>(dim: N) => SizeAt<S, N>

declare module '../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    /**
     * Reads a fresh copy of the elements in row-major order, with 16-bit floats as float32, without blocking the event
     * loop.
     */
    data(): Promise<ElementsOf<D>>
    /** Like `data`, but waits on this thread. */
    dataSync(): ElementsOf<D>
    /** The only element of a tensor. Waits for it. Throws if the tensor has more or none. */
    item(): number
    /** The elements as nested arrays, with bool as booleans. Waits for them. */
    toArray: ToArray<S, D>
    /** The size of a dimension, counted from the end if negative. Throws ValueError if there is none. */
    size: SizeOf<S>
    readonly elementType?: D
  }
}

defineMethods({
  data() {
    return data(this)
  },
  dataSync() {
    return dataSync(this)
  },
  item() {
    return item(this)
  },
  toArray() {
    return toArray(this)
  },
  size(dim: number) {
    return size(this, dim)
  },
})
