/** The time loop by operators, which runs programs' cells and the composites of the fused layers. */
import { InternalError } from '../../core/errors.js'
import type { Tensor } from '../../core/tensor.js'
import { where } from '../elementwise/index.js'
import { detach, reshape, split, stack, unsqueeze } from '../shape/index.js'

/** An entry that a list is known to have. */
export function entry<T>(list: readonly T[], index: number): T {
  const found = list[index]
  if (found === undefined) throw new InternalError('recurrence', `there is no entry ${index} of ${list.length}`)
  return found
}

/** The two entries of a list. */
export const two = <T>(list: readonly T[]): [T, T] => [entry(list, 0), entry(list, 1)]
/** The three entries of a list. */
export const three = <T>(list: readonly T[]): [T, T, T] => [entry(list, 0), entry(list, 1), entry(list, 2)]

export interface Walk {
  readonly reverse: boolean
  /** The number of steps through which gradients flow back; Infinity for all. */
  readonly truncate: number
  /** Whether each step of each sequence counts, [T, B]; null if all do. */
  readonly mask: Tensor | null
}

/** The result of a step: its output, and the state after it. */
export interface Stepped {
  readonly output: Tensor
  readonly state: readonly Tensor[]
}

/** The parts of x along its first dimension. They come from one operator, so that the gradient is a single join. */
export function partsOf(x: Tensor): readonly Tensor[] {
  if (x.sizes[0] === 0) return []
  const shape = x.sizes.slice(1)
  return split(x, 1, 0).map((part) => reshape(part, shape))
}

/** The mask [B] with as many dimensions as the tensor [B, ...]. */
function beside(mask: Tensor, x: Tensor): Tensor {
  return x.ndim === 1 ? mask : reshape(mask, [mask.numel, ...new Array<number>(x.ndim - 1).fill(1)])
}

/**
 * Runs `step` over all times. Returns outputs [T, ...] in the order of x, and the last state. A step that does not
 * count gives 0 and leaves the state unchanged. There must be at least one step.
 */
export function walkSteps(
  times: number,
  initial: readonly Tensor[],
  { reverse, truncate, mask }: Walk,
  step: (time: number, state: readonly Tensor[]) => Stepped,
): Stepped {
  const masks = mask === null ? null : partsOf(mask)
  const outputs = new Array<Tensor>(times)
  let state = initial
  for (let k = 0; k < times; k++) {
    const time = reverse ? times - 1 - k : k
    if (k > 0 && k % truncate === 0) state = state.map((part) => detach(part))
    const made = step(time, state)
    const counted = masks?.[time]
    if (counted === undefined) {
      outputs[time] = made.output
      state = made.state
    } else {
      outputs[time] = where(beside(counted, made.output), made.output, 0)
      const before = state
      state = made.state.map((part, i) => where(beside(counted, part), part, before[i] ?? 0))
    }
  }
  return { output: stack(outputs, 0), state }
}

/** States [B, ...] of all layers and directions as one [layers * directions, B, ...]. */
export function stacked(states: readonly Tensor[]): Tensor {
  const [only] = states
  return only !== undefined && states.length === 1 ? unsqueeze(only, 0) : stack(states, 0)
}
