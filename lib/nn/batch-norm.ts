/** Layers that normalise each channel, over a batch or for each instance separately. */
import { noGrad } from '../autograd/mode.js'
import { checkTensor } from '../autograd/operator.js'
import { isRecomputing } from '../autograd/region.js'
import { formatShape, ShapeError, shown, ValueError } from '../core/errors.js'
import type { KeepsChannels, KeepsSecond } from '../core/flow-types.js'
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
  /**
   * The share of each batch in the running statistics; null takes the plain average of all batches so far. Default 0.1.
   */
  readonly momentum?: number | null
  /** Whether the layer has a weight and a bias. Default true. */
  readonly affine?: boolean
  readonly bias?: boolean
  /** Whether the layer keeps running statistics. Without them, evaluation uses the batch's. Default true. */
  readonly trackRunningStats?: boolean
}

/** The allowed forms of inputs, by number of dimensions. */
type Forms = ReadonlyMap<number, string>

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

  /** `usual` says whether there are parameters and running statistics by default. */
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

  /** Throws ShapeError unless x has one of these forms and the channels of this layer. */
  protected checkInput(x: Tensor, forms: Forms): void {
    const name = this.constructor.name
    checkTensor(name, 'x', x)
    const form = forms.get(x.ndim)
    if (form === undefined)
      throw new ShapeError(name, `x must be ${[...forms.values()].join(' or ')}, but is ${formatShape(x.sizes)}`, [
        x.sizes,
      ])
    const channels = x.sizes[form.startsWith('[C') ? 0 : 1]
    if (channels !== this.numFeatures)
      throw new ShapeError(
        name,
        `gets ${channels} channels, but takes ${this.numFeatures}: x is ${formatShape(x.sizes)}`,
        [x.sizes],
      )
  }

  /**
   * The running statistics that this pass reads or updates. When a checkpointed function runs again, they have already
   * seen this batch and are left out.
   */
  protected statistics(training: boolean): readonly [mean: Tensor | null, variance: Tensor | null] {
    return training && isRecomputing() ? [null, null] : [this.runningMean, this.runningVar]
  }
}

/** Batch norm over [N, C, ...]. Subclasses say how many dimensions they take. */
abstract class BatchNorm<C extends number> extends ChannelNorm<C> {
  protected abstract readonly forms: Forms

  constructor(numFeatures: C, options: BatchNormLayerOptions = {}) {
    super(numFeatures, options, true)
  }

  forward(x: Tensor): Tensor {
    this.checkInput(x, this.forms)
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

const rowForms: Forms = new Map([
  [2, '[N, C]'],
  [3, '[N, C, L]'],
])
const imageForms: Forms = new Map([[4, '[N, C, H, W]']])
const volumeForms: Forms = new Map([[5, '[N, C, D, H, W]']])

/** Batch norm over [N, C] or [N, C, L]. */
export class BatchNorm1d<const C extends number = number> extends BatchNorm<C> {
  protected override readonly forms = rowForms
  declare readonly signature?: KeepsSecond<'BatchNorm1d', C>
}

/** Batch norm over [N, C, H, W]. */
export class BatchNorm2d<const C extends number = number> extends BatchNorm<C> {
  protected override readonly forms = imageForms
  declare readonly signature?: KeepsChannels<'BatchNorm2d', C, 2, true>
}

/** Batch norm over [N, C, D, H, W]. */
export class BatchNorm3d<const C extends number = number> extends BatchNorm<C> {
  protected override readonly forms = volumeForms
  declare readonly signature?: KeepsChannels<'BatchNorm3d', C, 3, true>
}

export interface InstanceNormLayerOptions extends LayerOptions {
  readonly eps?: number
  /** The share of each batch in the running statistics. Default 0.1. */
  readonly momentum?: number
  /** Whether the layer has a weight and a bias. Default false. */
  readonly affine?: boolean
  readonly bias?: boolean
  /** Whether the layer keeps running statistics, which evaluation then uses. Default false. */
  readonly trackRunningStats?: boolean
}

/** Instance norm over [N, C, ...] or, without a batch, [C, ...]. */
abstract class InstanceNorm<C extends number> extends ChannelNorm<C> {
  protected abstract readonly forms: Forms

  constructor(numFeatures: C, options: InstanceNormLayerOptions = {}) {
    super(numFeatures, options, false)
    if (this.momentum === null)
      throw new ValueError(
        this.constructor.name,
        'momentum is null, but must be a number, because there is no average over instances',
      )
  }

  forward(x: Tensor): Tensor {
    this.checkInput(x, this.forms)
    // The smaller of the two numbers of dimensions.
    const single = this.forms.has(x.ndim + 1)
    const batch = single ? unsqueeze(x, 0) : x
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

const instanceForms: { readonly [dims in 1 | 2 | 3]: Forms } = {
  1: new Map([
    [3, '[N, C, L]'],
    [2, '[C, L]'],
  ]),
  2: new Map([
    [4, '[N, C, H, W]'],
    [3, '[C, H, W]'],
  ]),
  3: new Map([
    [5, '[N, C, D, H, W]'],
    [4, '[C, D, H, W]'],
  ]),
}

/** Instance norm over [N, C, L] or [C, L]. */
export class InstanceNorm1d<const C extends number = number> extends InstanceNorm<C> {
  protected override readonly forms = instanceForms[1]
  declare readonly signature?: KeepsChannels<'InstanceNorm1d', C, 1, false>
}

/** Instance norm over [N, C, H, W] or [C, H, W]. */
export class InstanceNorm2d<const C extends number = number> extends InstanceNorm<C> {
  protected override readonly forms = instanceForms[2]
  declare readonly signature?: KeepsChannels<'InstanceNorm2d', C, 2, false>
}

/** Instance norm over [N, C, D, H, W] or [C, D, H, W]. */
export class InstanceNorm3d<const C extends number = number> extends InstanceNorm<C> {
  protected override readonly forms = instanceForms[3]
  declare readonly signature?: KeepsChannels<'InstanceNorm3d', C, 3, false>
}
