/** Takes the first batch of data, whose place is then restored. */
import { isMap } from '../../core/engine.js'
import { kindOf, ValueError } from '../../core/errors.js'
import { defaultGenerator } from '../../core/generator.js'
import { visitTensors } from '../../core/scope.js'
import { Tensor } from '../../core/tensor.js'
import { noBatches, onePass } from '../checks.js'
import type { Batches } from '../options.js'
import { isResumable } from '../resume.js'

/** Whether a value is a set of batches rather than one batch, which may itself be a list of tensors. */
export function isBatches(value: unknown): value is Batches<unknown> {
  if (typeof value === 'function') return true
  if (typeof value !== 'object' || value === null || value instanceof Tensor || isMap(value)) return false
  if (Array.isArray(value)) return !value.some((item) => item instanceof Tensor)
  return Symbol.asyncIterator in value || Symbol.iterator in value
}

/** Throws ValueError for an iterator, because looking at its batches uses them up. */
function checkRepeatable(op: string, batches: Batches<unknown>): void {
  if (typeof batches !== 'function' && 'next' in batches && typeof batches.next === 'function')
    throw new ValueError(
      op,
      'the batches are an iterator, and a batch examined here would be missing later; give the function that makes it, a DataLoader, a list or one batch',
    )
}

/**
 * Up to `most` batches of a pass. Afterwards the places of a DataLoader, of its generator and of the default generator
 * are restored.
 */
export async function* look(op: string, batches: Batches<unknown>, most: number): AsyncGenerator<unknown> {
  checkRepeatable(op, batches)
  const state = isResumable(batches) ? batches.stateDict() : null
  const random = defaultGenerator().stateDict()
  let count = 0
  try {
    for await (const batch of onePass(op, batches)) {
      yield batch
      if (++count >= most) break
    }
  } finally {
    if (isResumable(batches)) batches.loadStateDict(state)
    defaultGenerator().loadStateDict(random)
  }
}

/** The given batch, or the first of the given batches. */
export async function firstBatch(op: string, data: unknown): Promise<unknown> {
  if (ArrayBuffer.isView(data) || !isBatches(data)) {
    if (typeof data !== 'object' || data === null || ArrayBuffer.isView(data))
      throw new ValueError(op, `needs a batch, or batches such as a DataLoader, but got ${kindOf(data)}`)
    visitTensors(data, ({ storage }) => storage.check(op))
    return data
  }
  for await (const batch of look(op, data, 1)) return batch
  throw noBatches(op, 'batches')
}
