/** Checks of lists, for JavaScript callers. */

import { checkTensor } from '../../autograd/operator.js'
import { kindOf, ValueError } from '../../core/errors.js'
import type { Tensor } from '../../core/tensor.js'

/** For who writes x.reshape(2, 3) as in Python: all sizes or dimensions come in one array. */
export function checkList(op: string, list: readonly number[], example = '[2, 3]'): void {
  if (!Array.isArray(list))
    throw new ValueError(
      op,
      `takes one array of integers, but got ${kindOf(list)}; pass an array, as in ${op}(${example})`,
    )
}

export function checkTensors(op: string, tensors: readonly Tensor[]): void {
  if (!Array.isArray(tensors))
    throw new ValueError(op, `takes an array of tensors, but got ${kindOf(tensors)}; write ${op}([a, b])`)
  for (const x of tensors) checkTensor(op, 'each of the list', x)
}
