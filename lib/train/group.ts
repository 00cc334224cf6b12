/** The batches of one step. Their gradients are summed, and then divided by the count of the sum. */
import { noGrad } from '../autograd/mode.js'
import { keep, outsideFrames, scope } from '../core/scope.js'
import { isOverlapping } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import type { Parameter } from '../nn/module.js'
import { Counts, type Sums } from './objective.js'

/** Batches whose gradients make one step. */
export interface Group {
  readonly counts: Counts
  readonly read: Promise<Sums>[]
  items: number
}

export const newGroup = (): Group => ({ counts: new Counts(), read: [], items: 0 })

export async function sumsOf(read: readonly Promise<Sums>[]): Promise<Sums> {
  const all = await Promise.all(read)
  return {
    total: all.reduce((sum, { total }) => sum + total, 0),
    count: all.reduce((sum, { count }) => sum + count, 0),
  }
}

/** Divides summed gradients by the count of the sum. A parameter that is listed twice is divided once. */
export function divide(parameters: readonly Parameter[], by: Tensor | number): void {
  if (by === 1) return
  noGrad(() => {
    for (const parameter of new Set(parameters)) {
      const gradient = parameter.peekGrad()
      if (gradient === null) continue
      // Elements that share memory cannot be written one by one.
      if (isOverlapping(gradient)) parameter.grad = outsideFrames(() => keep(gradient.div(by)))
      // One gradient at a time, because all quotients at once would need as much memory as all gradients.
      else scope(() => gradient.copy_(gradient.div(by)))
    }
  })
}
