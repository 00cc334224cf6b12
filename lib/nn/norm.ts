/** Normalisation layers. */

import { noGrad } from '../autograd/mode.js'
import { checkTensor } from '../autograd/operator.js'
import { isRecomputing } from '../autograd/region.js'
import type { DType } from '../core/dtype.js'
import { formatShape, ShapeError, shown, ValueError } from '../core/errors.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { add } from '../ops/elementwise/index.js'
import { copyInto } from '../ops/inplace.js'
import { batchNorm, layerNorm } from '../ops/norm.js'
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

export interface LayerNormLayerOptions extends LayerOptions {
  readonly eps?: number
  /** Whether there are weight and bias. Default true. */
  readonly elementwiseAffine?: boolean
  readonly bias?: boolean
}

/** Normalises over the last dimensions of the given sizes. */
export class LayerNorm extends Module {
  readonly normalizedShape: Shape
  readonly eps: number
  readonly weight: Parameter | null
  readonly bias: Parameter | null
  declare readonly signature?: { readonly takes: 'anything'; readonly gives: 'keep' }

  constructor(normalizedShape: number | Shape, options: LayerNormLayerOptions = {}) {
    super()
    const own = checkLayer('LayerNorm', options, { ...layerOptions, eps: true, elementwiseAffine: true, bias: true })
    checkFlags('LayerNorm', { elementwiseAffine: own.elementwiseAffine, bias: own.bias })
    if (typeof normalizedShape !== 'number' && !(Array.isArray(normalizedShape) && normalizedShape.length > 0))
      throw new ValueError('LayerNorm', `normalizedShape is ${shown(normalizedShape)}, but must be a size or several`)
    this.normalizedShape = typeof normalizedShape === 'number' ? [normalizedShape] : [...normalizedShape]
    checkSizes('LayerNorm', Object.fromEntries(this.normalizedShape.map((size, i) => [`normalizedShape[${i}]`, size])))
    this.eps = checkNumber('LayerNorm', 'eps', own.eps ?? 1e-5, 0)
    const affine = own.elementwiseAffine ?? true
    this.weight = affine ? ones_(parameter('LayerNorm', this.normalizedShape, own)) : null
    this.bias = affine && own.bias !== false ? parameter('LayerNorm', this.normalizedShape, own) : null
  }

  override extraRepr(): string {
    const { normalizedShape, eps, weight, bias } = this
    return settings({ normalizedShape, eps, elementwiseAffine: weight !== null, bias: bias !== null })
  }

  forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return layerNorm(x, this.normalizedShape, this.weight, this.bias, { eps: this.eps })
  }
}

export interface BatchNormLayerOptions extends LayerOptions {
  readonly eps?: number
  /** How far the running statistics move; null: the plain average of all batches so far. Default 0.1. */
  readonly momentum?: number | null
  /** Whether there are weight and bias. Default true. */
  readonly affine?: boolean
  /** Whether there are running statistics; without, evaluation uses the batch's too. Default true. */
  readonly trackRunningStats?: boolean
}

/** Batch norm over [N, C, ...]; subclasses say how many dimensions they take. */
abstract class BatchNorm<C extends number> extends Module {
  readonly numFeatures: C
  readonly eps: number
  readonly momentum: number | null
  readonly weight: Parameter | null
  readonly bias: Parameter | null
  readonly runningMean: Buffer | null
  readonly runningVar: Buffer | null
  readonly numBatchesTracked: Buffer | null
  /** Numbers of dimensions the input may have. */
  protected abstract readonly ranks: readonly number[]

  constructor(numFeatures: C, options: BatchNormLayerOptions = {}) {
    super()
    const own = checkLayer(this.constructor.name, options, {
      ...layerOptions,
      eps: true,
      momentum: true,
      affine: true,
      trackRunningStats: true,
    })
    const { affine: hasWeight, trackRunningStats } = own
    checkFlags(this.constructor.name, { affine: hasWeight, trackRunningStats })
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
    const affine = hasWeight ?? true
    this.weight = affine ? ones_(parameter(this.constructor.name, [numFeatures], own)) : null
    this.bias = affine ? parameter(this.constructor.name, [numFeatures], own) : null
    const tracked = trackRunningStats ?? true
    this.runningMean = tracked ? buffer(this.constructor.name, [numFeatures], own) : null
    this.runningVar = tracked ? ones_(buffer(this.constructor.name, [numFeatures], own)) : null
    this.numBatchesTracked = tracked ? buffer(this.constructor.name, [], { ...own, dtype: 'int32' }) : null
  }

  override extraRepr(): string {
    const { numFeatures, eps, momentum, weight, runningMean } = this
    return settings({ numFeatures, eps, momentum, affine: weight !== null, trackRunningStats: runningMean !== null })
  }

  forward(x: Tensor): Tensor {
    checkTensor(this.constructor.name, 'x', x)
    if (!this.ranks.includes(x.ndim))
      throw new ShapeError(
        this.constructor.name,
        `x has ${x.ndim} dimensions (${formatShape(x.sizes)}), but must have ${this.ranks.join(' or ')}`,
        [x.sizes],
      )
    const { weight, bias, eps, numBatchesTracked } = this
    const training = this.training || this.runningMean === null
    let momentum = this.momentum ?? 0
    // The statistics have had this batch already, where a checkpointed function runs again.
    const again = isRecomputing()
    if (this.training && numBatchesTracked !== null && !again) {
      noGrad(() => copyInto(numBatchesTracked, add(numBatchesTracked, 1), this.constructor.name))
      if (this.momentum === null) momentum = 1 / numBatchesTracked.item()
    }
    const [mean, variance] = again && training ? [null, null] : [this.runningMean, this.runningVar]
    return batchNorm(x, mean, variance, { weight, bias, training, momentum, eps })
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
