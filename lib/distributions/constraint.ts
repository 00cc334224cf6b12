/** Rules that parameters and values obey, and the one read that they cost. */
import { noGrad } from '../autograd/mode.js'
import type { Device } from '../core/device.js'
import { shown, ValueError } from '../core/errors.js'
import { scope } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import { eq, floor, ge, gt, le, logicalAnd } from '../ops/elementwise/index.js'
import { dataSync, item } from '../ops/read.js'
import { all } from '../ops/reduce/index.js'

/** A rule for single elements. */
export interface Constraint {
  /** The rule in words that follow `must be`. */
  readonly words: string
  /** Whether each element obeys; NaN never does. */
  readonly holds: (x: Tensor) => Tensor
}

const between = (words: string, low: number, high: number): Constraint => ({
  words,
  holds: (x) => logicalAnd(ge(x, low), le(x, high)),
})

export const real: Constraint = { words: 'a number, not NaN', holds: (x) => eq(x, x) }
export const positive: Constraint = { words: 'more than 0', holds: (x) => gt(x, 0) }
export const notNegative: Constraint = { words: '0 or more', holds: (x) => ge(x, 0) }
export const unit = between('from 0 to 1', 0, 1)
export const zeroOrOne: Constraint = {
  words: '0 or 1',
  holds: (x) => logicalAnd(unit.holds(x), eq(x, floor(x))),
}
/** An index of `count` classes. */
export const indexBelow = (count: number): Constraint => {
  const within = between(`an integer from 0 to ${count - 1}`, 0, count - 1)
  return { words: within.words, holds: (x) => logicalAnd(within.holds(x), eq(x, floor(x))) }
}

/** Elements, whether each obeys, and the words of an error. */
export interface Claim {
  readonly name: string
  readonly x: Tensor
  /** Has the elements of `x`, or of `x` expanded. */
  readonly obeys: Tensor
  readonly words: string
}

/** The claim that each element of `x` obeys a constraint. */
export const claim = (name: string, x: Tensor, { words, holds }: Constraint): Claim => ({
  name,
  x,
  obeys: holds(x),
  words,
})

/**
 * Throws ValueError unless all claims hold. Makes them without a graph, and waits for their tensors once, as `item`
 * does. Tensors on 'meta' have no elements, so nothing is checked there.
 */
export function checkClaims(op: string, device: Device, make: () => readonly Claim[]): void {
  if (device.kind === 'meta') return
  scope(() =>
    noGrad(() => {
      const claims = make()
      const verdict = claims.map(({ obeys }) => all(obeys) as Tensor).reduce((a, b) => logicalAnd(a, b))
      if (item(verdict) !== 0) return
      for (const { name, x, obeys, words } of claims) {
        const at = dataSync(obeys).indexOf(0 as never)
        if (at === -1) continue
        const value = x.numel === obeys.numel ? Number(dataSync(x)[at]) : undefined
        const found =
          value === undefined ? `an element of ${name} is not right: it` : `${name} holds ${shown(value)}, but`
        throw new ValueError(op, `${found} must be ${words}; validateArgs: false leaves this check out`)
      }
    }),
  )
}
