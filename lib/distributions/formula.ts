/** Formulas of divergences, by the classes of both distributions. */
import type { Tensor } from '../core/tensor.js'
import type { Distribution } from './distribution.js'

type Class<T> = new (...args: never[]) => T

export interface Formula {
  readonly P: Class<Distribution>
  readonly Q: Class<Distribution>
  /** The divergence of distributions of these classes. */
  of(p: Distribution, q: Distribution): Tensor
}

/** A formula with the types of its distributions, which the caller of `of` has checked. */
export function formula<A extends Distribution, B extends Distribution>(
  P: Class<A>,
  Q: Class<B>,
  of: (p: A, q: B) => Tensor,
): Formula {
  return { P, Q, of: (p, q) => of(p as A, q as B) }
}
