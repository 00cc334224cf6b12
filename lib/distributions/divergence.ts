/** The Kullback-Leibler divergence of one distribution from another. */
import { formatShape, kindOf, namedAs, ShapeError, ValueError } from '../core/errors.js'
import { sameShape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import {
  abs,
  add,
  digamma,
  div,
  eq,
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
} from '../ops/elementwise/index.js'
import { sum } from '../ops/reduce/index.js'
import { Bernoulli, softened } from './bernoulli.js'
import { Categorical } from './categorical.js'
import { Distribution } from './distribution.js'
import { crossFormulas } from './divergence-cross.js'
import { Exponential } from './exponential.js'
import { type Formula, formula } from './formula.js'
import { Beta, Dirichlet, Gamma } from './gamma.js'
import { Independent } from './independent.js'
import { Laplace } from './laplace.js'
import { LogNormal, Normal } from './normal.js'
import { sumLast } from './parameters.js'
import { Uniform } from './uniform.js'

/** p log(p / q) of each class. It is infinite where q is 0, and 0 where p is. */
function ofClasses(p: Tensor, q: Tensor, distance: Tensor): Tensor {
  return where(eq(p, 0), 0, where(eq(q, 0), Number.POSITIVE_INFINITY, mul(p, distance)))
}

interface LocationAndScale {
  readonly loc: Tensor
  readonly scale: Tensor
}

function ofNormals(p: LocationAndScale, q: LocationAndScale): Tensor {
  const ratio = square(div(p.scale, q.scale))
  const distance = square(div(sub(p.loc, q.loc), q.scale))
  return mul(sub(sub(add(ratio, distance), 1), log(ratio)), 0.5)
}

const formulas: readonly Formula[] = [
  formula(Normal, Normal, ofNormals),
  formula(LogNormal, LogNormal, ofNormals),
  formula(Bernoulli, Bernoulli, (p, q) => {
    const [a, b] = [p.probs, q.probs]
    const ones = ofClasses(a, b, sub(softened(neg(q.logits)), softened(neg(p.logits))))
    return add(ones, ofClasses(sub(1, a), sub(1, b), sub(softened(q.logits), softened(p.logits))))
  }),
  formula(Categorical, Categorical, (p, q) => sum(ofClasses(p.probs, q.probs, sub(p.logits, q.logits)), -1)),
  formula(Uniform, Uniform, (p, q) => {
    const outside = logicalOr(gt(q.low, p.low), lt(q.high, p.high))
    return where(outside, Number.POSITIVE_INFINITY, log(div(sub(q.high, q.low), sub(p.high, p.low))))
  }),
  formula(Exponential, Exponential, (p, q) => {
    const ratio = div(q.rate, p.rate)
    return sub(sub(ratio, 1), log(ratio))
  }),
  formula(Laplace, Laplace, (p, q) => {
    const ratio = div(p.scale, q.scale)
    const distance = abs(sub(p.loc, q.loc))
    const near = mul(ratio, exp(neg(div(distance, p.scale))))
    return sub(add(sub(div(distance, q.scale), log(ratio)), near), 1)
  }),
  formula(Gamma, Gamma, (p, q) => {
    const rates = mul(q.concentration, log(div(p.rate, q.rate)))
    const normalisers = sub(lgamma(q.concentration), lgamma(p.concentration))
    const shapes = mul(sub(p.concentration, q.concentration), digamma(p.concentration))
    const means = mul(sub(q.rate, p.rate), div(p.concentration, p.rate))
    return add(add(rates, normalisers), add(shapes, means))
  }),
  formula(Beta, Beta, (p, q) => {
    const [ofP, ofQ] = [add(p.concentration1, p.concentration0), add(q.concentration1, q.concentration0)]
    const normaliser = (d: Beta, total: Tensor) =>
      sub(add(lgamma(d.concentration1), lgamma(d.concentration0)), lgamma(total))
    const ones = mul(sub(p.concentration1, q.concentration1), digamma(p.concentration1))
    const zeros = mul(sub(p.concentration0, q.concentration0), digamma(p.concentration0))
    const totals = mul(sub(ofQ, ofP), digamma(ofP))
    return add(sub(normaliser(q, ofQ), normaliser(p, ofP)), add(add(ones, zeros), totals))
  }),
  formula(Dirichlet, Dirichlet, (p, q) => {
    const total = (d: Dirichlet, keepdim = false) => sum(d.concentration, -1, { keepdim })
    const totals = sub(lgamma(total(p)), lgamma(total(q)))
    const parts = sum(sub(lgamma(p.concentration), lgamma(q.concentration)), -1)
    const slopes = sub(digamma(p.concentration), digamma(total(p, true)))
    return add(sub(totals, parts), sum(mul(sub(p.concentration, q.concentration), slopes), -1))
  }),
  ...crossFormulas,
]

/**
 * The Kullback-Leibler divergence KL(p || q): the mean of log p(x) - log q(x) over draws of p, of the batchShape to which
 * both broadcast. The pairs are those of PyTorch. Throws ValueError for a pair without a formula, and ShapeError if the
 * events differ.
 */
export function klDivergence(p: Distribution, q: Distribution): Tensor {
  const op = 'klDivergence'
  for (const [name, given] of [
    ['p', p],
    ['q', q],
  ] as const)
    if (!(given instanceof Distribution))
      throw new ValueError(
        op,
        `${name} is ${kindOf(given)}, but must be a distribution, such as new Normal(loc, scale)`,
      )
  if (!sameShape(p.eventShape, q.eventShape))
    throw new ShapeError(
      op,
      `the events of p are ${formatShape(p.eventShape)}, but those of q are ${formatShape(q.eventShape)}`,
      [p.eventShape, q.eventShape],
    )
  return namedAs(op, () => divergenceOf(op, p, q))
}

function divergenceOf(op: string, p: Distribution, q: Distribution): Tensor {
  const isPair = p instanceof Independent && q instanceof Independent
  if (isPair && p.reinterpretedBatchNdims === q.reinterpretedBatchNdims)
    return sumLast(divergenceOf(op, p.base, q.base), p.reinterpretedBatchNdims)
  const found = formulas.find((each) => p instanceof each.P && q instanceof each.Q)
  if (found !== undefined) return found.of(p, q)
  const known = formulas.filter((each) => p instanceof each.P).map((each) => each.Q.name)
  throw new ValueError(
    op,
    `there is no formula for p of ${p.constructor.name} and q of ${q.constructor.name}` +
      `${known.length > 0 ? `; for this p, q may be ${known.join(', ')}` : ''}; ` +
      'estimate it: the mean of p.logProb(x) - q.logProb(x) over x = p.sample([1000])',
  )
}
