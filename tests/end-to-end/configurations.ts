/**
 * Trainings whose peak memory is predicted and measured: models with batch sizes, adapters, checkpointing and mixed
 * precision.
 */
import { cnn, Gpt, type GptSizes, Tagger } from '../../bench/models.js'
import { applyLora } from '../../lib/finetune/index.js'
import {
  type Batch,
  crossEntropy,
  type MemoryPrediction,
  memory,
  nn,
  OutOfMemoryError,
  optim,
  randint,
  randn,
  resetPeakMemory,
  type Tensor,
  Trainer,
  zeros,
} from '../../lib/index.js'
import { type T5, t5, vit } from '../../lib/models/index.js'

export interface Configuration {
  readonly name: string
  readonly make: () => {
    readonly trainer: Trainer<string, Batch>
    readonly batch: Batch
    /** The number of parts into which fit must cut batches, because of the memory that it is given. */
    readonly parts?: number
  }
}

/**
 * Residual blocks of convolutions that keep the size, with a head. It is a model whose blocks are worth recomputing.
 */
class Residual extends nn.Module {
  readonly conv1: nn.Conv2d
  readonly norm: nn.GroupNorm
  readonly conv2: nn.Conv2d

  constructor(channels: number) {
    super()
    this.conv1 = new nn.Conv2d(channels, channels, 3, { padding: 1 })
    this.norm = new nn.GroupNorm(1, channels)
    this.conv2 = new nn.Conv2d(channels, channels, 3, { padding: 1 })
  }

  forward(x: Tensor): Tensor {
    return x.add(this.conv2.forward(nn.functional.relu(this.norm.forward(this.conv1.forward(x)))))
  }
}

/** Logits of all places in one table [B * T, classes], as the loss takes them. */
class Flat extends nn.Module {
  readonly inner: nn.Model

  constructor(inner: nn.Model) {
    super()
    this.inner = inner
  }

  blocks(): nn.Module[] {
    return [...(nn.blocksOf(this.inner) ?? [])]
  }

  forward(x: Tensor): Tensor {
    return this.inner.forward(x).flatten(0, 1)
  }
}

/** Gated recurrent units over a sequence [T, B], and classes of its last place. */
class Reader extends nn.Module {
  readonly embedding: nn.Embedding
  readonly gru: nn.GRU
  readonly head: nn.Linear

  constructor(vocab: number, embed: number, hidden: number, classes: number) {
    super()
    this.embedding = new nn.Embedding(vocab, embed)
    this.gru = new nn.GRU(embed, hidden, { numLayers: 2 })
    this.head = new nn.Linear(hidden, classes)
  }

  forward(x: Tensor): Tensor {
    return this.head.forward(this.gru.forward(this.embedding.forward(x)).output.select(0, -1))
  }
}

/** Logits [B * T, vocabulary] of a model that reads the same ids as it is to write. */
class Copier extends nn.Module {
  readonly inner: T5

  constructor(inner: T5) {
    super()
    this.inner = inner
  }

  forward(x: Tensor): Tensor {
    return this.inner.forward(x, { decoderIds: x }).flatten(0, 1)
  }
}

const ids = (shape: readonly number[], most: number) => randint(0, most, shape, { dtype: 'int32' })

/** `scale` divides the sizes that make the models large. */
export function configurations(scale = 1): readonly Configuration[] {
  const part = (count: number) => Math.max(1, Math.round(count / scale))
  const images = (rows: number): Batch => [randn([rows, 1, 28, 28]), ids([rows], 10)]
  const loss = (output: Tensor, target: Tensor) => crossEntropy(output as Tensor<[number, number]>, target)
  const trained = (
    model: nn.Model,
    more: {
      readonly precision?: 'bfloat16'
      readonly clipGradNorm?: number
      readonly accumulate?: number
      readonly checkpointing?: boolean
    } = {},
  ) =>
    new Trainer<string, Batch, nn.Model>(model, {
      optimizer: new optim.AdamW(model.parameters(), { lr: 1e-3 }),
      loss: loss as (output: unknown, target: Tensor) => Tensor,
      ...more,
    }) as unknown as Trainer<string, Batch>
  const sizes: GptSizes = { vocab: part(2000), t: part(128), d: 32 * part(8), heads: 4, layers: scale > 1 ? 2 : 6 }
  const text = (rows: number): Batch => [ids([rows, sizes.t], sizes.vocab), ids([rows * sizes.t], sizes.vocab)]
  const gpt = () => new Flat(new Gpt(sizes, {}))
  const tagger = () => new Tagger(part(2000), part(64), part(256), 5, {})
  const sequences = (rows: number): Batch => [ids([part(64), rows], part(2000)), ids([rows], 5)]
  const deep = () =>
    new nn.Sequential<readonly nn.Layer[]>(
      new nn.Conv2d(1, part(32), 3, { padding: 1 }),
      ...Array.from({ length: scale > 1 ? 3 : 8 }, () => new Residual(part(32))),
      new nn.AdaptiveAvgPool2d(1),
      new nn.Flatten(),
      new nn.Linear(part(32), 10),
    )
  return [
    { name: 'CNN, 32 rows', make: () => ({ trainer: trained(cnn({})), batch: images(part(32)) }) },
    { name: 'CNN, 128 rows', make: () => ({ trainer: trained(cnn({})), batch: images(part(128)) }) },
    {
      name: 'CNN, 64 rows, clipped, SGD with momentum',
      make: () => {
        const model = cnn({})
        const optimizer = new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 })
        return { trainer: new Trainer(model, { optimizer, loss, clipGradNorm: 1 }), batch: images(part(64)) }
      },
    },
    {
      name: 'deep CNN, 32 rows, checkpointing',
      make: () => ({ trainer: trained(deep(), { checkpointing: true }), batch: images(part(32)) }),
    },
    {
      name: 'deep CNN, 32 rows, in 4 parts',
      make: () => ({ trainer: trained(deep()), batch: images(Math.max(16, part(32))), parts: 4 }),
    },
    { name: 'LSTM, 16 rows', make: () => ({ trainer: trained(tagger()), batch: sequences(part(16)) }) },
    { name: 'LSTM, 64 rows', make: () => ({ trainer: trained(tagger()), batch: sequences(part(64)) }) },
    {
      name: 'LSTM, 32 rows, accumulating 2',
      make: () => ({ trainer: trained(tagger(), { accumulate: 2 }), batch: sequences(part(32)) }),
    },
    { name: 'GPT, 4 rows', make: () => ({ trainer: trained(gpt()), batch: text(4) }) },
    {
      name: 'GPT, 8 rows, bfloat16, clipped',
      make: () => ({ trainer: trained(gpt(), { precision: 'bfloat16', clipGradNorm: 1 }), batch: text(8) }),
    },
    {
      name: 'GPT, 8 rows, checkpointing',
      make: () => ({ trainer: trained(gpt(), { checkpointing: true }), batch: text(8) }),
    },
    {
      name: 'GPT, 8 rows, LoRA, bfloat16',
      make: () => ({
        trainer: trained(applyLora(gpt(), { rank: 8, targetModules: 'all-linear' }), { precision: 'bfloat16' }),
        batch: text(8),
      }),
    },
    {
      name: 'GRU of two layers, 32 rows',
      make: () => ({ trainer: trained(new Reader(part(2000), part(64), part(256), 5)), batch: sequences(part(32)) }),
    },
    {
      name: 'ViT, 8 rows',
      make: () => {
        const body = { classes: 10, imageSize: part(112), patchSize: part(16), width: part(256) }
        return {
          trainer: trained(vit({ ...body, layers: scale > 1 ? 2 : 6, heads: 4, dropout: 0.1 })),
          batch: [randn([8, 3, part(112), part(112)]), ids([8], 10)],
        }
      },
    },
    {
      name: 'T5, 8 rows, clipped',
      make: () => {
        const blocks = { layers: scale > 1 ? 1 : 3, heads: 4, width: part(256), headDim: part(64), inner: part(1024) }
        const model = new Copier(t5({ ...blocks, vocabSize: part(2000) }))
        return { trainer: trained(model, { clipGradNorm: 1 }), batch: text(8) }
      },
    },
  ]
}

export interface Outcome {
  readonly predicted: MemoryPrediction
  /** memory().peakBytes of steps in the middle of a training. */
  readonly measured: number
  /** The memory that the allocator then had from the system, including scratch memory of kernels. */
  readonly reserved: number
}

/** Frees all garbage: a request that cannot be met makes the device collect before it refuses. */
function collect(): void {
  try {
    zeros([2 ** 50])
  } catch (error) {
    if (!(error instanceof OutOfMemoryError)) throw error
  }
}

export async function compare({ make }: Configuration): Promise<Outcome> {
  collect()
  const { trainer, batch, parts = 1 } = make()
  const predicted = await trainer.predictMemory(batch, { parts })
  const options = { progress: false, ...(parts > 1 ? { memory: predicted.peak } : {}) }
  await trainer.fit([batch, batch], options)
  resetPeakMemory()
  const history = await trainer.fit([batch, batch, batch], options)
  const { peakBytes, reservedBytes } = memory()
  if (parts > 1 && history.memory?.prediction.parts !== parts) throw new Error(`fit chose ${String(history.memory)}`)
  return { predicted, measured: peakBytes, reserved: reservedBytes }
}
