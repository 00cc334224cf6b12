/**
 * Pre-trains a small GPT on a text with the Trainer, and lets it continue the text.
 *
 * Shows: your own transformer with a tied head, windows of a text as a dataset, your own metric, a callback, a schedule
 * with a warm-up, parameter groups, gradient clipping, bfloat16, and saving and resuming from a file.
 * Usage: npx tsx examples/tiny-gpt.ts [--text FILE] [--epochs 4] [--length 200] [--precision bfloat16] [--from FILE]
 *        [--save FILE]
 */
import { parseArgs } from 'node:util'
import {
  arange,
  DataLoader,
  FunctionDataset,
  fromTypedArray,
  manualSeed,
  nn,
  noGrad,
  optim,
  rand,
  scope,
  type Tensor,
  Trainer,
} from 'firesteel'
import { draw, readText, vocabularyOf } from './text.js'

const { values: options } = parseArgs({
  options: {
    text: { type: 'string' },
    epochs: { type: 'string', default: '4' },
    length: { type: 'string', default: '200' },
    precision: { type: 'string', default: 'float32' },
    from: { type: 'string' },
    save: { type: 'string' },
  },
})
const [context, width, heads, depth] = [64, 96, 4, 3]

/** Pre-norm: attention and a feed-forward network, each added to its input. */
class Block extends nn.Module {
  readonly norm1 = new nn.LayerNorm(width)
  readonly attention = new nn.MultiheadAttention(width, heads)
  readonly norm2 = new nn.LayerNorm(width)
  readonly up = new nn.Linear(width, 4 * width)
  readonly down = new nn.Linear(4 * width, width)

  forward(x: Tensor): Tensor {
    const y = this.norm1.forward(x)
    const attended = x.add(this.attention.forward(y, y, y, { isCausal: true }))
    const fed = this.down.forward(nn.functional.gelu(this.up.forward(this.norm2.forward(attended))))
    return attended.add(fed)
  }
}

/** Ids [B, T] to the logits of the next ones [B, T, vocabulary]. */
class GPT extends nn.Module {
  readonly tokens: nn.Embedding
  readonly positions = new nn.Embedding(context, width)
  readonly blocks = new nn.ModuleList(Array.from({ length: depth }, () => new Block()))
  readonly norm = new nn.LayerNorm(width)

  constructor(vocabulary: number) {
    super()
    this.tokens = new nn.Embedding(vocabulary, width)
    nn.init.normal_(this.tokens.weight, 0, 0.02)
    nn.init.normal_(this.positions.weight, 0, 0.02)
  }

  forward(ids: Tensor): Tensor {
    const [, length = 0] = ids.shape
    let x = this.tokens.forward(ids).add(this.positions.forward(arange(length)))
    for (const block of this.blocks) x = block.forward(x)
    // The head is the embedding's own table, so one parameter has two places.
    return nn.functional.linear(this.norm.forward(x), this.tokens.weight)
  }
}

manualSeed(0)
const text = readText(options.text)
const vocabulary = vocabularyOf(text)
const ids = vocabulary.encode(text)

/**
 * Windows of a part of the text, one for every `every` characters: `context` characters, and the same shifted by one.
 */
function windows(part: Int32Array, every: number) {
  type Window = { readonly input: Int32Array; readonly target: Int32Array }
  return new FunctionDataset<Window, readonly [Tensor, Tensor]>(
    Math.max(0, Math.ceil((part.length - context) / every)),
    (i) => ({
      input: part.subarray(i * every, i * every + context),
      target: part.subarray(i * every + 1, i * every + context + 1),
    }),
    (items) => {
      const stack = (of: keyof Window) =>
        fromTypedArray(Int32Array.from(items.flatMap((item) => [...item[of]])), [items.length, context])
      return [stack('input'), stack('target')]
    },
  )
}

const split = Math.floor(ids.length * 0.9)
const train = new DataLoader(windows(ids.subarray(0, split), context / 8), { batchSize: 16, shuffle: true })
const validation = new DataLoader(windows(ids.subarray(split), context), { batchSize: 32 })

const model = new GPT(vocabulary.size)
if (options.from !== undefined) await model.load(options.from)
const parameters = [...model.parameters()]
const optimizer = new optim.AdamW(
  [
    { params: parameters.filter((p) => p.ndim > 1), weightDecay: 0.1 },
    { params: parameters.filter((p) => p.ndim <= 1), weightDecay: 0 },
  ],
  { lr: 3e-3, betas: [0.9, 0.95] },
)
const epochs = Number(options.epochs)
const trainer = new Trainer(model, {
  optimizer,
  loss: (logits, target) => nn.functional.crossEntropy(logits.reshape([-1, vocabulary.size]), target.reshape([-1])),
  schedule: new optim.WarmupCosineLR(optimizer, { warmupSteps: 20, totalSteps: Math.max(21, epochs * train.length) }),
  clipGradNorm: 1,
  precision: options.precision === 'bfloat16' ? 'bfloat16' : 'float32',
  callbacks: [
    {
      onEpochEnd: ({ epoch, loss, validation: seen, seconds }) =>
        console.log(
          `epoch ${epoch + 1}: loss ${loss.toFixed(3)}, perplexity of unseen text ${Math.exp(seen?.loss ?? Number.NaN).toFixed(2)}, ${seconds.toFixed(1)} s`,
        ),
    },
  ],
})
console.log(`${ids.length} characters, ${parameters.reduce((n, p) => n + p.numel, 0)} parameters`)
await trainer.fit(train, { epochs, validation })
if (options.save !== undefined) await model.save(options.save)

model.eval()
let written = '## '
for (let i = 0; i < Number(options.length); i++) {
  const seen = vocabulary.encode(written).slice(-context)
  const logits = scope(() =>
    noGrad(() => {
      const all = model.forward(fromTypedArray(seen, [1, seen.length]))
      return all.select(1, -1).dataSync()
    }),
  )
  written += vocabulary.decode([draw(logits, 0.6, () => rand([1]).item())])
}
console.log(`\n${written}`)
