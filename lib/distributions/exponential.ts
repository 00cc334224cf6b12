/** The exponential distribution. */
import type { Generator } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { castTo } from '../ops/convert.js'
import { div, expm1, log, log1p, mul, neg, reciprocal, square, sub } from '../ops/elementwise/index.js'
import { zerosLike } from '../ops/like.js'
import { exponential } from '../ops/random.js'
import { expand } from '../ops/shape/index.js'
import { checkClaims, claim, notNegative, positive } from './constraint.js'
import { Distribution, type DistributionOptions, distributionNames, validates } from './distribution.js'
import { aligned } from './parameters.js'

/** The exponential distribution: rate exp(-rate x) for x of 0 or more. */
export class Exponential extends Distribution {
  readonly rate: Tensor
  readonly hasRsample = true
  protected readonly support = notNegative

  /** `rate` is the inverse of the mean, above 0. */
  constructor(rate: Tensor | number, options: DistributionOptions = {}) {
    const checks = validates('Exponential', checkOptions('Exponential', options, distributionNames))
    const known = aligned('Exponential', { rate })
    if (checks) checkClaims('Exponential', known.rate.device, () => [claim('rate', known.rate, positive)])
    super('Exponential', known.rate.sizes, [], checks)
    this.rate = known.rate
  }

  protected get example(): Tensor {
    return this.rate
  }

  get mean(): Tensor {
    return reciprocal(this.rate)
  }

  get mode(): Tensor {
    return zerosLike(this.rate)
  }

  get variance(): Tensor {
    return square(reciprocal(this.rate))
  }

  override get stddev(): Tensor {
    return reciprocal(this.rate)
  }

  protected draw(shape: Shape, generator: Generator | undefined): Tensor {
    const { dtype, device } = this.rate
    const wide = dtype === 'float64' ? dtype : 'float32'
    const drawn = exponential(shape, { dtype: wide, device, generator }) as Tensor
    return div(castTo(drawn, dtype), this.rate)
  }

  protected logProbOf(value: Tensor): Tensor {
    return sub(log(this.rate), mul(value, this.rate))
  }

  protected override cdfOf(value: Tensor): Tensor {
    return neg(expm1(neg(mul(value, this.rate))))
  }

  protected override icdfOf(value: Tensor): Tensor {
    return neg(div(log1p(neg(value)), this.rate))
  }

  protected entropyOf(): Tensor {
    return sub(1, log(this.rate))
  }

  protected expandedTo(batchShape: Shape): Exponential {
    return new Exponential(expand(this.rate, batchShape), { validateArgs: false })
  }
}
