import { noGrad } from '../autograd/mode.js'
import type { DType } from '../core/dtype.js'
import { namedAs, shown, ValueError } from '../core/errors.js'
import type { OptionNames } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { LastIs, WithLast } from '../core/shape-types.js'
import type { Tensor } from '../core/tensor.js'
import { type EmbeddingBagOptions, type EmbeddingOptions, embedding, embeddingBag } from '../ops/indexing/index.js'
import { checkMaxNorm } from '../ops/indexing/max-norm.js'
import { fill_ } from '../ops/inplace.js'
import { linear } from '../ops/matmul.js'
import { select } from '../ops/shape/index.js'
import { Adaptable, type Adaptation } from './adapter.js'
import { normal_ } from './init.js'
import { checkFlags, checkLayer, checkSizes, type LayerOptions, layerOptions, numbersOf, parameter } from './layer.js'
import { Module, type Parameter, settings } from './module.js'

/** The row that is padding, counted from the front. */
function paddingOf(layer: string, paddingIdx: number | null, rows: number): number | null {
  if (paddingIdx !== null && !(Number.isInteger(paddingIdx) && Math.abs(paddingIdx + 0.5) < rows))
    throw new ValueError(
      layer,
      `paddingIdx is ${shown(paddingIdx)}, but must be an integer from ${-rows} to ${rows - 1}, or null`,
    )
  return paddingIdx !== null && paddingIdx < 0 ? paddingIdx + rows : paddingIdx
}

/** A table of normal numbers, with zeros for the padding. */
function tableOf<N extends number, E extends number>(
  layer: string,
  shape: [N, E],
  padding: number | null,
  options: LayerOptions,
): Parameter<[N, E]> {
  const table = normal_(parameter(layer, shape, options), 0, 1, { generator: options.generator })
  if (padding !== null) noGrad(() => fill_(select(table, 0, padding), 0))
  return table as Parameter<[N, E]>
}

export interface EmbeddingLayerOptions extends LayerOptions, EmbeddingOptions {}

const embeddingNames: OptionNames<EmbeddingLayerOptions> = {
  ...layerOptions,
  paddingIdx: true,
  maxNorm: true,
  normType: true,
  scaleGradByFreq: true,
}

/**
 * A table of vectors, looked up by int32 ids: [...] -> [..., embeddingDim]. The row `paddingIdx`, counted from the end
 * if negative, begins as zeros and gets no gradient.
 */
export class Embedding<const N extends number = number, const E extends number = number> extends Adaptable {
  readonly numEmbeddings: N
  readonly embeddingDim: E
  readonly paddingIdx: number | null
  readonly maxNorm: number | null
  readonly normType: number
  readonly scaleGradByFreq: boolean
  /** [N, E]. A Linear from E to N features may share it: `head.weight = embedding.weight`. */
  weight: Parameter<[N, E]>
  #isHead = false
  declare readonly signature?: {
    readonly op: 'embedding'
    readonly takes: 'anything'
    readonly gives: { readonly kind: 'embedded'; readonly features: E }
  }

  constructor(numEmbeddings: N, embeddingDim: E, options: EmbeddingLayerOptions = {}) {
    super()
    const own = checkLayer('Embedding', options, embeddingNames)
    const { maxNorm = null, normType = 2, scaleGradByFreq = false } = own
    checkSizes('Embedding', { numEmbeddings, embeddingDim })
    checkFlags('Embedding', { scaleGradByFreq })
    checkMaxNorm('Embedding', maxNorm, normType)
    this.maxNorm = maxNorm
    this.normType = normType
    this.scaleGradByFreq = scaleGradByFreq
    this.numEmbeddings = numEmbeddings
    this.embeddingDim = embeddingDim
    this.paddingIdx = paddingOf('Embedding', options.paddingIdx ?? null, numEmbeddings)
    this.weight = tableOf('Embedding', [numEmbeddings, embeddingDim], this.paddingIdx, options)
  }

  override get adaptation(): Adaptation {
    const { weight, numEmbeddings, embeddingDim, paddingIdx } = this
    return {
      by: 'embedding',
      weight,
      alsoRead: this.#isHead ? 'asLinear' : null,
      numEmbeddings,
      embeddingDim,
      paddingIdx,
    }
  }

  override get bias(): null {
    return null
  }

  override extraRepr(): string {
    const { numEmbeddings, embeddingDim, paddingIdx } = this
    const { maxNorm, normType, scaleGradByFreq } = this
    const limit = maxNorm === null ? {} : { maxNorm, ...(normType === 2 ? {} : { normType }) }
    const scaled = scaleGradByFreq ? { scaleGradByFreq } : {}
    return settings({ numEmbeddings, embeddingDim, paddingIdx: paddingIdx ?? undefined, ...limit, ...scaled })
  }

  forward(ids: Tensor): Tensor {
    return this.adapt(ids)
  }

  override product(ids: Tensor): Tensor {
    const { paddingIdx, maxNorm, normType, scaleGradByFreq } = this
    return embedding(ids, this.weight, { paddingIdx, maxNorm, normType, scaleGradByFreq })
  }

  override dense(): Tensor {
    return numbersOf(this.weight)
  }

  /**
   * The products of vectors with each row of the table, x weight^T: [..., embeddingDim] -> [..., numEmbeddings]. This
   * is the head of a language model whose weights are tied to the embedding. It has no parameters of its own, and the
   * embedding's adapters do not apply to it, as in PEFT.
   */
  asLinear<S extends Shape, D extends DType>(
    x: Tensor<S, D> & LastIs<S, E, 'Embedding.asLinear'>,
  ): Tensor<WithLast<S, N>, D> {
    this.#isHead = true
    const logits: Tensor = namedAs('Embedding.asLinear', () => linear<Shape, Shape, DType>(x, this.weight))
    return logits as Tensor<WithLast<S, N>, D>
  }
}

export interface EmbeddingBagLayerOptions
  extends LayerOptions,
    Pick<EmbeddingBagOptions, 'mode' | 'paddingIdx' | 'includeLastOffset' | 'maxNorm' | 'normType'> {}

/**
 * A table of vectors that turns each bag of int32 ids into one vector, which is the sum, mean (default) or maximum of
 * their rows. ids [B, N], or [M] with `offsets` -> [B, embeddingDim].
 */
export class EmbeddingBag extends Module {
  readonly numEmbeddings: number
  readonly embeddingDim: number
  readonly mode: 'sum' | 'mean' | 'max'
  readonly paddingIdx: number | null
  readonly includeLastOffset: boolean
  readonly maxNorm: number | null
  readonly normType: number
  /** [numEmbeddings, embeddingDim] */
  weight: Parameter

  constructor(numEmbeddings: number, embeddingDim: number, options: EmbeddingBagLayerOptions = {}) {
    super()
    const own = checkLayer('EmbeddingBag', options, {
      ...layerOptions,
      mode: true,
      paddingIdx: true,
      includeLastOffset: true,
      maxNorm: true,
      normType: true,
    })
    const { maxNorm = null, normType = 2 } = own
    checkSizes('EmbeddingBag', { numEmbeddings, embeddingDim })
    checkMaxNorm('EmbeddingBag', maxNorm, normType)
    this.maxNorm = maxNorm
    this.normType = normType
    checkFlags('EmbeddingBag', { includeLastOffset: own.includeLastOffset })
    this.mode = own.mode ?? 'mean'
    if (!['sum', 'mean', 'max'].includes(this.mode))
      throw new ValueError('EmbeddingBag', `mode is ${shown(this.mode)}, but must be 'sum', 'mean' or 'max'`)
    this.numEmbeddings = numEmbeddings
    this.embeddingDim = embeddingDim
    this.paddingIdx = paddingOf('EmbeddingBag', own.paddingIdx ?? null, numEmbeddings)
    this.includeLastOffset = own.includeLastOffset ?? false
    this.weight = tableOf('EmbeddingBag', [numEmbeddings, embeddingDim], this.paddingIdx, own)
  }

  override extraRepr(): string {
    const { numEmbeddings, embeddingDim, mode, paddingIdx, maxNorm, normType } = this
    const limit = maxNorm === null ? {} : { maxNorm, ...(normType === 2 ? {} : { normType }) }
    return settings({ numEmbeddings, embeddingDim, mode, paddingIdx: paddingIdx ?? undefined, ...limit })
  }

  forward(
    ids: Tensor,
    offsets: Tensor | readonly number[] | null = null,
    perSampleWeights: Tensor | null = null,
  ): Tensor {
    const { mode, paddingIdx, includeLastOffset, maxNorm, normType } = this
    const own = { mode, paddingIdx, includeLastOffset, maxNorm, normType }
    return embeddingBag(ids, this.weight, { offsets, perSampleWeights, ...own })
  }
}
