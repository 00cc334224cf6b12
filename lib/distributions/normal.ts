/** Normal and log-normal distributions. */
import type { Generator } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { castTo } from '../ops/convert.js'
import { add, div, erf, erfinv, exp, expm1, log, mul, square, sub } from '../ops/elementwise/index.js'
import { randn } from '../ops/random.js'
import { expand } from '../ops/shape/index.js'
import { checkClaims, claim, positive, real } from './constraint.js'
import { Distribution, type DistributionOptions, distributionNames, validates } from './distribution.js'
import { aligned } from './parameters.js'

/** log(sqrt(2 pi)) */
const logRoot = 0.5 * Math.log(2 * Math.PI)

/** Location and scale, broadcast and checked. */
export function locationAndScale(
  op: string,
  loc: Tensor | number,
  scale: Tensor | number,
  options: DistributionOptions,
): { readonly loc: Tensor; readonly scale: Tensor; readonly checks: boolean } {
  const checks = validates(op, checkOptions(op, options, distributionNames))
  const known = aligned(op, { loc, scale })
  if (checks)
    checkClaims(op, known.loc.device, () => [claim('loc', known.loc, real), claim('scale', known.scale, positive)])
  return { ...known, checks }
}

/** Standard normal numbers in the dtype and on the device of x. */
function noise(shape: Shape, x: Tensor, generator: Generator | undefined): Tensor {
  const dtype = x.dtype === 'float64' ? 'float64' : 'float32'
  return castTo(randn(shape, { dtype, device: x.device, generator }), x.dtype)
}

/** The normal distribution: exp(-((x - loc) / scale)^2 / 2) / (scale sqrt(2 pi)). */
export class Normal extends Distribution {
  readonly loc: Tensor
  readonly scale: Tensor
  readonly hasRsample = true
  protected readonly support = real

  /** `loc` is the mean and `scale` the standard deviation, above 0. They broadcast. */
  constructor(loc: Tensor | number, scale: Tensor | number, options: DistributionOptions = {}) {
    const known = locationAndScale('Normal', loc, scale, options)
    super('Normal', known.loc.sizes, [], known.checks)
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
    return square(this.scale)
  }

  override get stddev(): Tensor {
    return this.scale
  }

  protected draw(shape: Shape, generator: Generator | undefined): Tensor {
    return add(mul(noise(shape, this.loc, generator), this.scale), this.loc)
  }

  protected logProbOf(value: Tensor): Tensor {
    const distance = div(sub(value, this.loc), this.scale)
    return sub(mul(square(distance), -0.5), add(log(this.scale), logRoot))
  }

  protected override cdfOf(value: Tensor): Tensor {
    return mul(add(erf(div(sub(value, this.loc), mul(this.scale, Math.SQRT2))), 1), 0.5)
  }

  protected override icdfOf(value: Tensor): Tensor {
    return add(mul(mul(erfinv(sub(mul(value, 2), 1)), this.scale), Math.SQRT2), this.loc)
  }

  protected entropyOf(): Tensor {
    return add(log(this.scale), 0.5 + logRoot)
  }

  protected expandedTo(batchShape: Shape): Normal {
    return new Normal(expand(this.loc, batchShape), expand(this.scale, batchShape), { validateArgs: false })
  }
}

/** The distribution of exp(x) for a normal x. */
export class LogNormal extends Distribution {
  readonly loc: Tensor
  readonly scale: Tensor
  readonly hasRsample = true
  protected readonly support = positive
  readonly #logarithm: Normal

  /** `loc` and `scale` are the mean and the standard deviation of the logarithm. They broadcast. */
  constructor(loc: Tensor | number, scale: Tensor | number, options: DistributionOptions = {}) {
    const known = locationAndScale('LogNormal', loc, scale, options)
    super('LogNormal', known.loc.sizes, [], known.checks)
    this.loc = known.loc
    this.scale = known.scale
    this.#logarithm = new Normal(known.loc, known.scale, { validateArgs: false })
  }

  protected get example(): Tensor {
    return this.loc
  }

  get mean(): Tensor {
    return exp(add(this.loc, mul(square(this.scale), 0.5)))
  }

  get mode(): Tensor {
    return exp(sub(this.loc, square(this.scale)))
  }

  get variance(): Tensor {
    const spread = square(this.scale)
    return mul(expm1(spread), exp(add(mul(this.loc, 2), spread)))
  }

  protected draw(shape: Shape, generator: Generator | undefined): Tensor {
    return exp(add(mul(noise(shape, this.loc, generator), this.scale), this.loc))
  }

  protected logProbOf(value: Tensor): Tensor {
    const logarithm = log(value)
    return sub(this.#logarithm.logProb(logarithm), logarithm)
  }

  protected override cdfOf(value: Tensor): Tensor {
    return this.#logarithm.cdf(log(value))
  }

  protected override icdfOf(value: Tensor): Tensor {
    return exp(this.#logarithm.icdf(value))
  }

  protected entropyOf(): Tensor {
    return add(this.#logarithm.entropy(), this.loc)
  }

  protected expandedTo(batchShape: Shape): LogNormal {
    return new LogNormal(expand(this.loc, batchShape), expand(this.scale, batchShape), { validateArgs: false })
  }
}
