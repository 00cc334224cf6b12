/** Layers that encode the positions of a sequence's elements. */
import { checkTensor } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { formatShape, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkOptions, ownOptions } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { checkBase } from '../ops/attention/angles.js'
import { type RotaryOptions, rotaryEmbedding, sinusoidalEncoding } from '../ops/attention/index.js'
import { checkLayout, checkScaling } from '../ops/attention/rope-scaling.js'
import { add } from '../ops/elementwise/index.js'
import { narrow } from '../ops/shape/index.js'
import { normal_ } from './init.js'
import { checkLayer, checkNumber, checkSizes, type LayerOptions, layerOptions, parameter } from './layer.js'
import { Module, type Parameter, settings } from './module.js'

/** The position of the first element: the number of elements before it in a cache. Default 0. */
export interface PositionInputs {
  readonly offset?: number
}

/** Adds sines and cosines of positions to x [.., T, D] (Vaswani et al., 2017): `sinusoidalEncoding` as a layer. */
export class SinusoidalEncoding extends Module {
  readonly base: number

  constructor(options: { readonly base?: number } = {}) {
    super()
    const { base = 10_000 } = checkOptions('SinusoidalEncoding', options, { base: true })
    checkBase('SinusoidalEncoding', base)
    this.base = base
  }

  override extraRepr(): string {
    return settings({ base: this.base })
  }

  forward<S extends Shape, D extends DType>(x: Tensor<S, D>, inputs: PositionInputs = {}): Tensor<S, D> {
    const { offset = 0 } = checkOptions('SinusoidalEncoding.forward', inputs, { offset: true })
    return sinusoidalEncoding(x, { base: this.base, offset })
  }
}

/**
 * Adds a learned vector for each position to x [.., T, D], as in BERT and GPT-2. The vectors are initially normal with
 * standard deviation 0.02.
 */
export class LearnedPositions extends Module {
  readonly maxLength: number
  readonly embeddingDim: number
  /** [maxLength, embeddingDim] */
  readonly weight: Parameter

  constructor(maxLength: number, embeddingDim: number, options: LayerOptions & { readonly std?: number } = {}) {
    super()
    const op = 'LearnedPositions'
    const { std = 0.02, ...layer } = checkLayer(op, options, { ...layerOptions, std: true })
    checkSizes(op, { maxLength, embeddingDim })
    checkNumber(op, 'std', std, 0)
    this.maxLength = maxLength
    this.embeddingDim = embeddingDim
    this.weight = normal_(parameter(op, [maxLength, embeddingDim], layer), 0, std, { generator: layer.generator })
  }

  override extraRepr(): string {
    return `${this.maxLength}, ${this.embeddingDim}`
  }

  /** Throws ShapeError if a position is beyond the last. */
  forward<S extends Shape, D extends DType>(x: Tensor<S, D>, inputs?: PositionInputs): Tensor<S, D>
  forward(x: Tensor, inputs: PositionInputs = {}): Tensor {
    const op = 'LearnedPositions'
    const { offset = 0 } = checkOptions(`${op}.forward`, inputs, { offset: true })
    checkTensor(op, 'x', x)
    if (!Number.isSafeInteger(offset) || offset < 0)
      throw new ValueError(op, `offset is ${shown(offset)}, but must be an integer of at least 0`)
    const { maxLength, embeddingDim } = this
    const t = x.ndim < 2 ? 0 : (x.sizes.at(-2) as number)
    if (x.ndim < 2 || x.sizes.at(-1) !== embeddingDim || offset + t > maxLength)
      throw new ShapeError(
        op,
        `x is ${formatShape(x.sizes)} from position ${offset} on, but must be [.., T, ${embeddingDim}], and its last position ` +
          `below ${maxLength}`,
        [x.sizes],
      )
    return add(x, narrow(this.weight, 0, offset, t)) as Tensor
  }
}

export type RotaryEmbeddingOptions = Pick<RotaryOptions, 'base' | 'layout' | 'dims' | 'scaling'>
export type RotaryInputs = Pick<RotaryOptions, 'offset' | 'positions' | 'length'>

/**
 * Rotates pairs of features of queries or keys x [.., T, D] by their position: `rotaryEmbedding` as a layer, without
 * parameters.
 */
export class RotaryEmbedding extends Module {
  readonly options: RotaryEmbeddingOptions

  constructor(options: RotaryEmbeddingOptions = {}) {
    super()
    const op = 'RotaryEmbedding'
    const own = ownOptions(op, options, { base: true, layout: true, dims: true, scaling: true })
    const { base = 10_000, dims, scaling = null } = own
    checkBase(op, base)
    checkLayout(op, own.layout)
    if (dims !== undefined && !(Number.isSafeInteger(dims) && dims >= 0 && dims % 2 === 0))
      throw new ValueError(op, `dims is ${shown(dims)}, but must be an even number of features`)
    if (scaling !== null) checkScaling(op, scaling, dims === undefined ? null : dims / 2)
    this.options = own
  }

  override extraRepr(): string {
    const { base = 10_000, layout = 'halves', dims, scaling } = this.options
    return settings({ base, layout, dims, scaling: scaling?.type })
  }

  forward<S extends Shape, D extends DType>(x: Tensor<S, D>, inputs: RotaryInputs = {}): Tensor<S, D> {
    const given = ownOptions('RotaryEmbedding.forward', inputs, { offset: true, positions: true, length: true })
    return rotaryEmbedding(x, { ...this.options, ...given })
  }
}
