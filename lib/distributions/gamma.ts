/**
 * Distributions made of gamma distributed numbers: Gamma, Beta and Dirichlet. Their samples have no gradient, and there is
 * no cdf, because the library has no incomplete gamma function.
 */

import { formatShape, ShapeError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { arange } from '../ops/creation.js'
import {
  add,
  clampMin,
  digamma,
  div,
  eq,
  exp,
  isclose,
  lgamma,
  log,
  logicalAnd,
  lt,
  mul,
  square,
  sub,
  where,
  xlogy,
} from '../ops/elementwise/index.js'
import { all, sum } from '../ops/reduce/index.js'
import { expand, select, stack } from '../ops/shape/index.js'
import { softmax } from '../ops/softmax.js'
import { type Claim, checkClaims, claim, notNegative, positive, unit } from './constraint.js'
import { Distribution, type DistributionOptions, distributionNames, validates } from './distribution.js'
import { logGammas } from './gamma-draws.js'
import { aligned, checkFloats, leastOf } from './parameters.js'

/** The gamma distribution: rate^concentration x^(concentration - 1) exp(-rate x) / gamma(concentration). */
export class Gamma extends Distribution {
  readonly concentration: Tensor
  readonly rate: Tensor
  readonly hasRsample = false
  protected readonly support = notNegative

  /** `concentration` and `rate` are above 0. They broadcast. */
  constructor(concentration: Tensor | number, rate: Tensor | number, options: DistributionOptions = {}) {
    const checks = validates('Gamma', checkOptions('Gamma', options, distributionNames))
    const known = aligned('Gamma', { concentration, rate })
    if (checks)
      checkClaims('Gamma', known.rate.device, () => [
        claim('concentration', known.concentration, positive),
        claim('rate', known.rate, positive),
      ])
    super('Gamma', known.rate.sizes, [], checks)
    this.concentration = known.concentration
    this.rate = known.rate
  }

  protected get example(): Tensor {
    return this.rate
  }

  get mean(): Tensor {
    return div(this.concentration, this.rate)
  }

  get mode(): Tensor {
    return div(clampMin(sub(this.concentration, 1), 0), this.rate)
  }

  get variance(): Tensor {
    return div(this.concentration, square(this.rate))
  }

  protected draw(shape: Shape, generator: Generator | undefined): Tensor {
    const logarithms = logGammas(expand(this.concentration, shape), generator)
    // A sample of 0 would have an infinite density.
    return clampMin(div(exp(logarithms), this.rate), leastOf(this.rate))
  }

  protected logProbOf(value: Tensor): Tensor {
    const { concentration, rate } = this
    const powers = add(xlogy(concentration, rate), xlogy(sub(concentration, 1), value))
    return sub(sub(powers, mul(rate, value)), lgamma(concentration))
  }

  protected entropyOf(): Tensor {
    const { concentration, rate } = this
    const spread = mul(sub(1, concentration), digamma(concentration))
    return add(add(sub(concentration, log(rate)), lgamma(concentration)), spread)
  }

  protected expandedTo(batchShape: Shape): Gamma {
    return new Gamma(expand(this.concentration, batchShape), expand(this.rate, batchShape), { validateArgs: false })
  }
}

/** The Dirichlet distribution of n probabilities that add up to 1. */
export class Dirichlet extends Distribution {
  readonly concentration: Tensor
  readonly hasRsample = false
  protected readonly support = null

  /** `concentration` is [..., n], above 0. */
  constructor(concentration: Tensor, options: DistributionOptions = {}) {
    const op = 'Dirichlet'
    const checks = validates(op, checkOptions(op, options, distributionNames))
    checkFloats(op, 'concentration', concentration)
    if (concentration.ndim === 0 || concentration.sizes.at(-1) === 0)
      throw new ShapeError(
        op,
        `concentration is ${formatShape(concentration.sizes)}, but must be [..., n] with a number for each of n probabilities`,
        [concentration.sizes],
      )
    if (checks) checkClaims(op, concentration.device, () => [claim('concentration', concentration, positive)])
    super(op, concentration.sizes.slice(0, -1), concentration.sizes.slice(-1), checks)
    this.concentration = concentration
  }

  protected get example(): Tensor {
    return this.concentration
  }

  get #total(): Tensor {
    return sum(this.concentration, -1, { keepdim: true })
  }

  get mean(): Tensor {
    return div(this.concentration, this.#total)
  }

  /** The first corner where all concentrations are below 1, as in PyTorch. */
  get mode(): Tensor {
    const above = clampMin(sub(this.concentration, 1), 0)
    const { device } = this.concentration
    const first = eq(arange(0, this.eventShape[0] as number, 1, { device }), 0)
    const corner = logicalAnd(all(lt(this.concentration, 1), -1, { keepdim: true }), first)
    const elsewhere = all(lt(this.concentration, 1), -1, { keepdim: true })
    const inside = div(above, sum(above, -1, { keepdim: true }))
    return where(corner, 1, where(elsewhere, 0, inside))
  }

  get variance(): Tensor {
    const total = this.#total
    const spread = mul(this.concentration, sub(total, this.concentration))
    return div(spread, mul(square(total), add(total, 1)))
  }

  protected override claimsOf(value: Tensor): readonly Claim[] {
    const totals = sum(value, -1)
    const near = isclose(totals, add(mul(totals, 0), 1), { rtol: 0, atol: 1e-6 })
    return [
      claim('value', value, notNegative),
      { name: 'the sum of value', x: totals, obeys: near, words: '1, to 1e-6' },
    ]
  }

  protected draw(shape: Shape, generator: Generator | undefined): Tensor {
    return softmax(logGammas(expand(this.concentration, shape), generator), -1)
  }

  protected logProbOf(value: Tensor): Tensor {
    const { concentration } = this
    const powers = sum(xlogy(sub(concentration, 1), value), -1)
    return sub(add(powers, lgamma(sum(concentration, -1))), sum(lgamma(concentration), -1))
  }

  protected entropyOf(): Tensor {
    const { concentration } = this
    const total = sum(concentration, -1)
    const normaliser = sub(sum(lgamma(concentration), -1), lgamma(total))
    const spread = sum(mul(sub(concentration, 1), digamma(concentration)), -1)
    return sub(sub(normaliser, mul(sub(this.eventShape[0] as number, total), digamma(total))), spread)
  }

  protected expandedTo(batchShape: Shape): Dirichlet {
    const shape = [...batchShape, ...this.eventShape]
    return new Dirichlet(expand(this.concentration, shape), { validateArgs: false })
  }
}

/** The beta distribution, over numbers from 0 to 1. */
export class Beta extends Distribution {
  /** The exponent of x, plus 1. */
  readonly concentration1: Tensor
  /** The exponent of 1 - x, plus 1. */
  readonly concentration0: Tensor
  readonly hasRsample = false
  protected readonly support = unit

  /** Both concentrations are above 0. They broadcast. */
  constructor(concentration1: Tensor | number, concentration0: Tensor | number, options: DistributionOptions = {}) {
    const checks = validates('Beta', checkOptions('Beta', options, distributionNames))
    const known = aligned('Beta', { concentration1, concentration0 })
    if (checks)
      checkClaims('Beta', known.concentration1.device, () => [
        claim('concentration1', known.concentration1, positive),
        claim('concentration0', known.concentration0, positive),
      ])
    super('Beta', known.concentration1.sizes, [], checks)
    this.concentration1 = known.concentration1
    this.concentration0 = known.concentration0
  }

  protected get example(): Tensor {
    return this.concentration1
  }

  /** The distribution of x and 1 - x. */
  get #pair(): Dirichlet {
    return new Dirichlet(stack([this.concentration1, this.concentration0], -1), { validateArgs: false })
  }

  get mean(): Tensor {
    return div(this.concentration1, add(this.concentration1, this.concentration0))
  }

  get mode(): Tensor {
    return select(this.#pair.mode, -1, 0)
  }

  get variance(): Tensor {
    const total = add(this.concentration1, this.concentration0)
    return div(mul(this.concentration1, this.concentration0), mul(square(total), add(total, 1)))
  }

  protected draw(shape: Shape, generator: Generator | undefined): Tensor {
    const lead = shape.slice(0, shape.length - this.batchShape.length)
    return select(this.#pair.sample(lead, { generator }), -1, 0)
  }

  protected logProbOf(value: Tensor): Tensor {
    return this.#pair.logProb(stack([value, sub(1, value)], -1))
  }

  protected entropyOf(): Tensor {
    return this.#pair.entropy()
  }

  protected expandedTo(batchShape: Shape): Beta {
    const parts = [expand(this.concentration1, batchShape), expand(this.concentration0, batchShape)] as const
    return new Beta(...parts, { validateArgs: false })
  }
}
