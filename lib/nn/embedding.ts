import { noGrad } from '../autograd/mode.js'
import type { DType } from '../core/dtype.js'
import { namedAs, shown, ValueError } from '../core/errors.js'
import type { Shape } from '../core/shape.js'
import type { LastIs, WithLast } from '../core/shape-types.js'
import type { Tensor } from '../core/tensor.js'
import { embedding } from '../ops/indexing/index.js'
import { fill_ } from '../ops/inplace.js'
import { linear } from '../ops/matmul.js'
import { select } from '../ops/shape/index.js'
import { Adaptable, type Adaptation } from './adapter.js'
import { normal_ } from './init.js'
import { checkLayer, checkSizes, type LayerOptions, layerOptions, numbersOf, parameter } from './layer.js'
import { type Parameter, settings } from './module.js'

/**
 * A table of vectors looked up by int32 ids: [...] -> [..., embeddingDim]. The row `paddingIdx`, counted from the end where
 * negative, begins as zeros and gets no gradient.
 */
export class Embedding<const N extends number = number, const E extends number = number> extends Adaptable {
  readonly numEmbeddings: N
  readonly embeddingDim: E
  readonly paddingIdx: number | null
  /** [N, E]; that of a Linear from E to N features may be the same one: `head.weight = embedding.weight`. */
  weight: Parameter<[N, E]>
  #isHead = false

  constructor(numEmbeddings: N, embeddingDim: E, options: LayerOptions & { readonly paddingIdx?: number | null } = {}) {
    super()
    checkLayer('Embedding', options, { ...layerOptions, paddingIdx: true })
    checkSizes('Embedding', { numEmbeddings, embeddingDim })
    this.numEmbeddings = numEmbeddings
    this.embeddingDim = embeddingDim
    const { paddingIdx = null } = options
    if (paddingIdx !== null && !(Number.isInteger(paddingIdx) && Math.abs(paddingIdx + 0.5) < numEmbeddings))
      throw new ValueError(
        'Embedding',
        `paddingIdx is ${shown(paddingIdx)}, but must be an integer from ${-numEmbeddings} to ${numEmbeddings - 1}, or null`,
      )
    this.paddingIdx = paddingIdx !== null && paddingIdx < 0 ? paddingIdx + numEmbeddings : paddingIdx
    this.weight = normal_(parameter('Embedding', [numEmbeddings, embeddingDim], options), 0, 1, {
      generator: options.generator,
    })
    const padding = this.paddingIdx
    if (padding !== null) noGrad(() => fill_(select(this.weight, 0, padding), 0))
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
    return settings({ numEmbeddings, embeddingDim, paddingIdx: paddingIdx ?? undefined })
  }

  forward(ids: Tensor): Tensor {
    return this.adapt(ids)
  }

  override product(ids: Tensor): Tensor {
    return embedding(ids, this.weight, { paddingIdx: this.paddingIdx })
  }

  override dense(): Tensor {
    return numbersOf(this.weight)
  }

  /**
   * How well vectors fit each row of the table, x weight^T: [..., embeddingDim] -> [..., numEmbeddings]. The head of a language
   * model whose weights are tied to the embedding, and that then has no parameters of its own, nor a part in the embedding's
   * adapters, as in PEFT.
   */
  asLinear<S extends Shape, D extends DType>(
    x: Tensor<S, D> & LastIs<S, E, 'Embedding.asLinear'>,
  ): Tensor<WithLast<S, N>, D> {
    this.#isHead = true
    const logits: Tensor = namedAs('Embedding.asLinear', () => linear<Shape, Shape, DType>(x, this.weight))
    return logits as Tensor<WithLast<S, N>, D>
  }
}
