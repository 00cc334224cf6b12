/** Distributions whose draws are tensors of independent parts. */
import { shown, ValueError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { Distribution } from './distribution.js'
import { sumLast } from './parameters.js'

/**
 * A distribution whose last batch dimensions count as dimensions of its event, so that logProb and entropy are sums over
 * them. `new Independent(new Normal(loc, scale), 1)` is the multivariate normal with a diagonal covariance. Values are
 * checked if `base` checks them.
 */
export class Independent<B extends Distribution = Distribution> extends Distribution {
  readonly base: B
  /** The number of batch dimensions of `base` that belong to the event. */
  readonly reinterpretedBatchNdims: number
  readonly hasRsample: boolean
  protected readonly support = null

  /** Throws ValueError unless `base` has that many batch dimensions. */
  constructor(base: B, reinterpretedBatchNdims: number) {
    const op = 'Independent'
    if (!(base instanceof Distribution))
      throw new ValueError(op, `base is ${shown(base)}, but must be a distribution, such as new Normal(loc, scale)`)
    const { batchShape, eventShape } = base
    const most = batchShape.length
    if (!Number.isInteger(reinterpretedBatchNdims) || reinterpretedBatchNdims < 0 || reinterpretedBatchNdims > most)
      throw new ValueError(
        op,
        `reinterpretedBatchNdims is ${shown(reinterpretedBatchNdims)}, but must be an integer from 0 to ${most}, ` +
          'the number of batch dimensions of base',
      )
    const lead = most - reinterpretedBatchNdims
    super(op, batchShape.slice(0, lead), [...batchShape.slice(lead), ...eventShape], false)
    this.base = base
    this.reinterpretedBatchNdims = reinterpretedBatchNdims
    this.hasRsample = base.hasRsample
  }

  protected get example(): B {
    return this.base
  }

  get mean(): Tensor {
    return this.base.mean
  }

  get mode(): Tensor {
    return this.base.mode
  }

  get variance(): Tensor {
    return this.base.variance
  }

  override get stddev(): Tensor {
    return this.base.stddev
  }

  protected draw(shape: Shape, generator: Generator | undefined): Tensor {
    const own = this.batchShape.length + this.eventShape.length
    const lead = shape.slice(0, shape.length - own)
    return this.hasRsample ? this.base.rsample(lead, { generator }) : this.base.sample(lead, { generator })
  }

  protected logProbOf(value: Tensor): Tensor {
    return sumLast(this.base.logProb(value), this.reinterpretedBatchNdims)
  }

  protected entropyOf(): Tensor {
    return sumLast(this.base.entropy(), this.reinterpretedBatchNdims)
  }

  protected expandedTo(batchShape: Shape): Independent<B> {
    const parts = this.eventShape.slice(0, this.reinterpretedBatchNdims)
    return new Independent(this.base.expand([...batchShape, ...parts]), this.reinterpretedBatchNdims)
  }
}
