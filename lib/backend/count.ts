import { ValueError } from '../core/errors.js'

/** Throws ValueError for what is no number of elements, which sizes of a program's own making can multiply to. */
export function checkCount(count: number, op: string): void {
  if (!(count >= 0 && Math.floor(count) === count))
    throw new ValueError(op, `a tensor cannot have ${count} elements; its sizes must be non-negative integers`)
}
