/**
 * The way in which a kind of golden case is run through the public operators and modules, and the forms that most kinds
 * have.
 */
import type { Tensor } from '../../../lib/core/tensor.js'
import * as nn from '../../../lib/nn/index.js'
import type { Given } from '../cases.js'

/**
 * The results of a kind: outputs in order, tensors by the role of what is expected, and parameters whose gradients are
 * checked.
 */
export interface Outcome {
  readonly outputs: readonly Tensor[]
  readonly parameters?: ReadonlyMap<string, Tensor>
  readonly buffers?: ReadonlyMap<string, Tensor>
}

export interface Kind {
  run(given: Given): Outcome
  /** The length of the longest sum behind one element, with which the tolerance grows. */
  reduces(given: Given): number
}

/** Kinds by the names that cases give them. */
export type Kinds = { readonly [kind: string]: Kind }

export const one = () => 1

/** An operator over the case's inputs in their order. */
export function op(fn: (given: Given) => Tensor | readonly Tensor[], reduces: (given: Given) => number = one): Kind {
  return {
    run(given) {
      const made = fn(given)
      return { outputs: Array.isArray(made) ? (made as readonly Tensor[]) : [made as Tensor] }
    },
    reduces,
  }
}

export const unary = (fn: (x: Tensor) => Tensor) => op((given) => fn(given.in('x')))
export const binary = (fn: (a: Tensor, b: Tensor) => Tensor) => op((given) => fn(given.in('a'), given.in('b')), largest)

/** The number of elements of the largest input, which bounds any sum over it. */
export function largest(given: Given): number {
  return Math.max(1, ...given.roles('in.').map((name) => given.values(`in.${name}`).data.length))
}

export function reduction(fn: (x: Tensor, dim: number[] | null, options: { keepdim: boolean }) => Tensor): Kind {
  return op((given) => fn(given.in('x'), given.arg('dim'), { keepdim: given.arg('keepdim') }), largest)
}

/** A module that gets the case's parameters (and buffers) and runs on its inputs. */
export function module(
  make: (given: Given) => nn.Module,
  call: (m: never, given: Given) => Tensor | readonly Tensor[],
): Kind {
  return {
    run(given) {
      const built = make(given).to(given.device)
      const parameters = new Map(built.namedParameters())
      nn.loadStateDict(built, new Map(given.roles('param.').map((name) => [name, given.tensor(`param.${name}`)])), {
        strict: false,
      })
      const missing = [...parameters.keys()].filter((name) => !given.has(`param.${name}`))
      if (missing.length > 0) throw new Error(`${given.golden.name} has no values for ${missing.join(', ')}`)
      const made = call(built as never, given)
      return {
        outputs: Array.isArray(made) ? (made as readonly Tensor[]) : [made as Tensor],
        parameters,
        buffers: new Map(built.namedBuffers()),
      }
    },
    reduces: (given) =>
      Math.max(largest(given), ...given.roles('param.').map((name) => given.values(`param.${name}`).data.length)),
  }
}

/** A mask that is stored as integers. */
export const bool = (x: Tensor): Tensor => x.to('bool')
