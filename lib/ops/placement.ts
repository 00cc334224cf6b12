/** The placement of new tensors, and the options that all functions share which make them. */

import { defaultDevice, deviceFor } from '../backend/devices.js'
import { empty, run } from '../backend/dispatch.js'
import { checkBlockShape } from '../core/blocks.js'
import type { Device } from '../core/device.js'
import { checkElement, type DType, dtypes, isBlocks, isDType, type Known } from '../core/dtype.js'
import { DTypeError, kindOf, ValueError } from '../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../core/options.js'
import { checkShape, type Shape } from '../core/shape.js'
import type { Mutable } from '../core/shape-types.js'
import type { Tensor } from '../core/tensor.js'

export interface CreationOptions<D extends DType = DType> {
  /** Default float32. */
  readonly dtype?: D
  /** Default: the default device. */
  readonly device?: string | Device
  /** Whether operators on the tensor are recorded. Default false. */
  readonly requiresGrad?: boolean
}

export const creationNames: OptionNames<CreationOptions> = { dtype: true, device: true, requiresGrad: true }

export interface Placement {
  readonly dtype: DType
  readonly device: Device
}

/**
 * The device and dtype of a new tensor. Throws a typed error if they do not go together, or if an option is unknown.
 */
export function place<O extends CreationOptions>(
  op: string,
  options: O,
  names: OptionNames<O>,
  fallback: DType = 'float32',
  takesBlocks = false,
): Placement {
  checkOptions<CreationOptions>(op, options, names)
  if (options.requiresGrad !== undefined) checkFlag(op, 'requiresGrad', options.requiresGrad)
  const target = options.device === undefined ? defaultDevice() : deviceFor(op, options.device)
  const dtype = checkDTypeName(op, options.dtype === undefined ? fallback : options.dtype)
  if (!target.supports(dtype))
    throw new DTypeError(op, `device ${target.name} has no ${dtype}; use float32, or the reference device`)
  if (isBlocks(dtype) && !takesBlocks)
    throw new DTypeError(op, `makes no ${dtype} tensors; make float32 and convert with .to('${dtype}')`)
  return { dtype, device: target }
}

export function checkDTypeName(op: string, dtype: DType): DType {
  if (isDType(dtype)) return dtype
  const wide = (dtype as string) === 'int64' ? '; int64 exists only in files, and tensors have int32' : ''
  throw new DTypeError(op, `there is no dtype ${kindOf(dtype)}; known are ${Object.keys(dtypes).join(', ')}${wide}`)
}

/** Applies the options to a finished tensor. */
export function finish<S extends Shape, D extends DType>(
  op: string,
  x: Tensor<S>,
  options: CreationOptions<D>,
): Tensor<S, Known<D>>
export function finish(op: string, x: Tensor, options: CreationOptions): Tensor {
  if (options.requiresGrad && !x.dtype.includes('float'))
    throw new DTypeError(op, `only floating tensors have gradients, but this one is ${x.dtype}; leave requiresGrad out`)
  if (options.requiresGrad !== undefined) x.requiresGrad = options.requiresGrad
  return x
}

/**
 * Throws if no kernel fills tensors of the dtype with the number. Blocks can only be filled with zeros, which are bytes
 * of 0.
 */
export function checkFillable(op: string, value: number, dtype: DType, sizes: Shape): void {
  if (!isBlocks(dtype)) return
  checkBlockShape(op, dtype, sizes)
  if (value !== 0)
    throw new ValueError(
      op,
      `a tensor of ${dtype} can be filled only with 0, not with ${value}; convert one with .to('${dtype}')`,
    )
}

/** A tensor filled with `value`, for a function that the program calls by the name `op`. */
export function filled<S extends Shape, D extends DType>(
  op: string,
  shape: S,
  value: number,
  options: CreationOptions<D>,
): Tensor<Mutable<S>, Known<NoInfer<D>>> {
  const sizes = checkShape(op, shape)
  const { dtype, device } = place(op, options, creationNames, 'float32', true)
  checkElement(op, value, dtype)
  checkFillable(op, value, dtype, sizes)
  const out = empty(device, sizes, dtype, op)
  run('fill', { out, value })
  return finish(op, out, options)
}

/** A tensor with undefined contents, for callers that upload all elements before anyone else sees it. */
export function unwritten(op: string, device: Device, dtype: DType, count: number): Tensor {
  return empty(device, [count], dtype, op)
}
