/** Probabilities that are given as such, or as logits. */
import { kindOf, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { clamp } from '../ops/elementwise/index.js'
import { type DistributionOptions, distributionNames } from './distribution.js'
import { epsilonOf } from './parameters.js'

export interface ChanceOptions<T> extends DistributionOptions {
  /** Probabilities. Either these or logits are given. */
  readonly probs?: T
  /** Logarithms of odds, or of probabilities up to a constant. */
  readonly logits?: T
}

const names: OptionNames<ChanceOptions<unknown>> = { ...distributionNames, probs: true, logits: true }

/** Throws unless exactly one of probs and logits is given. */
export function checkChances<T>(op: string, options: ChanceOptions<T>): void {
  checkOptions(op, options, names)
  const { probs, logits } = options
  if ((probs === undefined) !== (logits === undefined)) return
  const given = probs === undefined ? 'neither is' : `both are: probs ${kindOf(probs)}, logits ${kindOf(logits)}`
  throw new ValueError(op, `needs probs or logits, but ${given}; give one, as in { logits }`)
}

/** Probabilities away from 0 and 1 by the dtype's epsilon, as in PyTorch, so that their logarithms are finite. */
export function inner(probs: Tensor): Tensor {
  const epsilon = epsilonOf(probs)
  return clamp(probs, epsilon, 1 - epsilon)
}
