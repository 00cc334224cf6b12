/** Checks of lists, for JavaScript callers. */

import { checkTensor } from '../../autograd/operator.js'
import { kindOf, shown, ValueError } from '../../core/errors.js'
import type { Tensor } from '../../core/tensor.js'

/** Throws unless the sizes or dimensions come in one array, with a hint for x.reshape(2, 3), as in Python. */
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

/** Throws unless the value is an integer of at least `least`. */
export function checkInteger(op: string, name: string, value: number, least?: number): number {
  if (Number.isSafeInteger(value) && !(least !== undefined && value < least)) return value
  throw new ValueError(
    op,
    `${name} is ${shown(value)}, but must be ${least === undefined ? 'an integer' : `an integer of at least ${least}`}`,
  )
}

/** A copy of a list of integers, or a list of a single one. */
export function integersOf(op: string, name: string, value: number | readonly number[], least?: number): number[] {
  if (typeof value !== 'number' && !Array.isArray(value))
    throw new ValueError(op, `${name} is ${kindOf(value)}, but must be an integer or an array of them`)
  const list = typeof value === 'number' ? [value] : [...(value as readonly number[])]
  for (const each of list) checkInteger(op, name, each, least)
  return list
}
