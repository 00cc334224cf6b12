/**
 * Trains one model twice, from the same weights with the same batches in the same order: by the library, and by
 * PyTorch, whose part is `beside_torch.py`.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TokenizedRows } from '../../lib/finetune/index.js'
import { type Objective, optim, Trainer } from '../../lib/index.js'
import type { PretrainedModel } from '../../lib/models/index.js'
import { randomOf } from '../cases/case.js'

export interface Lesson<M extends PretrainedModel, R, B> {
  readonly model: M
  readonly objective: Objective<NoInfer<M>, B>
  readonly rows: TokenizedRows<R, B>
  readonly batchSize: number
  readonly steps: number
  /** The highest rate. The rate rises over the first tenth of the steps, and falls to 0 at the end. */
  readonly lr: number
}

/** The report of a training, by either side. */
export interface Learned {
  readonly losses: readonly number[]
  readonly cpuSeconds: number
}

/** AdamW's settings for every parameter, and the bound of the gradient's norm. */
const recipe = { betas: [0.9, 0.98], eps: 1e-8, weightDecay: 0.01, clipNorm: 1 } as const

/** The largest allowed difference of the first losses, relative to PyTorch's. */
const lossBound = 1e-3

/**
 * One thread, no downloads, and memory that glibc keeps. Otherwise glibc returns large tensors to the system, which
 * doubles PyTorch's times.
 */
const torchEnvironment = {
  ...{ OMP_NUM_THREADS: '1', MKL_NUM_THREADS: '1', HF_HUB_OFFLINE: '1' },
  ...{ MALLOC_MMAP_THRESHOLD_: String(2 ** 33), MALLOC_TRIM_THRESHOLD_: String(2 ** 33) },
}

const warmupOf = (steps: number): number => Math.ceil(steps / 10)

/** Shuffles by Fisher and Yates, from the end. */
export function orderOf(count: number, random: () => number): number[] {
  const order = Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[order[i], order[j]] = [order[j] as number, order[i] as number]
  }
  return order
}

/** The rows of every step: all rows in random order, again and again. */
function* stepsOf({ rows, batchSize, steps }: Lesson<never, unknown, unknown>): Generator<readonly number[]> {
  const random = randomOf(1)
  let order: number[] = []
  for (let step = 0; step < steps; step++) {
    while (order.length < batchSize) {
      order = [...order, ...orderOf(rows.length, random)]
    }
    yield order.splice(0, batchSize)
  }
}

export async function learn<M extends PretrainedModel, R, B>(lesson: Lesson<M, R, B>): Promise<Learned> {
  const { model, objective, rows, steps, lr } = lesson
  const { betas, eps, weightDecay, clipNorm } = recipe
  const optimizer = new optim.AdamW(model.parameters(), { lr, betas: [...betas], eps, weightDecay })
  const warmup = warmupOf(steps)
  const factor = (step: number) => (step < warmup ? (step + 1) / warmup : (steps - step) / (steps - warmup))
  const losses: Promise<number>[] = []
  const trainer = new Trainer(model, {
    optimizer,
    objective,
    schedule: new optim.LambdaLR(optimizer, factor),
    clipGradNorm: clipNorm,
    callbacks: [{ onStep: (step) => void losses.push(step.loss()) }],
  })
  const batches = function* () {
    for (const order of stepsOf(lesson as never)) yield rows.batch(order)
  }
  const before = process.cpuUsage()
  await trainer.fit(batches, { steps, progress: false })
  const { user, system } = process.cpuUsage(before)
  return { losses: await Promise.all(losses), cpuSeconds: (user + system) / 1e6 }
}

/** A text, or two texts joined by the tokenizer, and the tokens that may be part of an answer. */
export interface Read {
  readonly ids: readonly number[]
  readonly types?: readonly number[]
  readonly own?: readonly boolean[]
}

export interface Exam {
  readonly head: 'answers' | 'writing'
  readonly texts: readonly Read[]
  /** The largest number of tokens of an answer. */
  readonly longest: number
}

export interface TorchLearned extends Learned {
  /** The first and the last token of each answer, or the tokens that were written. */
  readonly answers: readonly (readonly number[])[]
}

/** PyTorch's part. It must be called before `learn`, which changes the weights. */
export async function learnInTorch<M extends PretrainedModel, R, B>(
  python: string,
  lesson: Lesson<M, R, B>,
  exam: Exam,
): Promise<TorchLearned> {
  const folder = mkdtempSync(join(tmpdir(), 'firesteel-beside-torch-'))
  try {
    await lesson.model.save(join(folder, 'model'), { log: () => undefined })
    const { rows, steps, lr } = lesson
    const job = {
      ...{ ...recipe, ...exam, lr, warmup: warmupOf(steps), orders: [...stepsOf(lesson as never)] },
      rows: Array.from({ length: rows.length }, (_, i) => rows.get(i)),
    }
    const plain = (_: string, value: unknown) => (ArrayBuffer.isView(value) ? Array.from(value as Int32Array) : value)
    writeFileSync(join(folder, 'job.json'), JSON.stringify(job, plain))
    const script = fileURLToPath(new URL('beside_torch.py', import.meta.url))
    const env = { ...process.env, ...torchEnvironment }
    const { status, stderr, error } = spawnSync(python, [script, folder], { encoding: 'utf8', env })
    if (status !== 0) throw new Error(`${python} ${script} failed: ${error?.message ?? stderr}`)
    return JSON.parse(readFileSync(join(folder, 'learned.json'), 'utf8')) as TorchLearned
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Prints how close the first losses are and the cost of both sides. Returns the losses that are too far apart. */
export function compareLosses(part: string, own: Learned, torch: Learned): readonly string[] {
  const off = torch.losses.slice(0, 20).map((loss, i) => Math.abs((own.losses[i] as number) / loss - 1))
  const worst = Math.max(...off)
  const last = ({ losses }: Learned) => losses.slice(-20).reduce((sum, loss) => sum + loss / 20, 0)
  console.log(
    `${part}: the first ${off.length} losses are off by ${worst.toExponential(1)} at most; mean of the last 20 ` +
      `${last(own).toFixed(4)}, PyTorch ${last(torch).toFixed(4)}; ${own.cpuSeconds.toFixed(1)} processor seconds, PyTorch ` +
      `${torch.cpuSeconds.toFixed(1)}`,
  )
  return worst <= lossBound ? [] : [`${part}: a loss of the first ${off.length} is off by ${worst}`]
}
