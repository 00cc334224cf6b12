/** Layers that normalise each channel: over a batch, or for each instance by itself. */
import { noGrad } from '../autograd/mode.js'
import { checkTensor } from '../autograd/operator.js'
import { isRecomputing } from '../autograd/region.js'
import { formatShape, ShapeError, shown, ValueError } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import { add } from '../ops/elementwise/index.js'
import { copyInto } from '../ops/inplace.js'
import { batchNorm, instanceNorm } from '../ops/norm/index.js'
import { squeeze, unsqueeze } from '../ops/shape/index.js'
import { ones_ } from './init.js'
import {
  buffer,
  checkFlags,
  checkLayer,
  checkNumber,
  checkSizes,
  type LayerOptions,
  layerOptions,
  parameter,
} from './layer.js'
import { type Buffer, Module, type Parameter, settings } from './module.js'

export interface BatchNormLayerOptions extends LayerOptions {
  readonly eps?: number
  /** How far the running statistics move; null: the plain average of all batches so far. Default 0.1. */
  readonly momentum?: number | null
  /** Whether there are weight and bias. Default true. */
  readonly affine?: boolean
  readonly bias?: boolean
  /** Whether there are running statistics; without, evaluation uses the batch's too. Default true. */
  readonly trackRunningStats?: boolean
}

/** The base of batch norm and instance norm. */
abstract class ChannelNorm<C extends number> extends Module {
  readonly numFeatures: C
  readonly eps: number
  readonly momentum: number | null
  readonly weight: Parameter | null
  readonly bias: Parameter | null
  readonly runningMean: Buffer | null
  readonly runningVar: Buffer | null
  readonly numBatchesTracked: Buffer | null

  /** `usual`: whether there are parameters and running statistics where the options do not say. */
  constructor(numFeatures: C, options: BatchNormLayerOptions, usual: boolean) {
    super()
    const own = checkLayer(this.constructor.name, options, {
      ...layerOptions,
      eps: true,
      momentum: true,
      affine: true,
      bias: true,
      trackRunningStats: true,
    })
    const { affine: hasWeight, bias, trackRunningStats } = own
    checkFlags(this.constructor.name, { affine: hasWeight, bias, trackRunningStats })
    checkSizes(this.constructor.name, { numFeatures })
    this.numFeatures = numFeatures
    this.eps = checkNumber(this.constructor.name, 'eps', own.eps ?? 1e-5, 0)
    const { momentum = 0.1 } = own
    if (momentum !== null && !(typeof momentum === 'number' && momentum >= 0 && momentum <= 1))
      throw new ValueError(
        this.constructor.name,
        `momentum is ${shown(momentum)}, but must lie in [0, 1], or be null for the average of all batches`,
      )
    this.momentum = momentum
    const affine = hasWeight ?? usual
    this.weight = affine ? ones_(parameter(this.constructor.name, [numFeatures], own)) : null
    this.bias = affine && bias !== false ? parameter(this.constructor.name, [numFeatures], own) : null
    const tracked = trackRunningStats ?? usual
    this.runningMean = tracked ? buffer(this.constructor.name, [numFeatures], own) : null
    this.runningVar = tracked ? ones_(buffer(this.constructor.name, [numFeatures], own)) : null
    this.numBatchesTracked = tracked ? buffer(this.constructor.name, [], { ...own, dtype: 'int32' }) : null
  }

  override extraRepr(): string {
    const { numFeatures, eps, momentum, weight, runningMean } = this
    return settings({ numFeatures, eps, momentum, affine: weight !== null, trackRunningStats: runningMean !== null })
  }

  /** Throws ShapeError unless x has one of these numbers of dimensions. */
  protected checkRank(x: Tensor, ranks: readonly number[]): void {
    checkTensor(this.constructor.name, 'x', x)
    if (!ranks.includes(x.ndim))
      throw new ShapeError(
        this.constructor.name,
        `x has ${x.ndim} dimensions (${formatShape(x.sizes)}), but must have ${ranks.join(' or ')}`,
        [x.sizes],
      )
  }

  /** The running statistics, as far as this pass has to do with them: they have had this batch already where a checkpointed function runs again. */
  protected statistics(training: boolean): readonly [mean: Tensor | null, variance: Tensor | null] {
    return training && isRecomputing() ? [null, null] : [this.runningMean, this.runningVar]
  }
}

/** Batch norm over [N, C, ...]; subclasses say how many dimensions they take. */
abstract class BatchNorm<C extends number> extends ChannelNorm<C> {
  /** Numbers of dimensions the input may have. */
  protected abstract readonly ranks: readonly number[]

  constructor(numFeatures: C, options: BatchNormLayerOptions = {}) {
    super(numFeatures, options, true)
  }

  forward(x: Tensor): Tensor {
    this.checkRank(x, this.ranks)
    const { weight, bias, eps, numBatchesTracked } = this
    const training = this.training || this.runningMean === null
    let momentum = this.momentum ?? 0
    if (this.training && numBatchesTracked !== null && !isRecomputing()) {
      noGrad(() => copyInto(numBatchesTracked, add(numBatchesTracked, 1), this.constructor.name))
      if (this.momentum === null) momentum = 1 / numBatchesTracked.item()
    }
    return batchNorm(x, ...this.statistics(training), { weight, bias, training, momentum, eps })
  }
}

/** Over [N, C] or [N, C, L]. */
export class BatchNorm1d<const C extends number = number> extends BatchNorm<C> {
  protected override readonly ranks = [2, 3]
}

/** Over [N, C, H, W]. */
export class BatchNorm2d<const C extends number = number> extends BatchNorm<C> {
  protected override readonly ranks = [4]
  declare readonly signature?: { readonly takes: { readonly channels: C }; readonly gives: { readonly channels: C } }
}

/** Over [N, C, D, H, W]. */
export class BatchNorm3d<const C extends number = number> extends BatchNorm<C> {
  protected override readonly ranks = [5]
  declare readonly signature?: { readonly takes: { readonly channels: C }; readonly gives: { readonly channels: C } }
}

export interface InstanceNormLayerOptions extends LayerOptions {
  readonly eps?: number
  /** How far the running statistics move. Default 0.1. */
  readonly momentum?: number
  /** Whether there are weight and bias. Default false. */
  readonly affine?: boolean
  readonly bias?: boolean
  /** Whether there are running statistics, which evaluation then uses. Default false. */
  readonly trackRunningStats?: boolean
}

/** Instance norm over [N, C, ...] or, without a batch, [C, ...]. */
abstract class InstanceNorm<C extends number> extends ChannelNorm<C> {
  /** Number of dimensions of a batch. */
  protected abstract readonly rank: number

  constructor(numFeatures: C, options: InstanceNormLayerOptions = {}) {
    super(numFeatures, options, false)
    if (this.momentum === null)
      throw new ValueError(
        this.constructor.name,
        'momentum is null, but must be a number: there is no average over instances',
      )
  }

  forward(x: Tensor): Tensor {
    const name = this.constructor.name
    this.checkRank(x, [this.rank - 1, this.rank])
    const single = x.ndim < this.rank
    const batch = single ? unsqueeze(x, 0) : x
    if (batch.sizes[1] !== this.numFeatures)
      throw new ShapeError(
        name,
        `x ${formatShape(x.sizes)} has ${batch.sizes[1]} channels, but the layer is of ${this.numFeatures}`,
        [x.sizes],
      )
    const { weight, bias, eps } = this
    const useInputStats = this.training || this.runningMean === null
    const out = instanceNorm(batch, ...this.statistics(useInputStats), {
      weight,
      bias,
      useInputStats,
      momentum: this.momentum ?? 0,
      eps,
    })
    return single ? squeeze(out, 0) : out
  }
}

/** Over [N, C, L] or [C, L]. */
export class InstanceNorm1d<const C extends number = number> extends InstanceNorm<C> {
  protected override readonly rank = 3
}

/** Over [N, C, H, W] or [C, H, W]. */
export class InstanceNorm2d<const C extends number = number> extends InstanceNorm<C> {
  protected override readonly rank = 4
  declare readonly signature?: { readonly takes: { readonly channels: C }; readonly gives: { readonly channels: C } }
}

/** Over [N, C, D, H, W] or [C, D, H, W]. */
export class InstanceNorm3d<const C extends number = number> extends InstanceNorm<C> {
  protected override readonly rank = 5
  declare readonly signature?: { readonly takes: { readonly channels: C }; readonly gives: { readonly channels: C } }
}
