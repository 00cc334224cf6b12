/** The arguments that all reductions share. */
import { checkOptions } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { castTo } from '../convert.js'
import { eq, sub, where } from '../elementwise/index.js'

export interface ReduceOptions {
  /** Whether to keep reduced dimensions with size 1. Default false. */
  readonly keepdim?: boolean
}

export type Dim = number | readonly number[] | null

export function keepdimOf(op: string, options: ReduceOptions): boolean {
  return checkOptions(op, options, { keepdim: true }).keepdim ?? false
}

/** The tensor in a dtype for counting: uint8 and bool are counted in int32. */
export function countable(x: Tensor): Tensor {
  return x.dtype === 'uint8' || x.dtype === 'bool' ? castTo(x, 'int32') : x
}

/** The tensor in a dtype that kernels can order: narrow floats as float32, uint8 and bool as int32. */
export function comparable(x: Tensor): Tensor {
  return x.dtype === 'bfloat16' || x.dtype === 'float16' ? castTo(x, 'float32') : countable(x)
}

export function sizeOf(x: Tensor, dims: readonly number[]): number {
  return dims.reduce((product, d) => product * (x.sizes[d] ?? 1), 1)
}

/** x where it is finite, else 0. */
export function finiteOrZero(x: Tensor): Tensor {
  return where(eq(sub(x, x), 0), x, 0)
}
