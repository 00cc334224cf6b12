/** Normalisation layers. */

import { checkTensor } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { formatShape, ShapeError, shown, ValueError } from '../core/errors.js'
import type { KeepsFeatures, KeepsSecond } from '../core/flow-types.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { groupNorm, layerNorm, rmsNorm } from '../ops/norm/index.js'
import { ones_ } from './init.js'
import { checkFlags, checkLayer, checkNumber, checkSizes, type LayerOptions, layerOptions, parameter } from './layer.js'
import { Module, type Parameter, settings } from './module.js'

export * from './batch-norm.js'

export interface LayerNormLayerOptions extends LayerOptions {
  readonly eps?: number
  /** Whether the layer has a weight and a bias. Default true. */
  readonly elementwiseAffine?: boolean
  readonly bias?: boolean
}

/** The sizes to normalise over, as a new list. */
function sizesOf(layer: string, normalizedShape: number | Shape): Shape {
  if (typeof normalizedShape !== 'number' && !(Array.isArray(normalizedShape) && normalizedShape.length > 0))
    throw new ValueError(layer, `normalizedShape is ${shown(normalizedShape)}, but must be a size or several`)
  const sizes = typeof normalizedShape === 'number' ? [normalizedShape] : [...normalizedShape]
  checkSizes(layer, Object.fromEntries(sizes.map((size, i) => [`normalizedShape[${i}]`, size])))
  return sizes
}

/** Throws the types' message if the last size is wrong. The operator checks everything else. */
function checkLast(layer: string, x: Tensor, normalizedShape: Shape): void {
  checkTensor(layer, 'x', x)
  const [gets, takes] = [x.sizes.at(-1), normalizedShape.at(-1)]
  if (gets !== undefined && gets !== takes)
    throw new ShapeError(layer, `gets ${gets} features, but takes ${takes}: x is ${formatShape(x.sizes)}`, [x.sizes])
}

/** Normalises over the last dimensions of the given sizes. */
export class LayerNorm<const N extends number | Shape = number | Shape> extends Module {
  readonly normalizedShape: Shape
  readonly eps: number
  readonly weight: Parameter | null
  readonly bias: Parameter | null
  declare readonly signature?: KeepsFeatures<'LayerNorm', N>

  constructor(normalizedShape: N, options: LayerNormLayerOptions = {}) {
    super()
    const own = checkLayer('LayerNorm', options, { ...layerOptions, eps: true, elementwiseAffine: true, bias: true })
    checkFlags('LayerNorm', { elementwiseAffine: own.elementwiseAffine, bias: own.bias })
    this.normalizedShape = sizesOf('LayerNorm', normalizedShape)
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
    checkLast('LayerNorm', x, this.normalizedShape)
    return layerNorm(x, this.normalizedShape, this.weight, this.bias, { eps: this.eps })
  }
}

export interface RmsNormLayerOptions extends LayerOptions {
  /** The number added to the mean square. Null, the default, is the distance from 1 to the next number of the dtype. */
  readonly eps?: number | null
  /** Whether the layer has a weight. Default true. */
  readonly elementwiseAffine?: boolean
}

/** Divides by the root of the mean square over the last dimensions of the given sizes. */
export class RMSNorm<const N extends number | Shape = number | Shape> extends Module {
  readonly normalizedShape: Shape
  readonly eps: number | null
  readonly weight: Parameter | null
  declare readonly signature?: KeepsFeatures<'RMSNorm', N>

  constructor(normalizedShape: N, options: RmsNormLayerOptions = {}) {
    super()
    const own = checkLayer('RMSNorm', options, { ...layerOptions, eps: true, elementwiseAffine: true })
    checkFlags('RMSNorm', { elementwiseAffine: own.elementwiseAffine })
    this.normalizedShape = sizesOf('RMSNorm', normalizedShape)
    const { eps = null, elementwiseAffine = true } = own
    this.eps = eps === null ? null : checkNumber('RMSNorm', 'eps', eps, 0)
    this.weight = elementwiseAffine ? ones_(parameter('RMSNorm', this.normalizedShape, own)) : null
  }

  override extraRepr(): string {
    const { normalizedShape, eps, weight } = this
    return settings({ normalizedShape, eps, elementwiseAffine: weight !== null })
  }

  forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    checkLast('RMSNorm', x, this.normalizedShape)
    return rmsNorm(x, this.normalizedShape, this.weight, { eps: this.eps })
  }
}

export interface GroupNormLayerOptions extends LayerOptions {
  readonly eps?: number
  /** Whether the layer has a weight and a bias. Default true. */
  readonly affine?: boolean
  readonly bias?: boolean
}

/** Normalises [N, C, ...] over groups of channels and all dimensions after them. */
export class GroupNorm<const C extends number = number> extends Module {
  readonly numGroups: number
  readonly numChannels: C
  readonly eps: number
  readonly weight: Parameter | null
  readonly bias: Parameter | null
  declare readonly signature?: KeepsSecond<'GroupNorm', C>

  constructor(numGroups: number, numChannels: C, options: GroupNormLayerOptions = {}) {
    super()
    const own = checkLayer('GroupNorm', options, { ...layerOptions, eps: true, affine: true, bias: true })
    checkFlags('GroupNorm', { affine: own.affine, bias: own.bias })
    checkSizes('GroupNorm', { numGroups, numChannels })
    if (numChannels % numGroups !== 0)
      throw new ValueError('GroupNorm', `${numChannels} channels do not divide into ${numGroups} groups`)
    this.numGroups = numGroups
    this.numChannels = numChannels
    this.eps = checkNumber('GroupNorm', 'eps', own.eps ?? 1e-5, 0)
    const affine = own.affine ?? true
    this.weight = affine ? ones_(parameter('GroupNorm', [numChannels], own)) : null
    this.bias = affine && own.bias !== false ? parameter('GroupNorm', [numChannels], own) : null
  }

  override extraRepr(): string {
    const { numGroups, numChannels, eps, weight, bias } = this
    return settings({ numGroups, numChannels, eps, affine: weight !== null, bias: bias !== null })
  }

  forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    checkTensor('GroupNorm', 'x', x)
    if (x.ndim >= 2 && x.sizes[1] !== this.numChannels)
      throw new ShapeError(
        'GroupNorm',
        `gets ${x.sizes[1]} channels, but takes ${this.numChannels}: x is ${formatShape(x.sizes)}`,
        [x.sizes],
      )
    return groupNorm(x, this.numGroups, this.weight, this.bias, { eps: this.eps })
  }
}
