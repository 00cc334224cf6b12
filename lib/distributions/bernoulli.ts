/** The Bernoulli distribution. */
import type { Generator } from '../core/generator.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { castTo } from '../ops/convert.js'
import { add, eq, ge, log, log1p, lt, mul, neg, sigmoid, softplus, sub, where } from '../ops/elementwise/index.js'
import { rand } from '../ops/random.js'
import { expand } from '../ops/shape/index.js'
import { type ChanceOptions, checkChances, inner } from './chances.js'
import { checkClaims, claim, real, unit, zeroOrOne } from './constraint.js'
import { Distribution, validates } from './distribution.js'
import { aligned } from './parameters.js'

/** log(1 + exp(x)), without the default threshold, beyond which it would be x to seven digits only. */
export const softened = (x: Tensor): Tensor => softplus(x, { threshold: 40 })

/** The distribution of 1 with probability `probs`, and else 0. */
export class Bernoulli extends Distribution {
  readonly hasRsample = false
  protected readonly support = zeroOrOne
  protected readonly example: Tensor
  readonly #isLogits: boolean

  /** Takes probs, from 0 to 1, or logits, log(p / (1 - p)). */
  constructor(options: ChanceOptions<Tensor | number>) {
    checkChances('Bernoulli', options)
    const checks = validates('Bernoulli', options)
    const isLogits = options.probs === undefined
    const name = isLogits ? 'logits' : 'probs'
    const known = aligned('Bernoulli', { [name]: options[name] as Tensor | number })
    const given = known[name] as Tensor
    if (checks) checkClaims('Bernoulli', given.device, () => [claim(name, given, isLogits ? real : unit)])
    super('Bernoulli', given.sizes, [], checks)
    this.#isLogits = isLogits
    this.example = given
  }

  /** The probabilities of 1. */
  get probs(): Tensor {
    return this.#isLogits ? sigmoid(this.example) : this.example
  }

  /** log(p / (1 - p)). Probabilities are first taken away from 0 and 1 by the dtype's epsilon, as in PyTorch. */
  get logits(): Tensor {
    if (this.#isLogits) return this.example
    const p = inner(this.example)
    return sub(log(p), log1p(neg(p)))
  }

  get mean(): Tensor {
    return this.probs
  }

  /** NaN where both values are equally likely. */
  get mode(): Tensor {
    const { probs } = this
    return where(eq(probs, 0.5), Number.NaN, castTo(ge(probs, 0.5), probs.dtype))
  }

  get variance(): Tensor {
    const { probs } = this
    return mul(probs, sub(1, probs))
  }

  protected draw(shape: Shape, generator: Generator | undefined): Tensor {
    const { probs } = this
    const dtype = probs.dtype === 'float64' ? 'float64' : 'float32'
    const drawn = rand(shape, { dtype, device: probs.device, generator })
    return castTo(lt(drawn, castTo(probs, dtype)), probs.dtype)
  }

  /** Values between 0 and 1, which validateArgs: false allows, weigh both logarithms. */
  protected logProbOf(value: Tensor): Tensor {
    const { logits } = this
    return neg(add(mul(value, softened(neg(logits))), mul(sub(1, value), softened(logits))))
  }

  protected entropyOf(): Tensor {
    return neg(this.logProbOf(this.probs))
  }

  protected expandedTo(batchShape: Shape): Bernoulli {
    const given = expand(this.example, batchShape)
    return new Bernoulli({ [this.#isLogits ? 'logits' : 'probs']: given, validateArgs: false })
  }
}
