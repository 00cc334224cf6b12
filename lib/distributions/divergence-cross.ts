/** Divergences between distributions of two families, as in PyTorch's `torch.distributions.kl`. */
import { broadcastShapes } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import {
  add,
  digamma,
  div,
  erf,
  exp,
  gt,
  lgamma,
  log,
  logicalOr,
  lt,
  mul,
  neg,
  square,
  sub,
  where,
  xlogy,
} from '../ops/elementwise/index.js'
import { fullLike } from '../ops/like.js'
import { broadcastTo } from '../ops/shape/index.js'
import type { Distribution } from './distribution.js'
import { Exponential } from './exponential.js'
import { type Formula, formula } from './formula.js'
import { Beta, Gamma } from './gamma.js'
import { Laplace } from './laplace.js'
import { Normal } from './normal.js'
import { Uniform } from './uniform.js'

const infinite = Number.POSITIVE_INFINITY
const euler = 0.5772156649015329
const logRoot = 0.5 * Math.log(2 * Math.PI)

type Class = new (...args: never[]) => Distribution

/** Pairs whose p has draws that q never has. */
const never = (P: Class, ...others: readonly Class[]): readonly Formula[] =>
  others.map((Q) =>
    formula(P, Q, (p, q) =>
      broadcastTo(fullLike(p.mean, infinite), broadcastShapes('klDivergence', p.batchShape, q.batchShape)),
    ),
  )

/** The mean of -log q over p, for a normal q: by the mean and the variance of p. */
function besideNormal(p: Distribution, q: Normal): Tensor {
  const distance = add(p.variance, square(sub(p.mean, q.loc)))
  return add(add(log(q.scale), logRoot), div(mul(distance, 0.5), square(q.scale)))
}

/** The divergence from a normal q. */
const fromNormal = (p: Distribution, q: Normal): Tensor => sub(besideNormal(p, q), p.entropy())

/** The mean of -log q over p, for a gamma q: by the means of p and of its logarithm. */
function besideGamma(mean: Tensor, meanLog: Tensor, q: Gamma): Tensor {
  const normaliser = sub(lgamma(q.concentration), mul(q.concentration, log(q.rate)))
  return add(sub(normaliser, mul(sub(q.concentration, 1), meanLog)), mul(q.rate, mean))
}

const fromExponential = (p: Distribution, q: Exponential): Tensor =>
  sub(sub(mul(q.rate, p.mean), log(q.rate)), p.entropy())

/** The mean of log(x) over a uniform p that has no negative draws. */
function meanLogOf(low: Tensor, high: Tensor): Tensor {
  const width = sub(high, low)
  return sub(div(sub(xlogy(high, high), xlogy(low, low)), width), 1)
}

/** `value`, or infinity where the condition holds. */
const unless = (outside: Tensor, value: Tensor): Tensor => where(outside, infinite, value)

export const crossFormulas: readonly Formula[] = [
  formula(Beta, Exponential, fromExponential),
  formula(Beta, Gamma, (p, q) => {
    const meanLog = sub(digamma(p.concentration1), digamma(add(p.concentration1, p.concentration0)))
    return sub(besideGamma(p.mean, meanLog, q), p.entropy())
  }),
  formula(Beta, Normal, fromNormal),
  formula(Beta, Uniform, (p, q) =>
    unless(logicalOr(gt(q.low, 0), lt(q.high, 1)), sub(log(sub(q.high, q.low)), p.entropy())),
  ),

  formula(Exponential, Gamma, (p, q) => {
    const meanLog = neg(add(log(p.rate), euler))
    return sub(besideGamma(p.mean, meanLog, q), p.entropy())
  }),
  formula(Exponential, Normal, fromNormal),
  ...never(Exponential, Beta, Uniform),

  formula(Gamma, Exponential, fromExponential),
  formula(Gamma, Normal, fromNormal),
  ...never(Gamma, Beta, Uniform),

  formula(Laplace, Normal, fromNormal),
  ...never(Laplace, Beta, Exponential, Gamma, Uniform),

  formula(Normal, Laplace, (p, q) => {
    const distance = sub(p.loc, q.loc)
    const ratio = div(distance, p.scale)
    const spread = mul(mul(p.scale, exp(mul(square(ratio), -0.5))), Math.sqrt(2 / Math.PI))
    const shift = mul(distance, erf(mul(ratio, Math.SQRT1_2)))
    return sub(add(log(mul(q.scale, 2)), div(add(spread, shift), q.scale)), p.entropy())
  }),
  ...never(Normal, Beta, Exponential, Gamma, Uniform),

  formula(Uniform, Beta, (p, q) => {
    const total = add(q.concentration1, q.concentration0)
    const normaliser = sub(add(lgamma(q.concentration1), lgamma(q.concentration0)), lgamma(total))
    const ones = mul(sub(q.concentration1, 1), meanLogOf(p.low, p.high))
    const zeros = mul(sub(q.concentration0, 1), meanLogOf(sub(1, p.high), sub(1, p.low)))
    const value = sub(sub(sub(normaliser, ones), zeros), p.entropy())
    return unless(logicalOr(gt(p.high, 1), lt(p.low, 0)), value)
  }),
  formula(Uniform, Exponential, (p, q) => unless(lt(p.low, 0), fromExponential(p, q))),
  formula(Uniform, Gamma, (p, q) =>
    unless(lt(p.low, 0), sub(besideGamma(p.mean, meanLogOf(p.low, p.high), q), p.entropy())),
  ),
  formula(Uniform, Normal, fromNormal),
]
