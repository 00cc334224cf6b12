/** The uniform distribution. */
import type { Generator } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { castTo } from '../ops/convert.js'
import { add, clamp, div, ge, gt, le, log, logicalAnd, lt, mul, square, sub, where } from '../ops/elementwise/index.js'
import { fullLike } from '../ops/like.js'
import { rand } from '../ops/random.js'
import { expand } from '../ops/shape/index.js'
import { type Claim, checkClaims, claim, real } from './constraint.js'
import { Distribution, type DistributionOptions, distributionNames, validates } from './distribution.js'
import { aligned } from './parameters.js'

/** The uniform distribution over [low, high). */
export class Uniform extends Distribution {
  readonly low: Tensor
  readonly high: Tensor
  readonly hasRsample = true
  protected readonly support = real

  /** `low` is below `high`. They broadcast. */
  constructor(low: Tensor | number, high: Tensor | number, options: DistributionOptions = {}) {
    const checks = validates('Uniform', checkOptions('Uniform', options, distributionNames))
    const known = aligned('Uniform', { low, high })
    if (checks)
      checkClaims('Uniform', known.low.device, () => [
        { name: 'high', x: known.high, obeys: gt(known.high, known.low), words: 'more than low' },
      ])
    super('Uniform', known.low.sizes, [], checks)
    this.low = known.low
    this.high = known.high
  }

  protected get example(): Tensor {
    return this.low
  }

  get mean(): Tensor {
    return mul(add(this.low, this.high), 0.5)
  }

  /** NaN, because all values are equally likely. */
  get mode(): Tensor {
    return fullLike(this.low, Number.NaN)
  }

  get variance(): Tensor {
    return div(square(this.#width), 12)
  }

  get #width(): Tensor {
    return sub(this.high, this.low)
  }

  protected override claimsOf(value: Tensor): readonly Claim[] {
    const inside = logicalAnd(ge(value, this.low), le(value, this.high))
    return [claim('value', value, real), { name: 'value', x: value, obeys: inside, words: 'from low to high' }]
  }

  protected draw(shape: Shape, generator: Generator | undefined): Tensor {
    const { dtype, device } = this.low
    const wide = dtype === 'float64' ? dtype : 'float32'
    const drawn = castTo(rand(shape, { dtype: wide, device, generator }), dtype)
    return add(mul(drawn, this.#width), this.low)
  }

  protected logProbOf(value: Tensor): Tensor {
    const inside = logicalAnd(ge(value, this.low), lt(value, this.high))
    const density = log(this.#width)
    return where(inside, mul(density, -1), Number.NEGATIVE_INFINITY)
  }

  protected override cdfOf(value: Tensor): Tensor {
    return clamp(div(sub(value, this.low), this.#width), 0, 1)
  }

  protected override icdfOf(value: Tensor): Tensor {
    return add(mul(value, this.#width), this.low)
  }

  protected entropyOf(): Tensor {
    return log(this.#width)
  }

  protected expandedTo(batchShape: Shape): Uniform {
    return new Uniform(expand(this.low, batchShape), expand(this.high, batchShape), { validateArgs: false })
  }
}
