/** Chooses how a step fits into the memory that it may take. */

import { noGrad } from '../../autograd/mode.js'
import { isFiresteelError, shown, ValueError } from '../../core/errors.js'
import { printed } from '../../core/host.js'
import { scope, visitTensors } from '../../core/scope.js'
import { BatchNorm1d, BatchNorm2d, BatchNorm3d } from '../../nn/batch-norm.js'
import { Aside } from './aside.js'
import { formatBytes, type MemoryPrediction, predict, type Subject } from './predict.js'
import { cutRows, rowsOf } from './rows.js'
import { blockGroups, type Thrift } from './thrift.js'

/** The choice of `fit({ memory })`. */
export class MemoryChoice {
  /** Bytes that the training may take. */
  readonly memory: number
  /** The step's memory as it runs. */
  readonly prediction: MemoryPrediction
  /** The memory that the step would take without the choice. */
  readonly without: MemoryPrediction
  /** The number of rows in a batch and in each part. */
  readonly rows: number
  readonly partRows: number

  constructor(memory: number, prediction: MemoryPrediction, without: MemoryPrediction, rows: number, partRows: number) {
    this.memory = memory
    this.prediction = prediction
    this.without = without
    this.rows = rows
    this.partRows = partRows
  }

  toString(): string {
    const { prediction, without, rows, partRows } = this
    const { parts, recomputed } = prediction
    const how = [
      ...(parts > 1 ? [`batches of ${rows} rows in ${parts} parts of ${partRows}`] : []),
      ...(recomputed > 0 ? [`${recomputed} blocks computed again in the backward pass`] : []),
    ]
    const limit = `${formatBytes(prediction.peak)} predicted of ${formatBytes(this.memory)}`
    return how.length === 0 ? `as it is: ${limit}` : `${how.join(', ')}: ${limit}, ${formatBytes(without.peak)} without`
  }

  [printed](): string {
    return this.toString()
  }
}

const units: { readonly [unit: string]: number } = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
}

/** Parses '8 GB', '512 MiB' or a number of bytes. */
export function parseBytes(op: string, memory: unknown): number {
  const [, count, unit] = (typeof memory === 'string' ? /^\s*([\d.]+)\s*([a-z]+)\s*$/i.exec(memory) : null) ?? []
  const bytes = typeof memory === 'number' ? memory : Number(count) * (units[(unit ?? '').toLowerCase()] ?? Number.NaN)
  if (!(bytes > 0 && bytes < Number.POSITIVE_INFINITY))
    throw new ValueError(
      op,
      `memory is ${shown(memory)}, but must be a number of bytes, or a text such as '8 GB' or '512 MiB'`,
    )
  return bytes
}

/** The number of elements of each tensor in a batch. */
function sizesOf(batch: unknown): number[] {
  const sizes: number[] = []
  visitTensors(batch, ({ numel }) => sizes.push(numel))
  return sizes
}

const batchNorms = [BatchNorm1d, BatchNorm2d, BatchNorm3d]

export class Budget {
  readonly #op: string
  readonly #subject: Subject
  readonly #bytes: number
  /** Sizes of the tensors in the largest batches for which a choice was made. */
  #known: readonly number[] | null = null
  #partRows = Number.POSITIVE_INFINITY
  #recomputed: Thrift['recomputed'] = []

  constructor(op: string, subject: Subject, memory: unknown) {
    this.#op = op
    this.#subject = subject
    this.#bytes = parseBytes(op, memory)
  }

  /**
   * The way to learn a batch, and the choice if a new one was made: for the first batch, and for each one larger than
   * all before. Throws ValueError, with the smallest prediction, if nothing fits.
   */
  thriftFor(batch: unknown): { readonly thrift: Thrift; readonly choice: MemoryChoice | null } {
    const sizes = sizesOf(batch)
    const known = this.#known
    const isKnown = known !== null && sizes.length === known.length && sizes.every((size, i) => size <= (known[i] ?? 0))
    const choice = isKnown ? null : this.#choose(batch)
    if (choice !== null) this.#known = sizes.map((size, i) => Math.max(size, known?.[i] ?? 0))
    const parts = Math.max(1, Math.ceil((rowsOf(batch) ?? 1) / this.#partRows))
    return { thrift: { parts, recomputed: this.#recomputed }, choice }
  }

  #choose(batch: unknown): MemoryChoice {
    const [op, subject, rows] = [this.#op, this.#subject, rowsOf(batch) ?? 1]
    const blocks = blockGroups(subject.model)
    const always = subject.checkpointing ? (blocks ?? []) : []
    const ways = blocks === null || subject.checkpointing ? [always] : [always, blocks]
    let without: MemoryPrediction | null = null
    let smallest: MemoryPrediction | null = null
    let refusal: string | null | undefined
    // Parts cost less time than a second forward pass, so they are tried first.
    for (const recomputed of ways)
      for (let parts = 1; parts === 1 || refusal === null; parts = Math.min(rows, 2 * parts)) {
        const prediction = predict(op, subject, batch, { parts, recomputed })
        without ??= prediction
        if (smallest === null || prediction.peak < smallest.peak) smallest = prediction
        if (prediction.peak <= this.#bytes) {
          this.#recomputed = recomputed
          this.#partRows = parts === 1 ? Number.POSITIVE_INFINITY : Math.ceil(rows / parts)
          return new MemoryChoice(this.#bytes, prediction, without, rows, Math.ceil(rows / parts))
        }
        if (parts >= rows) break
        // This is asked only now, because it runs the model.
        refusal ??= this.#whyUncut(batch)
      }
    refusal ??= rows === 1 ? 'it has one row' : null
    throw this.#tooLarge(smallest as MemoryPrediction, refusal, blocks === null)
  }

  #tooLarge(smallest: MemoryPrediction, refusal: string | null, noBlocks: boolean): ValueError {
    const { peak, parts, recomputed, weights, gradients, optimizer, batch } = smallest
    const how = [
      parts > 1 ? `in ${parts} parts` : refusal === null ? 'as a whole' : `as a whole, because ${refusal}`,
      ...(recomputed > 0 ? [`with ${recomputed} blocks computed again`] : []),
    ].join(', ')
    return new ValueError(
      this.#op,
      `the training does not fit in ${formatBytes(this.#bytes)}: the smallest prediction is ${formatBytes(peak)}, each batch ${how} ` +
        `(weights ${formatBytes(weights)}, gradients ${formatBytes(gradients)}, optimizer ${formatBytes(optimizer)}, batch ${formatBytes(batch)}); ` +
        `${noBlocks ? 'declare blocks(): Module[] on the model, ' : ''}freeze more (LoRA), use a smaller batch or shorter rows, or an optimizer with less state`,
    )
  }

  /** The reason why the gradient of a batch is not the sum of its parts' gradients, or null if it is. */
  #whyUncut(batch: unknown): string | null {
    const [op, { model, optimizer, measured }] = [this.#op, this.#subject]
    for (const [path, module] of model.namedModules())
      if (module.training && batchNorms.some((each) => module instanceof each))
        return `the batch norm ${path} learns from all rows of a batch together`
    try {
      const rows = cutRows(op, batch, rowsOf(batch) ?? 1).slice(0, 2)
      const pair = cutRows(op, batch, Math.ceil((rowsOf(batch) ?? 2) / 2))[0]
      const aside = new Aside(model, optimizer, { copy: () => null, hooks: false })
      const total = (part: unknown) => noGrad(() => scope(() => measured(op, part).total().item())) as number
      return aside.run(() => {
        model.eval()
        const [together, apart] = [total(pair), rows.reduce<number>((sum, row) => sum + total(row), 0)]
        const close = Math.abs(together - apart) <= 1e-2 * Math.max(1e-6, Math.abs(together), Math.abs(apart))
        return close || !Number.isFinite(together + apart)
          ? null
          : `the loss of two rows together (${together}) is not the sum of each one's (${apart}), so rows see each other`
      })
    } catch (error) {
      if (isFiresteelError(error)) return error.message
      throw error
    }
  }
}
