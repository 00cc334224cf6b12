/**
 * New tensors from JavaScript values, constants and sequences. Random tensors are in random.ts, tensors like others in
 * like.ts.
 */

import { empty, run } from '../backend/dispatch.js'
import { elementsOf, isNumericArray, type NumericArray } from '../core/arrays.js'
import { checkBlockShape } from '../core/blocks.js'
import {
  arrayLength,
  checkElement,
  type DType,
  isBlocks,
  isFloating,
  type Known,
  type TypedArray,
} from '../core/dtype.js'
import { DTypeError, formatShape, kindOf, ShapeError, ValueError } from '../core/errors.js'
import { flattened } from '../core/nested.js'
import { checkOptions, type OptionNames, ownOptions } from '../core/options.js'
import { checkEntries } from '../core/room.js'
import { checkShape, countOf, type Shape } from '../core/shape.js'
import type { Mutable } from '../core/shape-types.js'
import { Tensor } from '../core/tensor.js'
import { type CreationOptions, checkDTypeName, creationNames, filled, finish, place } from './placement.js'

export type { CreationOptions } from './placement.js'

/**
 * Fills a new tensor with `value`. Floats are rounded. Throws ValueError for a number that an integer dtype cannot
 * hold.
 */
export function full<const S extends Shape, D extends DType = 'float32'>(
  shape: S,
  value: number,
  options: CreationOptions<D> = {},
): Tensor<Mutable<S>, Known<NoInfer<D>>> {
  return filled('full', shape, value, options)
}

/** A tensor of zeros, by default float32 on the default device. Throws ValueError for an invalid shape. */
export function zeros<const S extends Shape, D extends DType = 'float32'>(
  shape: S,
  options: CreationOptions<D> = {},
): Tensor<Mutable<S>, Known<NoInfer<D>>> {
  return filled('zeros', shape, 0, options)
}

/** A tensor of ones, by default float32 on the default device. Throws ValueError for an invalid shape. */
export function ones<const S extends Shape, D extends DType = 'float32'>(
  shape: S,
  options: CreationOptions<D> = {},
): Tensor<Mutable<S>, Known<NoInfer<D>>> {
  return filled('ones', shape, 1, options)
}

/**
 * The numbers `start`, `start + step`, ... below `end`, or above it if the step is negative; none if the step leads
 * away. With one argument it starts from 0. Integers give int32, other numbers float32. Throws ValueError for an
 * endless sequence, and for numbers that an integer dtype cannot hold.
 */
export function arange<D extends DType = 'float32' | 'int32'>(
  start: number,
  end?: number,
  step = 1,
  options: CreationOptions<D> = {},
): Tensor<[number], Known<NoInfer<D>>> {
  const [from, to] = end === undefined ? [0, start] : [start, end]
  for (const [name, value] of Object.entries({ start: from, end: to, step }))
    if (typeof value !== 'number') throw new ValueError('arange', `${name} is ${kindOf(value)}, but must be a number`)
  const count = Math.max(0, Math.ceil((to - from) / step))
  if (!Number.isFinite(count))
    throw new ValueError('arange', `start ${from}, end ${to}, step ${step} do not give a finite sequence`)
  const whole = [from, to, step].every(Number.isInteger)
  const { dtype, device } = place('arange', options, creationNames, whole ? 'int32' : 'float32')
  // Three numbers suffice: if the first, the second and the last are integers of the dtype, so are all between.
  for (const i of [0, 1, count - 1]) if (i >= 0 && i < count) checkElement('arange', from + i * step, dtype)
  const direct = dtype === 'float32' || dtype === 'float64' || dtype === 'int32'
  const sizes = checkShape('arange', [count])
  const out = empty(device, sizes, direct ? dtype : 'float32', 'arange')
  run('arange', { out, start: from, step })
  if (direct) return finish('arange', out, options)
  const converted = empty(device, sizes, dtype, 'arange')
  run('copy', { out: converted, x: out })
  return finish('arange', converted, options)
}

/** An n by m matrix (default n by n) of ones on the diagonal and zeros elsewhere. */
export function eye<D extends DType = 'float32'>(
  n: number,
  m = n,
  options: CreationOptions<D> = {},
): Tensor<[number, number], Known<NoInfer<D>>> {
  const sizes = checkShape('eye', [n, m])
  const { dtype, device } = place('eye', options, creationNames)
  const out = empty(device, sizes, dtype, 'eye')
  run('fill', { out, value: 0 })
  const diagonal = Math.min(n, m)
  if (diagonal === 0) return finish('eye', out, options)
  const one = full([], 1, { dtype, device })
  run('copy_into', {
    dst: new Tensor(out.storage, [diagonal], [m + 1], 0),
    src: new Tensor(one.storage, [diagonal], [0], 0),
  })
  return finish('eye', out, options)
}

/** The dtype that an array of this kind gives; unknown for kinds that only the running program can tell apart. */
type DTypeOf<A> = A extends Float32Array | Float64Array ? 'float32' : A extends Int32Array ? 'int32' : DType

/**
 * A tensor with a copy of the array's elements, in row-major order. Unless named, the dtype follows from the array's
 * kind. A Float64Array becomes float32 (rounded; name float64 to keep it). All kinds of bytes become uint8, and other
 * integers int32, 64-bit ones too. A Uint16Array holds the bits of 'bfloat16' or 'float16', which must be named. A
 * Uint8Array holds the bytes of a block dtype, row by row, if one is named. Numbers are rounded to a floating dtype
 * (beyond its range to infinity). An integer dtype refuses numbers that it cannot hold: use `.to()`, which truncates
 * and wraps. Throws ShapeError if the elements do not fill the shape, DTypeError, ValueError.
 */
export function fromTypedArray<const S extends Shape, A extends NumericArray, D extends DType = DTypeOf<A>>(
  data: A,
  shape: S,
  options: CreationOptions<D> = {},
): Tensor<Mutable<S>, Known<NoInfer<D>>> {
  return fromElements('fromTypedArray', data, shape, options)
}

function fromElements<S extends Shape, D extends DType>(
  op: string,
  array: NumericArray,
  shape: S,
  options: CreationOptions<D>,
): Tensor<Mutable<S>, Known<NoInfer<D>>> {
  checkOptions<CreationOptions>(op, options, creationNames)
  if (options.dtype !== undefined) checkDTypeName(op, options.dtype)
  const { data, dtype: held } = elementsOf(op, array, options.dtype)
  const { dtype, device } = place(op, options, creationNames, held === 'float64' ? 'float32' : held, true)
  const sizes = checkShape(op, shape)
  checkBlockShape(op, dtype, sizes)
  const wanted = arrayLength(held, countOf(sizes))
  if (wanted !== data.length)
    throw new ShapeError(
      op,
      `${data.length} ${isBlocks(held) ? `bytes of ${held}` : 'elements'} do not fill ${formatShape(sizes)} (${wanted})`,
      [sizes],
    )
  // Other devices than the reference have no float64, so it is rounded here.
  const [source, from]: readonly [TypedArray, DType] =
    held === 'float64' && !device.supports('float64') ? [new Float32Array(data), 'float32'] : [data, held]
  const uploaded = empty(device, sizes, from, op)
  device.upload(uploaded.storage, source)
  if (from === dtype) return finish(op, uploaded, options)
  const out = empty(device, sizes, dtype, op)
  run('copy', { out, x: uploaded })
  return finish(op, out, options)
}

/** Numbers or booleans, nested as deep as the tensor has dimensions. The innermost lists may be typed arrays. */
export type NestedArray = number | boolean | NumericArray | readonly NestedArray[]

/**
 * A tensor of nested arrays, a single number, or a typed array. Unless a dtype is named, booleans give bool, numbers
 * float32, and typed arrays the dtype of their kind (see `fromTypedArray`). Throws ShapeError for ragged nesting, and
 * ValueError for items that are not numbers or that the dtype cannot hold.
 */
export function tensor<D extends DType = DType>(
  value: NestedArray,
  options?: CreationOptions<D>,
): Tensor<Shape, Known<NoInfer<D>>>
export function tensor(value: NestedArray, options: CreationOptions = {}): Tensor {
  if (isNumericArray(value)) return fromElements('tensor', value, [value.length], options)
  checkOptions<CreationOptions>('tensor', options, creationNames)
  const { shape, data, dtype } = flattened('tensor', value)
  const named = options.dtype === undefined ? { ...ownOptions('tensor', options, creationNames), dtype } : options
  return fromElements('tensor', data, shape, named)
}

/**
 * `steps` equally spaced numbers from `start` to `end`, both included, in float32 or another floating dtype. A single
 * step gives `start`.
 */
export function linspace<D extends DType = 'float32'>(
  start: number,
  end: number,
  steps: number,
  options: CreationOptions<D> = {},
): Tensor<[number], Known<NoInfer<D>>> {
  return fromElements('linspace', spaced('linspace', start, end, steps), [steps], floats('linspace', options))
}

export interface LogspaceOptions<D extends DType = DType> extends CreationOptions<D> {
  /** Default 10. */
  readonly base?: number
}

const logspaceNames: OptionNames<LogspaceOptions> = { ...creationNames, base: true }

/** `base` raised to the numbers of `linspace(start, end, steps)`. */
export function logspace<D extends DType = 'float32'>(
  start: number,
  end: number,
  steps: number,
  options: LogspaceOptions<D> = {},
): Tensor<[number], Known<NoInfer<D>>> {
  const { base = 10, ...rest } = ownOptions('logspace', options, logspaceNames)
  if (typeof base !== 'number') throw new ValueError('logspace', `base is ${kindOf(base)}, but must be a number`)
  const powers = spaced('logspace', start, end, steps).map((exponent) => base ** exponent)
  return fromElements('logspace', powers, [steps], floats('logspace', rest as CreationOptions<D>))
}

/**
 * The numbers are computed in doubles from both ends, so that the last is exactly `end` and both halves mirror each
 * other.
 */
function spaced(op: string, start: number, end: number, steps: number): Float64Array {
  for (const [name, value] of Object.entries({ start, end }))
    if (typeof value !== 'number') throw new ValueError(op, `${name} is ${kindOf(value)}, but must be a number`)
  if (!Number.isSafeInteger(steps) || steps < 0)
    throw new ValueError(op, `steps is ${kindOf(steps)}, but must be an integer of at least 0`)
  checkShape(op, [steps])
  checkEntries(op, steps, 2 ** 28, 'numbers', 'take fewer steps, or compute with arange()')
  const step = steps > 1 ? (end - start) / (steps - 1) : 0
  return Float64Array.from({ length: steps }, (_, i) =>
    2 * i < steps ? start + step * i : end - step * (steps - 1 - i),
  )
}

function floats<D extends DType>(op: string, options: CreationOptions<D>): CreationOptions<D> {
  const own = ownOptions<CreationOptions<D>>(op, options, creationNames)
  if (own.dtype !== undefined && !isFloating(checkDTypeName(op, own.dtype)))
    throw new DTypeError(op, `makes floats, but the dtype is ${own.dtype}; round and convert with .to('${own.dtype}')`)
  return own
}
