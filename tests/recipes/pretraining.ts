/**
 * A GPT and an LSTM over the characters of a novel, and BERT on speeches, from scratch. They are compared with
 * PyTorch's figures with the same recipe, batches and initial weights (`baselines.json`): first losses, losses and
 * scores of validation, processor time.
 *
 * Usage: npx tsx tests/recipes/pretraining.ts --corpora DIR [--baselines FILE] [--tokenizer FILE]
 *        [--only char-gpt,char-lstm,bert] [--seed 0] [--steps 20]
 * DIR holds moby-dick.txt and sotu/*.txt. By default 20 steps are taken and compared. `--steps all` takes all of them,
 * and compares validation where the recipe does. The exit code is 1 if one of the first losses is off by more than
 * 1e-3, or a loss of validation by more than 2%.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import {
  type Callback,
  fromTypedArray,
  nn,
  noGrad,
  type Objective,
  optim,
  scope,
  type Tensor,
  Trainer,
} from '../../lib/index.js'
import { AutoModel } from '../../lib/models/index.js'
import { evaluateMasked, linearProbe, type MaskedBatch, type MaskedModel, maskedLM } from '../../lib/pretrain/index.js'
import { AutoTokenizer } from '../../lib/text/index.js'
import { randomOf } from '../cases/case.js'

const { crossEntropy, gelu, scaledDotProductAttention } = nn.functional
const shared = (path: string) => fileURLToPath(new URL(`../../../shared/hf/${path}`, import.meta.url))
const { values: args } = parseArgs({
  options: {
    corpora: { type: 'string' },
    baselines: { type: 'string', default: shared('baselines.json') },
    tokenizer: { type: 'string', default: shared('bert-sotu/tokenizer.json') },
    only: { type: 'string', default: 'char-gpt,char-lstm,bert' },
    seed: { type: 'string', default: '0' },
    steps: { type: 'string', default: '20' },
  },
})
if (args.corpora === undefined) throw new Error('needs --corpora DIR')
const corpora = args.corpora
const seed = Number(args.seed)

interface Recipe {
  readonly batch: number
  readonly t: number
  readonly steps: number
  readonly eval_every: number
  readonly lr: number
  readonly min_lr: number
  readonly warmup: number
  readonly betas: readonly [number, number]
  readonly eps: number
  readonly weight_decay: number
  readonly clip_norm: number
}

interface Run {
  readonly first_training_losses: readonly number[]
  readonly cpu_seconds: number
  readonly validation_loss?: { readonly [step: string]: number }
  readonly curve?: { readonly [step: string]: { readonly [score: string]: number } }
  readonly probe_random?: number
  readonly probe_trained?: number
}

const baselines = JSON.parse(readFileSync(args.baselines, 'utf8')) as {
  readonly [part: string]: {
    readonly recipe: Recipe
    readonly run: { readonly seeds: { readonly [seed: string]: Run } }
  }
}

type Random = () => number

const below = (random: Random, limit: number) => Math.floor(random() * limit)

/**
 * Fills tensors with uniform numbers up to a bound on either side, in the order of their names, like PyTorch's side of
 * the comparison.
 */
function initialise(model: nn.Module, random: Random, { hidden, layers }: { hidden?: number; layers?: number }): void {
  const fill = (x: Tensor, bound: number) =>
    x.copy_(
      fromTypedArray(
        Float32Array.from({ length: x.numel }, () => (2 * random() - 1) * bound),
        x.shape,
      ),
    )
  noGrad(() => {
    for (const [name, parameter] of model.namedParameters()) {
      const isResidual = layers !== undefined && /\b(out|down)\.weight$/.test(name)
      if (hidden !== undefined && name.startsWith('lstm')) fill(parameter, hidden ** -0.5)
      else if (parameter.ndim >= 2) fill(parameter, (0.02 * 3 ** 0.5) / (isResidual ? (2 * layers) ** 0.5 : 1))
      else parameter.fill_(/(ln\w*|norm)\.weight$/i.test(name) ? 1 : 0)
    }
  })
}

function decayed(model: nn.Module, decay: number) {
  const parameters = [...new Set(model.parameters())]
  const matrices = (large: boolean) => parameters.filter(({ ndim }) => ndim >= 2 === large)
  return [
    { params: matrices(true), weightDecay: decay },
    { params: matrices(false), weightDecay: 0 },
  ]
}

interface Learned<B> {
  readonly model: nn.Module
  readonly objective: Objective<never, B>
  /** Returns the next batch. */
  next(): B
  /** The factor of the rate at a step. Steps count from 0. */
  factor(step: number): number
  /** The scores that are compared, by name. */
  validate(): Promise<{ readonly [score: string]: number }>
}

/** Takes the steps, prints their results, and returns what is off. */
async function learn<B>(part: string, recipe: Recipe, learned: Learned<B>): Promise<readonly string[]> {
  const reference = baselines[part]?.run.seeds[args.seed as string]
  if (reference === undefined) throw new Error(`${args.baselines} has no run of ${part} with seed ${seed}`)
  const { model, objective, next, factor, validate } = learned
  const steps = args.steps === 'all' ? recipe.steps : Number(args.steps)
  const optimizer = new optim.AdamW(decayed(model, recipe.weight_decay), {
    lr: recipe.lr,
    betas: recipe.betas,
    eps: recipe.eps,
  })
  const losses: Promise<number>[] = []
  const faults: string[] = []
  let [taken, measuring] = [0, 0]
  const score = async (step: number) => {
    const before = process.cpuUsage()
    const scores = await validate()
    const { user, system } = process.cpuUsage(before)
    measuring += (user + system) / 1e6
    const wanted = reference.curve?.[step] ?? { loss: reference.validation_loss?.[step] }
    for (const [name, value] of Object.entries(scores)) {
      const other = wanted[name as keyof typeof wanted] as number | undefined
      console.log(
        `${part} step ${step} ${name} ${value.toFixed(5)}${other === undefined ? '' : `, PyTorch ${other.toFixed(5)}`}`,
      )
      if (/loss$/.test(name) && other !== undefined && Math.abs(value / other - 1) > 0.02)
        faults.push(`${part}: ${name} after ${step} steps is ${value}, but PyTorch's ${other}`)
    }
  }
  const watch: Callback = {
    async onStep(step) {
      if (losses.length < 20) losses.push(step.loss())
      if (++taken % recipe.eval_every === 0) await score(taken)
    },
  }
  const trainer = new Trainer(model, {
    optimizer,
    objective: objective as Objective<nn.Module, B>,
    schedule: new optim.LambdaLR(optimizer, factor),
    clipGradNorm: recipe.clip_norm,
    callbacks: [watch],
  })
  await score(0)
  const [start, before] = [process.cpuUsage(), measuring]
  const batches = function* () {
    for (;;) yield next()
  }
  await trainer.fit(batches, { steps, progress: false })
  const { user, system } = process.cpuUsage(start)
  const seconds = (user + system) / 1e6 - (measuring - before)
  let worst = 0
  for (const [step, loss] of (await Promise.all(losses)).entries()) {
    const wanted = reference.first_training_losses[step] as number
    const off = Math.abs(loss / wanted - 1)
    worst = Math.max(worst, off)
    if (off > 1e-3) faults.push(`${part}: the loss of step ${step + 1} is ${loss}, but PyTorch's ${wanted}`)
  }
  console.log(`${part} the first ${losses.length} losses are off by ${worst.toExponential(1)} at most`)
  const torch = (reference.cpu_seconds / recipe.steps) * steps
  console.log(
    `${part} ${steps} steps took ${seconds.toFixed(1)} processor seconds, PyTorch ${torch.toFixed(1)} on its machine`,
  )
  return faults
}

class Block extends nn.Module {
  readonly ln1: nn.LayerNorm
  readonly qkv: nn.Linear
  readonly out: nn.Linear
  readonly ln2: nn.LayerNorm
  readonly up: nn.Linear
  readonly down: nn.Linear
  readonly #heads: number

  constructor(width: number, heads: number) {
    super()
    this.ln1 = new nn.LayerNorm(width)
    this.qkv = new nn.Linear(width, 3 * width)
    this.out = new nn.Linear(width, width)
    this.ln2 = new nn.LayerNorm(width)
    this.up = new nn.Linear(width, 4 * width)
    this.down = new nn.Linear(4 * width, width)
    this.#heads = heads
  }

  forward(x: Tensor): Tensor {
    const [b, t, d] = x.shape as readonly [number, number, number]
    const [q, k, v] = this.qkv
      .forward(this.ln1.forward(x))
      .reshape([b, t, 3, this.#heads, d / this.#heads])
      .permute([2, 0, 3, 1, 4])
      .unbind(0) as unknown as [Tensor, Tensor, Tensor]
    const seen = scaledDotProductAttention(q, k, v, { isCausal: true }).transpose(1, 2).reshape([b, t, d])
    const y = x.add(this.out.forward(seen)) as Tensor
    return y.add(this.down.forward(gelu(this.up.forward(this.ln2.forward(y))))) as Tensor
  }
}

class CharGpt extends nn.Module {
  readonly token: nn.Embedding
  readonly position: nn.Embedding
  readonly blocks: Block[]
  readonly ln: nn.LayerNorm
  readonly head: nn.Linear

  constructor(characters: number, context: number) {
    super()
    this.token = new nn.Embedding(characters, 128)
    this.position = new nn.Embedding(context, 128)
    this.blocks = Array.from({ length: 4 }, () => new Block(128, 4))
    this.ln = new nn.LayerNorm(128)
    this.head = new nn.Linear(128, characters, { bias: false })
  }

  forward(ids: Tensor): Tensor {
    const positions = this.position.weight.narrow(0, 0, ids.shape[1] as number)
    let x = this.token.forward(ids).add(positions) as Tensor
    for (const block of this.blocks) x = block.forward(x)
    return this.head.forward(this.ln.forward(x))
  }
}

class CharLstm extends nn.Module {
  readonly token: nn.Embedding
  readonly lstm: nn.LSTM
  readonly head: nn.Linear

  constructor(characters: number) {
    super()
    this.token = new nn.Embedding(characters, 128)
    this.lstm = new nn.LSTM(128, 256, { numLayers: 2, batchFirst: true })
    this.head = new nn.Linear(256, characters)
  }

  forward(ids: Tensor): Tensor {
    return this.head.forward(this.lstm.forward(this.token.forward(ids)).output)
  }
}

type Characters = readonly [inputs: Tensor, targets: Tensor]

async function characters(part: 'char-gpt' | 'char-lstm'): Promise<readonly string[]> {
  const { recipe } = baselines[part] as { readonly recipe: Recipe }
  const { batch, t, warmup, steps, lr, min_lr } = recipe
  const text = [...readFileSync(join(corpora, 'moby-dick.txt'), 'utf8')]
  const alphabet = [...new Set(text)].sort((a, b) => (a.codePointAt(0) as number) - (b.codePointAt(0) as number))
  const index = new Map(alphabet.map((character, i) => [character, i]))
  const data = Int32Array.from(text, (character) => index.get(character) as number)
  const cut = Math.floor(0.9 * data.length)
  const [train, held] = [data.subarray(0, cut), data.subarray(cut)]
  const model = part === 'char-gpt' ? new CharGpt(alphabet.length, t) : new CharLstm(alphabet.length)
  initialise(model, randomOf(1000 * seed), part === 'char-gpt' ? { layers: 4 } : { hidden: 256 })
  const windows = (from: Int32Array, offsets: readonly number[]): Characters => {
    const rows = (shift: number) => {
      const all = new Int32Array(offsets.length * t)
      for (const [i, offset] of offsets.entries()) all.set(from.subarray(offset + shift, offset + shift + t), i * t)
      return fromTypedArray(all, [offsets.length, t])
    }
    return [rows(0), rows(1)]
  }
  const lossOf = (net: nn.Module, [inputs, targets]: Characters) =>
    crossEntropy((net as CharGpt).forward(inputs).reshape([-1, alphabet.length]), targets.reshape([-1]), {
      reduction: 'sum',
    })
  const random = randomOf(1000 * seed + 1)
  const starts = Array.from({ length: Math.ceil((held.length - t) / t) }, (_, i) => i * t).slice(0, 400)
  const faults = await learn<Characters>(part, recipe, {
    model,
    objective: { loss: (net, rows) => ({ total: lossOf(net, rows), count: rows[1].numel }) },
    next: () =>
      windows(
        train,
        Array.from({ length: batch }, () => below(random, train.length - t - 1)),
      ),
    factor: (step) =>
      step < warmup
        ? (step + 1) / warmup
        : (min_lr + 0.5 * (lr - min_lr) * (1 + Math.cos((Math.PI * (step - warmup)) / (steps - warmup)))) / lr,
    async validate() {
      let total = 0
      for (let i = 0; i < starts.length; i += 50)
        total += scope(() => noGrad(() => lossOf(model, windows(held, starts.slice(i, i + 50))).item()))
      return { loss: total / (starts.length * t) }
    },
  })
  if (args.steps === 'all') console.log(`${part} sample:\n${sampleOf(model, alphabet, t)}`)
  return faults
}

/** 300 characters behind a T, drawn at temperature 0.8 with the random numbers of PyTorch's sample. */
function sampleOf(model: CharGpt | CharLstm, alphabet: readonly string[], context: number): string {
  const random = randomOf(5)
  const ids = [alphabet.indexOf('T')]
  while (ids.length <= 300) {
    const odds = scope(() =>
      noGrad(() => {
        const seen = Int32Array.from(ids.slice(-context))
        const scores = model
          .forward(fromTypedArray(seen, [1, seen.length]))
          .select(1, -1)
          .div(0.8) as Tensor
        return scores.softmax(-1).dataSync()
      }),
    )
    let [next, rest] = [0, random()]
    for (; next + 1 < odds.length && rest > (odds[next] as number); next++) rest -= odds[next] as number
    ids.push(next)
  }
  return ids.map((id) => alphabet[id]).join('')
}

/** Splits addresses into sentences, behind . ? and ! before a capital. */
const sentencesOf = (text: string) =>
  text
    .replace(/\s+/g, ' ')
    .trim()
    .split(/(?<=[.?!]) (?=[A-Z])/)
    .filter((sentence) => sentence.length >= 4)

type Sentences = readonly (readonly number[])[]

/** Draws batches of pairs with the same random numbers as PyTorch's side, one after another. */
function pairsOf(documents: readonly Sentences[], tokens: number, vocabulary: number) {
  const sentences = documents.flat()
  let base = 0
  const starts = documents.flatMap((document) => {
    base += document.length
    return document.slice(0, -1).map((_, i) => base - document.length + i)
  })
  return (random: Random, rows: number): MaskedBatch => {
    const [ids, types, mask] = [0, 0, 0].map(() => new Int32Array(rows * tokens)) as [
      Int32Array,
      Int32Array,
      Int32Array,
    ]
    const labels = new Int32Array(rows * tokens).fill(-100)
    const follows = new Int32Array(rows)
    for (let row = 0; row < rows; row++) {
      const place = starts[below(random, starts.length)] as number
      follows[row] = random() < 0.5 ? 1 : 0
      const first = sentences[place] as readonly number[]
      const second = sentences[follows[row] === 1 ? below(random, sentences.length) : place + 1] as readonly number[]
      for (const [k, token] of [2, ...first, 3, ...second, 3].entries()) {
        const at = row * tokens + k
        ids[at] = token
        mask[at] = 1
        types[at] = k > first.length + 1 ? 1 : 0
        if (token === 2 || token === 3 || random() >= 0.15) continue
        labels[at] = token
        const share = random()
        if (share < 0.8) ids[at] = 4
        else if (share < 0.9) ids[at] = below(random, vocabulary)
      }
    }
    const shaped = (values: Int32Array) => fromTypedArray(values, [rows, tokens])
    return {
      ...{ ids: shaped(ids), labels: shaped(labels), attentionMask: shaped(mask), tokenTypeIds: shaped(types) },
      nextSentenceLabels: fromTypedArray(follows, [rows]),
    }
  }
}

async function bert(): Promise<readonly string[]> {
  const part = 'bert'
  const { recipe } = baselines[part] as unknown as {
    readonly recipe: Recipe & {
      readonly [size in 'vocab' | 'sentence_tokens' | 'tokens' | 'd' | 'heads' | 'layers' | 'hidden']: number
    }
  }
  const { vocab, tokens, batch, warmup, steps } = recipe
  const tokenizer = await AutoTokenizer.load(args.tokenizer)
  const names = readdirSync(join(corpora, 'sotu'))
    .filter((name) => name.endsWith('.txt'))
    .sort()
  const encoded = names.map((name) =>
    sentencesOf(readFileSync(join(corpora, 'sotu', name), 'utf8')).map((text) =>
      tokenizer.encode(text, { specialTokens: false }).ids.slice(0, recipe.sentence_tokens),
    ),
  )
  const [train, held] = [encoded.filter((_, i) => i % 10 !== 9), encoded.filter((_, i) => i % 10 === 9)]
  const model = await AutoModel.forPreTraining({
    ...{ model_type: 'bert', vocab_size: vocab, hidden_size: recipe.d, num_hidden_layers: recipe.layers },
    ...{ num_attention_heads: recipe.heads, intermediate_size: recipe.hidden, max_position_embeddings: tokens },
    ...{ hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 },
  })
  initialise(model, randomOf(1000 * seed), {})
  const training = pairsOf(train, tokens, vocab)
  const validation = Array.from({ length: 10 }, (_, i) => pairsOf(held, tokens, vocab)(randomOf(999 + i), 50))
  const random = randomOf(1000 * seed + 1)
  const masked = model as nn.Module as MaskedModel
  const probe = async (when: string, reference: number | undefined) => {
    const accuracy = await eraProbe(model.body as never, names, encoded)
    console.log(`${part} probe of ${when} weights ${accuracy.toFixed(4)}, PyTorch ${reference?.toFixed(4)}`)
  }
  const reference = baselines[part]?.run.seeds[args.seed as string]
  if (args.steps === 'all') await probe('random', reference?.probe_random)
  const faults = await learn<MaskedBatch>(part, recipe, {
    model,
    objective: maskedLM() as Objective<never, MaskedBatch>,
    next: () => training(random, batch),
    factor: (step) => (step < warmup ? (step + 1) / warmup : (steps - step) / (steps - warmup)),
    async validate() {
      const { loss, accuracy, nextSentenceAccuracy = Number.NaN } = await evaluateMasked(masked, validation)
      return { mlm_loss: loss, mlm_accuracy: accuracy, nsp_accuracy: nextSentenceAccuracy }
    },
  })
  if (args.steps === 'all') await probe('trained', reference?.probe_trained)
  return faults
}

/** Finds the era of a sentence by logistic regression on the mean of its states. */
async function eraProbe(
  body: { forward(ids: Tensor, inputs: { attentionMask: Tensor }): Tensor },
  names: readonly string[],
  encoded: readonly Sentences[],
): Promise<number> {
  const eraOf = (name: string) => (Number(name.slice(0, 4)) < 1865 ? 0 : Number(name.slice(0, 4)) < 1945 ? 1 : 2)
  const part = async (isHeld: boolean) => {
    const rows = encoded.flatMap((document, i) =>
      (i % 10 === 9) === isHeld
        ? document
            .filter((sentence, s) => s % 4 === 1 && sentence.length >= 8)
            .map((ids) => ({ ids, era: eraOf(names[i] as string) }))
        : [],
    )
    const features: number[] = []
    let width = 0
    for (let from = 0; from < rows.length; from += 64) {
      const some = rows.slice(from, from + 64).map(({ ids }) => [2, ...ids, 3])
      const length = Math.max(...some.map((ids) => ids.length))
      const padded = (valuesOf: (ids: number[]) => number[]) =>
        fromTypedArray(
          Int32Array.from(some.flatMap((ids) => [...valuesOf(ids), ...new Array(length - ids.length).fill(0)])),
          [some.length, length],
        )
      scope(() =>
        noGrad(() => {
          const mask = padded((ids) => ids.map(() => 1))
          const states = body.forward(
            padded((ids) => ids),
            { attentionMask: mask },
          )
          const weights = mask.to('float32').unsqueeze(2)
          const means = states.mul(weights).sum(1).div(weights.sum(1)) as Tensor
          width = means.shape[1] as number
          features.push(...means.dataSync())
        }),
      )
    }
    return {
      features: fromTypedArray(Float32Array.from(features), [rows.length, width]),
      labels: rows.map(({ era }) => era),
    }
  }
  return (await linearProbe(await part(false), await part(true))).accuracy
}

const faults: string[] = []
for (const part of (args.only as string).split(',')) {
  if (part === 'char-gpt' || part === 'char-lstm') faults.push(...(await characters(part)))
  else if (part === 'bert') faults.push(...(await bert()))
  else throw new Error(`there is no part ${part}; there are char-gpt, char-lstm and bert`)
}
for (const fault of faults) console.error(fault)
if (faults.length > 0) process.exitCode = 1
