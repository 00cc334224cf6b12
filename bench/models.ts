/** The models of the training workloads, built from the library's layers as a user would. */
import { arange, nn, type Tensor } from 'firesteel'

const { gelu, scaledDotProductAttention } = nn.functional

export interface GptSizes {
  readonly vocab: number
  /** The number of positions. */
  readonly t: number
  readonly d: number
  readonly heads: number
  readonly layers: number
}

/** A pre-norm transformer decoder block of GPT-2's shape: [b, t, d] -> [b, t, d]. */
class Block extends nn.Module {
  readonly ln1: nn.LayerNorm
  readonly ln2: nn.LayerNorm
  readonly qkv: nn.Linear
  readonly proj: nn.Linear
  readonly fc: nn.Linear
  readonly out: nn.Linear
  readonly heads: number

  constructor(d: number, heads: number, options: nn.LayerOptions) {
    super()
    this.ln1 = new nn.LayerNorm(d, options)
    this.ln2 = new nn.LayerNorm(d, options)
    this.qkv = new nn.Linear(d, 3 * d, options)
    this.proj = new nn.Linear(d, d, options)
    this.fc = new nn.Linear(d, 4 * d, options)
    this.out = new nn.Linear(4 * d, d, options)
    this.heads = heads
  }

  forward(x: Tensor): Tensor {
    const [b, t, d] = [x.size(0), x.size(1), x.size(2)]
    const [q, k, v] = this.qkv.forward(this.ln1.forward(x)).split([d, d, d], 2)
    const heads = (z: Tensor) => z.view([b, t, this.heads, d / this.heads]).transpose(1, 2)
    const y = scaledDotProductAttention(heads(q), heads(k), heads(v), { isCausal: true })
    const attended = x.add(this.proj.forward(y.transpose(1, 2).reshape([b, t, d])))
    const hidden = gelu(this.fc.forward(this.ln2.forward(attended)), { approximate: 'tanh' })
    return attended.add(this.out.forward(hidden))
  }
}

/** Logits [b, t, vocab] of ids [b, t]. The head shares the embedding's weight. */
export class Gpt extends nn.Module {
  readonly wte: nn.Embedding
  readonly wpe: nn.Embedding
  readonly blocks: nn.ModuleList<Block>
  readonly ln: nn.LayerNorm
  readonly head: nn.Linear

  constructor({ vocab, t, d, heads, layers }: GptSizes, options: nn.LayerOptions) {
    super()
    this.wte = new nn.Embedding(vocab, d, options)
    this.wpe = new nn.Embedding(t, d, options)
    this.blocks = new nn.ModuleList(Array.from({ length: layers }, () => new Block(d, heads, options)))
    this.ln = new nn.LayerNorm(d, options)
    this.head = new nn.Linear(d, vocab, { ...options, bias: false })
    this.head.weight = this.wte.weight
  }

  forward(ids: Tensor): Tensor {
    const positions = arange(ids.size(1), undefined, 1, { device: ids.device })
    let x: Tensor = this.wte.forward(ids).add(this.wpe.forward(positions))
    for (const block of this.blocks) x = block.forward(x)
    return this.head.forward(this.ln.forward(x))
  }
}

/** Embedding, LSTM, and a linear head on the last step: logits [b, classes] of ids [t, b]. */
export class Tagger extends nn.Module {
  readonly embedding: nn.Embedding
  readonly lstm: nn.LSTM
  readonly head: nn.Linear

  constructor(vocab: number, embed: number, hidden: number, classes: number, options: nn.LayerOptions) {
    super()
    this.embedding = new nn.Embedding(vocab, embed, options)
    this.lstm = new nn.LSTM(embed, hidden, options)
    this.head = new nn.Linear(hidden, classes, options)
  }

  forward(ids: Tensor): Tensor {
    return this.head.forward(this.lstm.forward(this.embedding.forward(ids)).output.select(0, -1))
  }
}

/** 784 -> 512 -> 256 -> 10 */
export function mlp(options: nn.LayerOptions): nn.Model {
  return new nn.Sequential(
    new nn.Linear(784, 512, options),
    new nn.ReLU(),
    new nn.Linear(512, 256, options),
    new nn.ReLU(),
    new nn.Linear(256, 10, options),
  )
}

/** Logits [b, 10] of images [b, 1, 28, 28]. */
export function cnn(options: nn.LayerOptions): nn.Model {
  return new nn.Sequential(
    new nn.Conv2d(1, 32, 3, { padding: 1, ...options }),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Conv2d(32, 64, 3, { padding: 1, ...options }),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new nn.Linear(3136, 128, options),
    new nn.ReLU(),
    new nn.Linear(128, 10, options),
  )
}
