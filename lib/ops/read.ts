/** From tensors back to JavaScript, and from device to device. */

import { apply, checkTensor, defineOperator, type OperatorRecord, type TensorSpec } from '../autograd/operator.js'
import { deviceFor } from '../backend/devices.js'
import { contiguous, empty, run } from '../backend/dispatch.js'
import type { Device } from '../core/device.js'
import {
  type DType,
  dtypes,
  type ElementOf,
  type ElementsOf,
  isDType,
  type Known,
  type TypedArray,
} from '../core/dtype.js'
import { DeviceError, formatShape, ShapeError } from '../core/errors.js'
import { askHeap, checkEntries, mostEntries } from '../core/room.js'
import { countOf, type Shape } from '../core/shape.js'
import type { Nested, NestedOf } from '../core/shape-types.js'
import type { Tensor } from '../core/tensor.js'
import { castTo } from './elementwise/index.js'

/** Gives `read` the tensor dense and readable as numbers: 16-bit floats as float32. A copy for that is freed at once. */
function reading<R>(op: string, x: Tensor, read: (dense: Tensor) => R): R {
  checkTensor(op, 'x', x)
  x.storage.check(op)
  const dense =
    x.dtype === 'bfloat16' || x.dtype === 'float16' ? empty(x.device, x.sizes, 'float32', op) : contiguous(x)
  if (dense.dtype !== x.dtype) run('copy', { out: dense, x })
  try {
    return read(dense)
  } finally {
    // Devices work in program order: a read that goes on is done before this.
    if (dense !== x) dense.dispose()
  }
}

/**
 * A fresh copy of the elements in row-major order, without blocking the event loop. 16-bit floats come as float32.
 * Throws what kernels found in their data before (labels or indices out of range, memory that ran out).
 */
export function data<D extends DType>(x: Tensor<Shape, D>): Promise<ElementsOf<D>> {
  try {
    return reading('data', x, (dense) => x.device.read(dense) as Promise<ElementsOf<D>>)
  } catch (error) {
    return Promise.reject(error)
  }
}

/** As `data`, but waits for the result on this thread. */
export function dataSync<D extends DType>(x: Tensor<Shape, D>): ElementsOf<D> {
  return elements('dataSync', x) as ElementsOf<D>
}

/** `dataSync` for those whom the program calls by another name. */
function elements(op: string, x: Tensor): TypedArray {
  return reading(op, x, (dense) => x.device.readSync(dense))
}

/** The one element of a tensor that has one. Waits for it. */
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

/** Of the JavaScript heap, at most: a number of its own and its place in a list that has grown; a list. */
const [numberBytes, placeBytes, listBytes] = [16, 20, 64]
/** Lists of so many entries or fewer are made in one piece. */
const wholeList = 2 ** 20

/** Throws where nested arrays of these sizes are too long for lists, or too large for what the JavaScript heap has left. */
function checkNested(sizes: Shape): void {
  const advice = 'read data() or dataSync(), which give one typed array, or a part with slice() or narrow()'
  let lists = 0
  let entries = 0
  // Lists at this depth.
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

/** The elements as nested arrays; bool as booleans. Waits for them. */
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

interface Transfer {
  readonly from: Device
  readonly to: Device
}

const transfer: OperatorRecord<Transfer> = defineOperator<Transfer>({
  name: 'transfer',
  infer: ([x]) => ({ shape: (x as Tensor).sizes, dtype: (x as Tensor).dtype }),
  forward([x], { to }, [spec]) {
    const { shape, dtype } = spec as TensorSpec
    const source = contiguous(x as Tensor)
    const out = empty(to, shape, dtype, 'to')
    to.upload(out.storage, source.device.readSync(source))
    return out
  },
  gradient: {
    saves: () => ({}),
    backward: ({ attrs: { from, to } }, [g]) => [apply(transfer, [g as Tensor], { from: to, to: from })],
  },
})

/** The dtype after `to`: the one that is named; the same on another device; unknown where the text is. */
export type Moved<D extends DType, T> = T extends DType ? Known<T> : string extends T ? DType : D

/**
 * Converted to another dtype, or copied to another device ('cpu', 'reference', 'cuda'); itself where it is there already.
 * Floats round to nearest. Floats to int32 or uint8 lose their fraction, and numbers beyond the range wrap around by whole
 * multiples of 2^32 or 2^8 (300 is 44 in uint8); NaN and infinities give 0. To bool, all but 0 is true.
 */
export function to<S extends Shape, D extends DType, const T extends string | Device>(
  x: Tensor<S, D>,
  target: T,
): Tensor<S, Moved<D, T>> {
  checkTensor('to', 'x', x)
  if (typeof target === 'string' && isDType(target)) return castTo(x, target) as Tensor<S, Moved<D, T>>
  if (typeof target === 'string' && !/^(cpu|reference|cuda(:\d+)?)$/.test(target))
    throw new DeviceError(
      'to',
      `there is no dtype or device '${target}'; dtypes are ${Object.keys(dtypes).join(', ')}, devices cpu, reference, cuda:0`,
    )
  const device = deviceFor('to', target)
  const moved: Tensor = x.device === device ? x : apply(transfer, [x], { from: x.device, to: device })
  return moved as Tensor<S, Moved<D, T>>
}
