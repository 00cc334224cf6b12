import { noGrad } from '../autograd/mode.js'
import { checkOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { embedding } from '../ops/indexing.js'
import { fill_ } from '../ops/inplace.js'
import { select } from '../ops/shape.js'
import { normal_ } from './init.js'
import { checkSizes, type LayerOptions, layerOptions, parameter } from './layer.js'
import { Module, type Parameter } from './module.js'

/** A table of vectors looked up by int32 ids: [...] -> [..., embeddingDim]. */
export class Embedding extends Module {
  readonly numEmbeddings: number
  readonly embeddingDim: number
  readonly paddingIdx: number | null
  weight: Parameter

  constructor(
    numEmbeddings: number,
    embeddingDim: number,
    options: LayerOptions & { readonly paddingIdx?: number | null } = {},
  ) {
    super()
    checkOptions('Embedding', options, { ...layerOptions, paddingIdx: true })
    checkSizes('Embedding', { numEmbeddings, embeddingDim })
    this.numEmbeddings = numEmbeddings
    this.embeddingDim = embeddingDim
    this.paddingIdx = options.paddingIdx ?? null
    this.weight = normal_(parameter([numEmbeddings, embeddingDim], options), 0, 1, { generator: options.generator })
    const padding = this.paddingIdx
    if (padding !== null) noGrad(() => fill_(select(this.weight, 0, padding), 0))
  }

  forward(ids: Tensor): Tensor {
    return embedding(ids, this.weight, { paddingIdx: this.paddingIdx })
  }
}
