/** Small models of each architecture, with a batch and a loss, on which every strategy of fine-tuning is tried. */
import { type Device, Generator, nn, randn, type Tensor, tensor } from '../../lib/index.js'
import { fromConfig } from '../../lib/models/architecture.js'
import { bertArchitectures } from '../../lib/models/bert.js'
import { gpt2, llama } from '../../lib/models/index.js'

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

/** Convolutions with batch norm, as a ResNet has them: [B, 3, 8, 8] -> [B, 4]. */
class Residual extends nn.Module {
  readonly conv: nn.Conv2d
  readonly norm: nn.BatchNorm2d
  constructor(width: number, options: object) {
    super()
    this.conv = new nn.Conv2d(width, width, 3, { ...options, padding: 1, bias: false })
    this.norm = new nn.BatchNorm2d(width, options)
  }
  forward(x: Tensor): Tensor {
    return (this.norm.forward(this.conv.forward(x) as Tensor) as Tensor).add(x).relu() as Tensor
  }
}

class ConvNet extends nn.Module {
  readonly stem: nn.Conv2d
  readonly stages: Residual[]
  readonly classifier: nn.Linear
  constructor({ layers, width }: ShapeSizes, options: object) {
    super()
    this.stem = new nn.Conv2d(3, width, 3, { ...options, padding: 1 })
    this.stages = Array.from({ length: layers }, () => new Residual(width, options))
    this.classifier = new nn.Linear(width, 4, options)
  }
  blocks(): nn.Module[] {
    return this.stages
  }
  forward(x: Tensor): Tensor {
    const maps = this.stages.reduce((y, stage) => stage.forward(y), this.stem.forward(x) as Tensor)
    return this.classifier.forward(maps.mean([2, 3]) as Tensor) as Tensor
  }
}

/** What makes each of the shapes, anew and with the same weights at each call. */
export const shapes: { readonly [name: string]: (sizes: ShapeSizes, device?: Device) => Shape } = {
  'GPT-2': (sizes, device) => {
    const { layers, width, columns: context } = sizes
    const options = { vocabSize, layers, width, heads: 2, context, dropout: 0, generator: new Generator(1) }
    const model = gpt2({ ...options, ...(device === undefined ? {} : { device }) })
    const ids = idsOf(sizes, device)
    const loss = () => perCount(model.loss(ids))
    return { name: 'GPT-2', model, head: 'transformer.ln_f', adapted: ['c_attn'], loss }
  },
  BERT: (sizes, device) => {
    const json = {
      ...{ vocab_size: vocabSize, hidden_size: sizes.width, num_hidden_layers: sizes.layers, num_attention_heads: 2 },
      ...{ intermediate_size: 4 * sizes.width, max_position_embeddings: sizes.columns },
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
    const { layers, width } = sizes
    const options = { vocabSize, layers, width, heads: 2, inner: 2 * width, context: 64, generator: new Generator(1) }
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
  'Conv net': (sizes, device) => {
    const options = { generator: new Generator(1), ...(device === undefined ? {} : { device }) }
    const model = new ConvNet(sizes, options)
    const x = randn([sizes.rows, 3, 8, 8], options) as Tensor
    const classes = Array.from({ length: sizes.rows }, (_, i) => i % 4)
    const labels = tensor(classes, { dtype: 'int32', ...(device === undefined ? {} : { device }) })
    const loss = () => nn.functional.crossEntropy(model.forward(x), labels) as Tensor
    return { name: 'Conv net', model, head: 'classifier', adapted: ['conv'], loss }
  },
}
