/**
 * MiniLM fine-tuned on movie-review sentences by each strategy, compared with PyTorch's figures with the same recipe,
 * order and initial weights (`baselines.json`): first losses, accuracy, memory and time. Each strategy runs in its own
 * process, so that its peak memory is its own.
 *
 * Usage: npx tsx tests/recipes/sentiment.ts --minilm DIR --corpora DIR [--baselines FILE] [--only full,lora]
 *        [--seeds 0,1,2] [--steps 20]
 * DIR are the folder of a Hugging Face model, and the folder with `sentiment/movieReviewSnippets_GroundTruth.txt`. By
 * default 20 steps are taken and compared. `--steps all` takes all 116 and also measures the test set. The exit code is
 * 1 if a loss is off by more than 1e-3.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import {
  applyLora,
  bitfit,
  countParameters,
  freeze,
  type LoraAdapter,
  layerwiseGroups,
  parameterGroups,
  probe,
  type Selection,
  unfreeze,
  unfreezeGradually,
} from '../../lib/finetune/index.js'
import {
  type Callback,
  fromTypedArray,
  memory,
  nn,
  noGrad,
  normalize,
  optim,
  resetPeakMemory,
  scope,
  type Tensor,
  Trainer,
} from '../../lib/index.js'
import { AutoModel, type EncoderBody } from '../../lib/models/index.js'
import { AutoTokenizer } from '../../lib/text/index.js'
import { randomOf } from '../cases/case.js'

const { crossEntropy } = nn.functional
const { values: args } = parseArgs({
  options: {
    minilm: { type: 'string' },
    corpora: { type: 'string' },
    baselines: {
      type: 'string',
      default: fileURLToPath(new URL('../../../shared/hf/baselines.json', import.meta.url)),
    },
    only: { type: 'string', default: 'probe,full,gradual,lora,bitfit,top' },
    seeds: { type: 'string', default: '0' },
    steps: { type: 'string', default: '20' },
    json: { type: 'boolean', default: false },
  },
})
if (args.minilm === undefined || args.corpora === undefined) throw new Error('needs --minilm DIR and --corpora DIR')
const folders = { minilm: args.minilm, corpora: args.corpora }

/** The fields that `baselines.json` has for a run. */
interface Baseline {
  readonly accuracy: number
  readonly objective?: number
  readonly trainable_parameters: number
  readonly cpu_seconds: number
  readonly peak_mb: number
  readonly peak_mb_before: number
  readonly losses?: readonly number[]
  readonly losses_at?: readonly number[]
}

interface Recipe {
  readonly batch: number
  readonly max_tokens: number
  readonly epochs: number
  readonly betas: readonly [number, number]
  readonly eps: number
  readonly weight_decay: number
  readonly clip_norm: number
  readonly head_lr: number
}

const { recipe, runs } = JSON.parse(readFileSync(args.baselines, 'utf8')).sentiment as {
  readonly recipe: Recipe
  readonly runs: { readonly [strategy: string]: { readonly seeds: { readonly [seed: string]: Baseline } } }
}

interface Row {
  readonly ids: readonly number[]
  readonly label: number
}

interface Rows {
  readonly train: readonly Row[]
  readonly test: readonly Row[]
}

async function readRows(): Promise<Rows> {
  const path = join(folders.corpora, 'sentiment', 'movieReviewSnippets_GroundTruth.txt')
  const kept = readFileSync(path, 'utf8')
    .split('\n')
    .map((line) => line.replace(/^\r+|\r+$/g, '').split('\t'))
    .filter((cells) => cells.length === 3 && Math.abs(Number(cells[1])) >= 1)
  const tokenizer = await AutoTokenizer.load(folders.minilm)
  const encoded = tokenizer.encodeBatch(
    kept.map((cells) => cells[2] as string),
    { maxLength: recipe.max_tokens },
  )
  const rows = kept.map(([, rating], i) => ({ ids: encoded[i]?.ids as number[], label: Number(Number(rating) > 0) }))
  return { train: rows.filter((_, i) => i % 10 === 3 || i % 10 === 8), test: rows.filter((_, i) => i % 5 === 0) }
}

/** An order drawn by mulberry32: for i from n - 1 down to 1, swap i with floor(u * (i + 1)). */
function orderOf(n: number, seed: number): number[] {
  const random = randomOf(seed)
  const order = Array.from({ length: n }, (_, i) => i)
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[order[i], order[j]] = [order[j] as number, order[i] as number]
  }
  return order
}

interface Texts {
  readonly ids: Tensor
  readonly mask: Tensor
  readonly labels: Tensor
}

/** Rows in the given order, padded with 0 to the longest of the batch. */
function* batchesOf(rows: readonly Row[], order: readonly number[], size: number): Generator<Texts> {
  for (let start = 0; start < order.length; start += size) {
    const chosen = order.slice(start, start + size).map((i) => rows[i] as Row)
    const width = Math.max(...chosen.map(({ ids }) => ids.length))
    const shape = [chosen.length, width]
    const filled = (value: (ids: readonly number[], column: number) => number) =>
      Int32Array.from({ length: chosen.length * width }, (_, i) =>
        value((chosen[Math.floor(i / width)] as Row).ids, i % width),
      )
    const [ids, mask] = [filled((row, i) => row[i] ?? 0), filled((row, i) => Number(i < row.length))]
    const labels = Int32Array.from(chosen, ({ label }) => label)
    const batch = {
      ids: fromTypedArray(ids, shape),
      mask: fromTypedArray(mask, shape),
      labels: fromTypedArray(labels, [chosen.length]),
    }
    yield batch
    for (const tensor of Object.values(batch)) tensor.dispose()
  }
}

/** The mean of the last hidden states where the mask is 1, followed by a linear layer that starts at zero. */
class SentenceClassifier extends nn.Module {
  readonly encoder: EncoderBody
  readonly head: nn.Linear
  constructor(encoder: EncoderBody) {
    super()
    this.encoder = encoder
    this.head = new nn.Linear(384, 2)
    noGrad(() => [this.head.weight.fill_(0), this.head.bias?.fill_(0)])
    // There is no dropout in training, as in the baseline. The pooler is not used.
    encoder.eval()
    Object.assign(encoder, { pooler: null })
  }
  blocks(): nn.Module[] {
    return this.encoder.blocks()
  }
  embed({ ids, mask }: Texts): Tensor {
    const states = this.encoder.forward(ids, { attentionMask: mask })
    const weight = mask.to('float32').unsqueeze(-1) as Tensor
    return states.mul(weight).sum(1).div(weight.sum(1)) as Tensor
  }
  forward(texts: Texts): Tensor {
    return this.head.forward(this.embed(texts) as never) as Tensor
  }
}

type Groups = readonly { readonly params: nn.ParameterView; readonly lr: number; readonly weightDecay?: number }[]

interface Strategy {
  readonly groups: Groups
  readonly rate: optim.Rate
  readonly callbacks?: readonly Callback[]
}

/** Rises to 1 over the first tenth of the steps, then falls to 0 at the end. */
function linearWarmup(total: number): optim.Rate {
  const warm = Math.max(1, Math.round(total * 0.1))
  return (base, step) => base * (step < warm ? (step + 1) / warm : (total - step) / Math.max(1, total - warm))
}

const strategies: { readonly [name: string]: (model: SentenceClassifier, total: number, seed: number) => Strategy } = {
  full: (model, total) => ({ groups: wholeGroups(model), rate: linearWarmup(total) }),
  top(model, total) {
    freeze(model)
    unfreeze(model, { last: 2 })
    return { groups: wholeGroups(model), rate: linearWarmup(total) }
  },
  bitfit(model, total) {
    bitfit(model, { head: 'head' })
    const groups = parameterGroups(model, { weightDecay: recipe.weight_decay })
    return { groups: groups.map((group) => ({ ...group, lr: 1e-3 })), rate: linearWarmup(total) }
  },
  lora(model, total, seed) {
    freeze(model)
    applyLora(model, { rank: 8, alpha: 16, targetModules: ['query', 'value'] })
    unfreeze(model, 'head')
    const random = randomOf(seed * 7919 + 17)
    for (const layer of model.modules()) {
      const adapter = nn.isAdaptable(layer) ? (layer.adapters.get('default') as LoraAdapter | undefined) : undefined
      const a = (adapter as { readonly loraA?: { readonly weight: Tensor } } | undefined)?.loraA?.weight
      if (a === undefined) continue
      const values = Float32Array.from({ length: a.numel }, () => (2 * random() - 1) * 384 ** -0.5)
      noGrad(() => scope(() => void a.copy_(fromTypedArray(values, a.shape))))
    }
    const adapters = { ...model.encoder.parameters(), named: () => model.encoder.namedParameters() }
    return {
      groups: [
        { params: adapters, lr: 2e-3, weightDecay: 0 },
        ...parameterGroups(model.head, { weightDecay: recipe.weight_decay }).map((group) => ({
          ...group,
          lr: recipe.head_lr,
        })),
      ],
      rate: linearWarmup(total),
    }
  },
  gradual(model, total) {
    const layers = (numbers: readonly number[]) => numbers.map((i) => `encoder.encoder.layer.${i}`)
    const stages: Selection[] = ['head', layers([4, 5]), layers([2, 3]), [...layers([0, 1]), 'encoder.embeddings']]
    const blocks = model.blocks()
    const part = (lr: number, ...modules: readonly nn.Module[]) =>
      parameterGroups(new nn.ModuleList(modules), { weightDecay: recipe.weight_decay }).map((group) => ({
        ...group,
        lr,
      }))
    const between = (from: number, to: number) => blocks.slice(from, to)
    const { embeddings } = model.encoder as EncoderBody & { readonly embeddings: nn.Module }
    return {
      groups: [
        ...part(recipe.head_lr, model.head),
        ...part(2e-4, ...between(4, 6)),
        ...part(1e-4, ...between(2, 4)),
        ...part(5e-5, ...between(0, 2), embeddings),
      ],
      rate: optim.rates.slantedTriangular({ totalSteps: total }),
      callbacks: [unfreezeGradually(model, { everySteps: total / stages.length, groups: stages })],
    }
  },
}

function wholeGroups(model: SentenceClassifier): Groups {
  return layerwiseGroups(model, { lr: 5e-5, decay: 1, head: recipe.head_lr, weightDecay: recipe.weight_decay })
}

interface Outcome {
  readonly losses: readonly number[]
  readonly trainable: number
  readonly accuracy: number | null
  readonly cpuSeconds: number
  /** Peak memory beyond that of the loaded model: of all tensors, and of the process. */
  readonly peakTensors: number
  readonly peakProcess: number
}

const cpuSeconds = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}
const processPeak = () => process.resourceUsage().maxRSS / 1024

function accuracyOf(model: (texts: Texts) => Tensor, rows: readonly Row[]): number {
  const order = rows.map((_, i) => i).sort((a, b) => (rows[a]?.ids.length ?? 0) - (rows[b]?.ids.length ?? 0) || a - b)
  let right = 0
  for (const texts of batchesOf(rows, order, 64))
    right += scope(() => noGrad(() => model(texts).argmax(-1).eq(texts.labels).to('float32').sum().item()))
  return right / rows.length
}

async function finetuned(name: string, seed: number, steps: number): Promise<Outcome> {
  const { train, test } = await readRows()
  const model = new SentenceClassifier(await AutoModel.forEmbedding(folders.minilm))
  const total = Math.ceil(train.length / recipe.batch) * recipe.epochs
  const [cpu, before, processBefore] = [cpuSeconds(), memory().bytes, processPeak()]
  resetPeakMemory()
  const { groups, rate, callbacks = [] } = (strategies[name] as (typeof strategies)[string])(model, total, seed)
  const optimizer = new optim.AdamW(groups, { betas: [...recipe.betas], eps: recipe.eps })
  const losses: Promise<number>[] = []
  const trainer = new Trainer(model, {
    optimizer,
    step: (texts: Texts) => ({
      total: crossEntropy(model.forward(texts) as never, texts.labels, { reduction: 'sum' }) as Tensor,
      count: texts.labels.numel,
    }),
    schedule: new optim.Schedule(optimizer, rate),
    clipGradNorm: recipe.clip_norm,
    callbacks: [{ onStep: (step) => void losses.push(step.loss()) }, ...callbacks],
  })
  let epoch = 0
  const batches = () => batchesOf(train, orderOf(train.length, seed * 1000 + epoch++), recipe.batch)
  await trainer.fit(batches, { steps: Math.min(steps, total), progress: false })
  const [peakTensors, peakProcess, seconds] = [memory().peakBytes, processPeak(), cpuSeconds() - cpu]
  const { trainable } = countParameters(model)
  return {
    losses: await Promise.all(losses),
    trainable: name === 'gradual' ? countParameters(model).total : trainable,
    accuracy: steps < total ? null : accuracyOf((texts) => model.forward(texts), test),
    cpuSeconds: seconds,
    peakTensors: (peakTensors - before) / 2 ** 20,
    peakProcess: peakProcess - processBefore,
  }
}

/** Logistic regression on features of length 1, to convergence: mean cross entropy + |W|^2 / (20 n). */
async function probed(): Promise<Outcome> {
  const { train, test } = await readRows()
  const model = new SentenceClassifier(await AutoModel.forEmbedding(folders.minilm))
  const [cpu, before, processBefore] = [cpuSeconds(), memory().bytes, processPeak()]
  resetPeakMemory()
  const scores = (texts: Texts) => model.head.forward(normalize(model.embed(texts), { dim: -1 }) as never) as Tensor
  const order = train.map((_, i) => i)
  const { features, targets } = await probe(model, batchesOf(train, order, 64), {
    head: 'head',
    forward: scores,
    target: ({ labels }) => labels,
  })
  const { head } = model
  const steps = 1500
  const optimizer = new optim.Adam(head.parameters(), { lr: 0.3 })
  const schedule = new optim.CosineAnnealingLR(optimizer, { tMax: steps })
  const objective = (): Tensor => {
    const penalty = head.weight
      .square()
      .sum()
      .div(20 * train.length)
    return crossEntropy(head.forward(features as never) as never, targets).add(penalty) as Tensor
  }
  for (let i = 0; i < steps; i++)
    scope(() => {
      optimizer.zeroGrad()
      objective().backward()
      optimizer.step()
      schedule.step()
    })
  return {
    losses: [scope(() => noGrad(() => objective().item()))],
    trainable: head.weight.numel + 2,
    cpuSeconds: cpuSeconds() - cpu,
    peakTensors: (memory().peakBytes - before) / 2 ** 20,
    peakProcess: processPeak() - processBefore,
    accuracy: accuracyOf(scores, test),
  }
}

async function main(): Promise<void> {
  const steps = args.steps === 'all' ? Number.POSITIVE_INFINITY : Number(args.steps)
  if (!(steps >= 1)) throw new Error(`--steps is ${args.steps}, but must be a positive number or 'all'`)
  const names = args.only.split(',')
  for (const name of names)
    if (name !== 'probe' && !Object.hasOwn(strategies, name))
      throw new Error(`there is no strategy ${name}; there are probe, ${Object.keys(strategies).join(', ')}`)
  const seeds = args.seeds.split(',').map(Number)
  if (args.json) {
    const outcome =
      names[0] === 'probe' ? await probed() : await finetuned(names[0] as string, seeds[0] as number, steps)
    console.log(JSON.stringify(outcome))
    return
  }
  const cells = (...values: readonly string[]) =>
    console.log(values.map((value, i) => (i === 0 ? value.padEnd(10) : value.padStart(14))).join(''))
  cells('strategy', 'seed', 'trainable', 'worst loss', 'accuracy', 'cpu s', 'tensors MB', 'process MB')
  for (const name of names)
    for (const seed of name === 'probe' ? [0] : seeds) {
      const wanted = runs[name]?.seeds[seed]
      const outcome = inProcess(name, seed)
      const expected = wanted?.losses?.slice(0, 20) ?? (wanted?.objective === undefined ? [] : [wanted.objective])
      const off = expected.flatMap((value, i) => {
        const loss = outcome.losses[i]
        return loss === undefined ? [] : [Math.abs(loss - value) / value]
      })
      const worst = Math.max(...off)
      if (!(off.length > 0 && worst <= 1e-3) || outcome.trainable !== wanted?.trainable_parameters) process.exitCode = 1
      const accuracy = outcome.accuracy === null ? '-' : outcome.accuracy.toFixed(4)
      cells(
        name,
        String(seed),
        String(outcome.trainable),
        off.length === 0 ? 'none stored' : worst.toExponential(1),
        accuracy,
        outcome.cpuSeconds.toFixed(1),
        outcome.peakTensors.toFixed(0),
        outcome.peakProcess.toFixed(0),
      )
      if (wanted !== undefined)
        cells(
          '  PyTorch',
          '',
          String(wanted.trainable_parameters),
          `of ${off.length}`,
          wanted.accuracy.toFixed(4),
          wanted.cpu_seconds.toFixed(1),
          '',
          String(wanted.peak_mb - wanted.peak_mb_before),
        )
    }
}

function inProcess(name: string, seed: number): Outcome {
  const own = [...process.execArgv, fileURLToPath(import.meta.url), '--json', '--only', name, '--seeds', String(seed)]
  const given = Object.entries({ ...folders, baselines: args.baselines, steps: args.steps }).flatMap(([key, value]) => [
    `--${key}`,
    value,
  ])
  const { stdout, stderr, status } = spawnSync(process.execPath, [...own, ...given], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  })
  if (status !== 0) throw new Error(`${name} failed:\n${stderr}`)
  return JSON.parse(stdout.trim().split('\n').at(-1) as string) as Outcome
}

await main()
