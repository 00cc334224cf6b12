/** Functions of several operators that are to be one to the program. */
import { namedAs } from '../../core/errors.js'
import type { Tensor } from '../../core/tensor.js'
import { castTo } from '../convert.js'

/**
 * The function of the tensors in one rounding, as a kernel of its own would have it: bfloat16 is computed with in float32.
 * Errors name `op`.
 */
export function once<T extends readonly Tensor[]>(op: string, tensors: T, f: (...tensors: T) => Tensor): Tensor {
  if (!tensors.every(isBfloat16)) return namedAs(op, () => f(...tensors))
  const wide = tensors.map((x) => castTo(x, 'float32')) as readonly Tensor[] as T
  return castTo(
    namedAs(op, () => f(...wide)),
    'bfloat16',
  )
}

const isBfloat16 = (x: Tensor): boolean => x.dtype === 'bfloat16'
