/** New tensors: from JavaScript values, constants and sequences. Random ones are in random.ts. */

import { defaultDevice, device as findDevice } from '../backend/devices.js'
import { empty, run } from '../backend/dispatch.js'
import type { Device } from '../core/device.js'
import { type DType, dtypes, isDType, type TypedArray } from '../core/dtype.js'
import { DTypeError, formatShape, ShapeError, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { checkShape, countOf, type Shape } from '../core/shape.js'
import type { Mutable } from '../core/shape-types.js'
import { Tensor } from '../core/tensor.js'

export interface CreationOptions {
  /** Default float32. */
  readonly dtype?: DType
  /** Default: the default device. */
  readonly device?: string | Device
  /** Whether operators on it are recorded. Default false. */
  readonly requiresGrad?: boolean
}

export const creationNames: OptionNames<CreationOptions> = { dtype: true, device: true, requiresGrad: true }

export interface Placement {
  readonly dtype: DType
  readonly device: Device
}

/** Device and dtype of a new tensor; a typed error where they do not go together, or an option has none of the names. */
export function place<O extends CreationOptions>(
  op: string,
  options: O,
  names: OptionNames<O>,
  fallback: DType = 'float32',
): Placement {
  checkOptions<CreationOptions>(op, options, names)
  const target = options.device === undefined ? defaultDevice() : findDevice(options.device)
  const dtype = options.dtype ?? fallback
  if (!isDType(dtype))
    throw new DTypeError(op, `there is no dtype '${String(dtype)}'; known are ${Object.keys(dtypes).join(', ')}`)
  if (!target.supports(dtype))
    throw new DTypeError(op, `device ${target.name} has no ${dtype}; use float32, or the reference device`)
  return { dtype, device: target }
}

/** Sets what the options ask of a finished tensor. */
export function finish<T extends Tensor>(x: T, options: CreationOptions): T {
  if (options.requiresGrad) x.requiresGrad = true
  return x
}

function filled<S extends Shape>(op: string, shape: S, value: number, options: CreationOptions): Tensor<Mutable<S>> {
  checkShape(op, shape)
  const { dtype, device } = place(op, options, creationNames)
  const out = empty(device, [...shape] as Shape as Mutable<S>, dtype, op)
  run('fill', { out, value })
  return finish(out, options)
}

/** All elements `value`. */
export function full<const S extends Shape>(
  shape: S,
  value: number,
  options: CreationOptions = {},
): Tensor<Mutable<S>> {
  return filled('full', shape, value, options)
}

export function zeros<const S extends Shape>(shape: S, options: CreationOptions = {}): Tensor<Mutable<S>> {
  return filled('zeros', shape, 0, options)
}

export function ones<const S extends Shape>(shape: S, options: CreationOptions = {}): Tensor<Mutable<S>> {
  return filled('ones', shape, 1, options)
}

/** `start`, `start + step`, ... below `end`; with one argument from 0. Integers give int32, others float32. */
export function arange(start: number, end?: number, step = 1, options: CreationOptions = {}): Tensor<[number]> {
  const [from, to] = end === undefined ? [0, start] : [start, end]
  const count = Math.max(0, Math.ceil((to - from) / step))
  if (!Number.isFinite(count))
    throw new ValueError('arange', `start ${from}, end ${to}, step ${step} do not give a finite sequence`)
  const whole = [from, to, step].every(Number.isInteger)
  const { dtype, device } = place('arange', options, creationNames, whole ? 'int32' : 'float32')
  const direct = dtype === 'float32' || dtype === 'float64' || dtype === 'int32'
  const out = empty(device, [count] as [number], direct ? dtype : 'float32', 'arange')
  run('arange', { out, start: from, step })
  if (direct) return finish(out, options)
  const converted = empty(device, [count] as [number], dtype, 'arange')
  run('copy', { out: converted, x: out })
  return finish(converted, options)
}

/** Ones on the diagonal of an n by m matrix (n by n), else zeros. */
export function eye(n: number, m = n, options: CreationOptions = {}): Tensor<[number, number]> {
  checkShape('eye', [n, m])
  const { dtype, device } = place('eye', options, creationNames)
  const out = empty(device, [n, m] as [number, number], dtype, 'eye')
  run('fill', { out, value: 0 })
  const diagonal = Math.min(n, m)
  if (diagonal === 0) return finish(out, options)
  const one = full([], 1, { dtype, device })
  run('copy_into', {
    dst: new Tensor(out.storage, [diagonal], [m + 1], 0),
    src: new Tensor(one.storage, [diagonal], [0], 0),
  })
  return finish(out, options)
}

function upload<S extends Shape>(op: string, data: TypedArray, dtype: DType, shape: S, device: Device): Tensor<S> {
  const out = empty(device, shape, dtype, op)
  device.upload(out.storage, data)
  return out
}

/** The dtype whose elements an array of this class holds; 16-bit floats must be named. */
function dtypeOf(data: TypedArray): DType {
  if (data instanceof Float32Array) return 'float32'
  if (data instanceof Float64Array) return 'float64'
  if (data instanceof Int32Array) return 'int32'
  if (data instanceof Uint8Array) return 'uint8'
  throw new DTypeError('fromTypedArray', "a Uint16Array holds the bits of 'bfloat16' or 'float16': name the dtype")
}

/** A tensor with a copy of the array's elements, in row-major order. Throws ShapeError if they do not fill the shape. */
export function fromTypedArray<const S extends Shape>(
  data: TypedArray,
  shape: S,
  options: CreationOptions = {},
): Tensor<Mutable<S>> {
  if (!ArrayBuffer.isView(data))
    throw new ValueError('fromTypedArray', `data must be a typed array, but is ${typeof data}`)
  checkShape('fromTypedArray', shape)
  const held =
    options.dtype !== undefined && data instanceof dtypes[options.dtype].Array ? options.dtype : dtypeOf(data)
  const { dtype, device } = place('fromTypedArray', options, creationNames, held === 'float64' ? 'float32' : held)
  if (countOf(shape) !== data.length)
    throw new ShapeError(
      'fromTypedArray',
      `${data.length} elements do not fill ${formatShape(shape)} (${countOf(shape)})`,
      [shape],
    )
  const sizes = [...shape] as Shape as Mutable<S>
  if (held === dtype) return finish(upload('fromTypedArray', data, dtype, sizes, device), options)
  // float64 exists on the reference device only; elsewhere it is rounded here.
  const source =
    held === 'float64' && !device.supports('float64')
      ? upload('fromTypedArray', Float32Array.from(data), 'float32', sizes, device)
      : upload('fromTypedArray', data, held, sizes, device)
  if (source.dtype === dtype) return finish(source, options)
  const out = empty(device, sizes, dtype, 'fromTypedArray')
  run('copy', { out, x: source })
  return finish(out, options)
}

/** Numbers or booleans, nested as deep as the tensor has dimensions. */
export type NestedArray = number | boolean | readonly NestedArray[]

function shapeOf(value: NestedArray): number[] {
  const shape: number[] = []
  let at: NestedArray | undefined = value
  while (Array.isArray(at)) {
    shape.push(at.length)
    at = at[0] as NestedArray | undefined
  }
  return shape
}

/**
 * A tensor of nested arrays (or one number) or of a typed array. Booleans give dtype bool, numbers float32 unless named.
 * Throws ShapeError for ragged nesting and ValueError for what is no number.
 */
export function tensor(value: NestedArray | TypedArray, options: CreationOptions = {}): Tensor {
  if (ArrayBuffer.isView(value)) return fromTypedArray(value as TypedArray, [(value as TypedArray).length], options)
  const shape = shapeOf(value as NestedArray)
  const flat: number[] = []
  let booleans = true
  const walk = (item: NestedArray, depth: number): void => {
    if (Array.isArray(item)) {
      if (item.length !== shape[depth])
        throw new ShapeError(
          'tensor',
          `ragged nesting: a list at depth ${depth} has ${item.length} entries, the first one there has ${shape[depth] ?? 'none'}`,
        )
      for (const entry of item) walk(entry as NestedArray, depth + 1)
      return
    }
    if (depth !== shape.length)
      throw new ShapeError(
        'tensor',
        `ragged nesting: a number stands at depth ${depth}, where the first entry has lists`,
      )
    if (typeof item !== 'number' && typeof item !== 'boolean')
      throw new ValueError('tensor', `${String(item)} is neither a number nor a boolean`)
    if (typeof item === 'number') booleans = false
    flat.push(Number(item))
  }
  walk(value as NestedArray, 0)
  const dtype = options.dtype ?? (booleans && flat.length > 0 ? 'bool' : 'float32')
  const integers = dtype === 'int32' ? Int32Array : dtype === 'uint8' || dtype === 'bool' ? Uint8Array : null
  if (integers) {
    const max = dtype === 'int32' ? 2 ** 31 - 1 : dtype === 'bool' ? 1 : 255
    const bad = flat.find(
      (number) => !Number.isInteger(number) || number > max || number < (dtype === 'int32' ? -(2 ** 31) : 0),
    )
    if (bad !== undefined) throw new ValueError('tensor', `${bad} is no ${dtype}`)
  }
  const data = integers ? integers.from(flat) : Float64Array.from(flat)
  return fromTypedArray(data, shape, { ...options, dtype })
}
