/** The Laplace distribution. */
import type { Generator } from '../core/generator.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { castTo } from '../ops/convert.js'
import { abs, add, div, expm1, log, log1p, lt, mul, neg, sign, square, sub, where } from '../ops/elementwise/index.js'
import { exponential, rand } from '../ops/random.js'
import { expand } from '../ops/shape/index.js'
import { real } from './constraint.js'
import { Distribution, type DistributionOptions } from './distribution.js'
import { locationAndScale } from './normal.js'

/** The Laplace distribution: exp(-|x - loc| / scale) / (2 scale). */
export class Laplace extends Distribution {
  readonly loc: Tensor
  readonly scale: Tensor
  readonly hasRsample = true
  protected readonly support = real

  /** `loc` is the mean, and `scale`, above 0, the mean distance from it. They broadcast. */
  constructor(loc: Tensor | number, scale: Tensor | number, options: DistributionOptions = {}) {
    const known = locationAndScale('Laplace', loc, scale, options)
    super('Laplace', known.loc.sizes, [], known.checks)
    this.loc = known.loc
    this.scale = known.scale
  }

  protected get example(): Tensor {
    return this.loc
  }

  get mean(): Tensor {
    return this.loc
  }

  get mode(): Tensor {
    return this.loc
  }

  get variance(): Tensor {
    return mul(square(this.scale), 2)
  }

  override get stddev(): Tensor {
    return mul(this.scale, Math.SQRT2)
  }

  protected draw(shape: Shape, generator: Generator | undefined): Tensor {
    const { dtype, device } = this.loc
    const wide = { dtype: dtype === 'float64' ? dtype : 'float32', device, generator } as const
    const side = rand(shape, wide)
    const distance = exponential(shape, wide) as Tensor
    const signed = castTo(where(lt(side, 0.5), neg(distance), distance), dtype)
    return add(mul(signed, this.scale), this.loc)
  }

  protected logProbOf(value: Tensor): Tensor {
    return neg(add(log(mul(this.scale, 2)), div(abs(sub(value, this.loc)), this.scale)))
  }

  protected override cdfOf(value: Tensor): Tensor {
    const distance = div(sub(value, this.loc), this.scale)
    return sub(0.5, mul(mul(sign(distance), expm1(neg(abs(distance)))), 0.5))
  }

  protected override icdfOf(value: Tensor): Tensor {
    const beyond = sub(value, 0.5)
    return sub(this.loc, mul(mul(sign(beyond), log1p(mul(abs(beyond), -2))), this.scale))
  }

  protected entropyOf(): Tensor {
    return add(log(mul(this.scale, 2)), 1)
  }

  protected expandedTo(batchShape: Shape): Laplace {
    return new Laplace(expand(this.loc, batchShape), expand(this.scale, batchShape), { validateArgs: false })
  }
}
