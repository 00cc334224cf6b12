/** The record of dropout, for callers that take the random position from the generator beforehand. */
import { apply, type Operator } from '../autograd/operator.js'
import type { PhiloxPosition } from '../backend/table/index.js'
import type { Tensor } from '../core/tensor.js'
import { like } from './common.js'
import { kernel, operator } from './operator.js'

interface Dropout {
  readonly p: number
  readonly random: PhiloxPosition
}

const dropoutRecord: Operator<[x: Tensor], Dropout> = operator<[x: Tensor], Dropout>({
  name: 'dropout',
  infer: ([x]) => like(x),
  forward: kernel('dropout', ([x], attrs, { out }) => ({ out, x, ...attrs })),
  gradient: {
    saves: () => ({}),
    // The mask is never stored, but drawn again from the same position.
    backward: ({ attrs }, [g]) => [apply(dropoutRecord, [g], attrs)],
  },
})

/** Dropout at a random position that was taken beforehand. */
export function dropoutAt(x: Tensor, p: number, random: PhiloxPosition): Tensor {
  return apply(dropoutRecord, [x], { p, random })
}
