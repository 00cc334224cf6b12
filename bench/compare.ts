/** Tells whether two implementations agree on a workload's check. */
import type { Check, Work } from './work.js'

const float32 = 2 ** -23

/** A forward pass in bfloat16 is off by about 2^-8 of its numbers, and a loss by less, because it is a mean. */
const mixed = 2 * 2 ** -8

/** The relative tolerance: a few roundings, and those of a sum of this many terms, on both sides. */
export function tolerance({ reduces, precision }: Pick<Work, 'reduces' | 'precision'>): number {
  if (precision === 'mixed') return mixed
  return 2 * float32 * (16 + 4 * Math.sqrt(reduces))
}

interface Named {
  readonly what: string
  readonly value: number
}

function numbersOf(check: Check): readonly Named[] {
  if ('losses' in check) return check.losses.map((value, i) => ({ what: `loss ${i}`, value }))
  return [{ what: 'output', value: check.out }, ...check.grads.map((value, i) => ({ what: `gradient ${i}`, value }))]
}

/** The differences that rounding does not explain. Empty if the checks agree. */
export function differences(ours: Check, theirs: Check, work: Parameters<typeof tolerance>[0]): readonly string[] {
  const mine = numbersOf(ours)
  const expected = numbersOf(theirs)
  if (mine.length !== expected.length) return [`${mine.length} numbers, the peer has ${expected.length}`]
  const allowed = tolerance(work)
  return mine.flatMap(({ what, value }, i) => {
    const other = expected[i] as Named
    // A gradient that is zero except for rounding has no relative error.
    const error = Math.abs(value - other.value) / Math.max(Math.abs(other.value), 1e-6)
    if (what === other.what && error <= allowed) return []
    return [`${what} is ${value}, the peer's ${other.what} ${other.value} (off by ${error.toExponential(1)})`]
  })
}
