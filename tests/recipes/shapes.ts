/** Small models of each architecture, with a batch and a loss, on which every strategy of fine-tuning is tested. */
import { type Device, Generator, type nn, randn, type Tensor, tensor } from '../../lib/index.js'
import { fromConfig } from '../../lib/models/architecture.js'
import { bertArchitectures } from '../../lib/models/bert.js'
import { gpt2, llama, t5 } from '../../lib/models/index.js'
import { resnetArchitectures } from '../../lib/models/resnet.js'

export interface Shape {
  readonly name: string
  readonly model: nn.Module
  /** The path of the head. */
  readonly head: string
  /** Layers that LoRA adapts. */
  readonly adapted: readonly string[]
  /** The mean loss of a batch. */
  loss(): Tensor
}

export interface ShapeSizes {
  readonly layers: number
  readonly width: number
  readonly rows: number
  readonly columns: number
  /** Positions beside those of the columns, for a prompt. Default: 0. */
  readonly spare?: number
}

const vocabSize = 97

function idsOf({ rows, columns }: ShapeSizes, device: Device | undefined): Tensor {
  const generator = new Generator(3)
  const row = () => Array.from({ length: columns }, () => generator.randint(0, vocabSize))
  return tensor(Array.from({ length: rows }, row), { dtype: 'int32', ...(device === undefined ? {} : { device }) })
}

function perCount({ total, count }: { readonly total: Tensor; readonly count: Tensor | number }): Tensor {
  return typeof count === 'number' ? total.div(count) : total.div(count.detach())
}

/** Makes each of the shapes, anew and with the same weights at each call. */
export const shapes: { readonly [name: string]: (sizes: ShapeSizes, device?: Device) => Shape } = {
  'GPT-2': (sizes, device) => {
    const { layers, width, columns, spare = 0 } = sizes
    const context = columns + spare
    const options = { vocabSize, layers, width, heads: 2, context, dropout: 0, generator: new Generator(1) }
    const model = gpt2({ ...options, ...(device === undefined ? {} : { device }) })
    const ids = idsOf(sizes, device)
    const loss = () => perCount(model.loss(ids))
    return { name: 'GPT-2', model, head: 'transformer.ln_f', adapted: ['c_attn'], loss }
  },
  BERT: (sizes, device) => {
    const json = {
      ...{ vocab_size: vocabSize, hidden_size: sizes.width, num_hidden_layers: sizes.layers, num_attention_heads: 2 },
      ...{ intermediate_size: 4 * sizes.width, max_position_embeddings: sizes.columns + (sizes.spare ?? 0) },
      ...{ hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 },
    }
    const model = fromConfig('BERT', bertArchitectures.sequenceClassification, json, {
      generator: new Generator(1),
      ...(device === undefined ? {} : { device }),
    })
    const ids = idsOf(sizes, device)
    const classes = Array.from({ length: sizes.rows }, (_, i) => i % 2)
    const labels = tensor(classes, { dtype: 'int32', ...(device === undefined ? {} : { device }) })
    const loss = () => perCount(model.loss(ids, { labels }))
    return { name: 'BERT', model, head: 'classifier', adapted: ['query', 'value'], loss }
  },
  Llama: (sizes, device) => {
    const { layers, width, spare = 0 } = sizes
    const options = {
      vocabSize,
      layers,
      width,
      heads: 2,
      inner: 2 * width,
      context: 64 + spare,
      generator: new Generator(1),
    }
    const model = llama({ ...options, tieWordEmbeddings: false, ...(device === undefined ? {} : { device }) })
    const ids = idsOf(sizes, device)
    return {
      name: 'Llama',
      model,
      head: 'lm_head',
      adapted: ['q_proj', 'v_proj'],
      loss: () => perCount(model.loss(ids)),
    }
  },
  T5: (sizes, device) => {
    const { layers, width } = sizes
    const options = { vocabSize, layers, width, heads: 2, headDim: width / 2, inner: 2 * width, dropout: 0 }
    const model = t5({ ...options, generator: new Generator(1), ...(device === undefined ? {} : { device }) })
    const ids = idsOf(sizes, device)
    const loss = () => perCount(model.loss(ids, { labels: ids }))
    return { name: 'T5', model, head: 'decoder.final_layer_norm', adapted: ['q', 'v'], loss }
  },
  ResNet: ({ layers, width, rows }, device) => {
    const options = { generator: new Generator(1), ...(device === undefined ? {} : { device }) }
    const json = {
      ...{ num_channels: 3, embedding_size: width, layer_type: 'basic' },
      ...{ hidden_sizes: [width, width], depths: [1, layers - 1], num_labels: 4 },
    }
    const model = fromConfig('ResNet', resnetArchitectures.imageClassification, json, options)
    const pixels = randn([rows, 3, 16, 16], options) as Tensor
    const classes = Array.from({ length: rows }, (_, i) => i % 4)
    const labels = tensor(classes, { dtype: 'int32', ...(device === undefined ? {} : { device }) })
    const loss = () => perCount(model.loss(pixels, { labels }))
    return { name: 'ResNet', model, head: 'classifier', adapted: ['convolution'], loss }
  },
}
