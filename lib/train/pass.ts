/**
 * One pass over batches, in training or evaluation: its losses, its metrics, and how far it runs ahead of the device.
 */
import { noGrad } from '../autograd/mode.js'
import { shown, ValueError } from '../core/errors.js'
import type { Resumable } from '../core/generator.js'
import { nextTurn } from '../core/host.js'
import { Tensor } from '../core/tensor.js'
import type { PassRecord } from './history.js'
import type { Metric } from './metrics/index.js'
import type { Sums } from './objective.js'
import { isResumable } from './resume.js'

/** Metrics by name: functions that make one for each pass (`metrics.accuracy`), or the metrics themselves. */
export type Metrics<M extends string = string, Out = Tensor> = {
  readonly [name in M]: Metric<Out> | (() => Metric<Out>)
}

/** The counts of a pass so far: plain data. */
export interface PassState {
  readonly total: number
  readonly count: number
  readonly batches: number
  readonly metrics: { readonly [name: string]: unknown }
}

/** The mean of sums, or 0 if the count is 0. */
export function meanOf({ total, count }: Sums): number {
  return count === 0 ? total : total / count
}

/** The number of steps that may be submitted before the loss of the first must have arrived. */
const stepsAhead = 2

/** Metrics that cannot be made anew, while a pass uses them. */
const inUse = new WeakSet<object>()

/** The output without its graph, and as float32 if it is bfloat16, so that metrics need not know that dtype. */
const seenByMetrics = (output: Tensor): Tensor => (output.dtype === 'bfloat16' ? output.to('float32') : output.detach())

/**
 * Every pass has its own metrics and adds up losses as they arrive, so an evaluation in the middle of an epoch disturbs
 * nothing. It must always be ended.
 */
export class Pass<M extends string> {
  readonly #metrics: (readonly [name: string, metric: Metric<never>])[] = []
  readonly #leased: Metric<never>[] = []
  readonly #op: string
  readonly #seen: (loss: number, index: number) => void
  readonly #reads: Promise<void>[] = []
  #total = 0
  #count = 0
  #batches = 0
  #empty = 0

  /** `seen` is called with each loss when it arrives, and with the number of its batch. */
  constructor(op: string, metrics: Metrics<M, never>, seen: (loss: number, index: number) => void = () => undefined) {
    this.#op = op
    this.#seen = seen
    for (const [name, given] of Object.entries<Metric<never> | (() => Metric<never>)>(metrics)) {
      const metric = typeof given === 'function' ? given() : (given.fresh?.() ?? given)
      if (typeof metric?.update !== 'function' || typeof metric.compute !== 'function')
        throw new ValueError(op, `the function for metric ${name} gave ${shown(metric)}, which is not a metric`)
      if (metric === given) {
        if (inUse.has(metric)) {
          this.end()
          throw new ValueError(
            op,
            `metric ${name} is measuring another pass; give the Trainer a function that makes one: () => new Metric()`,
          )
        }
        inUse.add(metric)
        this.#leased.push(metric)
      }
      metric.reset()
      this.#metrics.push([name, metric])
    }
  }

  get batches(): number {
    return this.#batches
  }

  /** The number of batches so far with a count of 0. */
  get empty(): number {
    return this.#empty
  }

  /** Lets the metrics see a batch. */
  observe(output: unknown, target: Tensor | undefined): void {
    const [first] = this.#metrics
    if (first === undefined) return
    if (output === undefined || target === undefined)
      throw new ValueError(
        this.#op,
        `the objective gave no ${output === undefined ? 'output' : 'target'}, which metric ${first[0]} measures; ` +
          'let its loss give { total, count, output, target }',
      )
    noGrad(() => {
      const seen = output instanceof Tensor ? seenByMetrics(output) : output
      for (const [, metric] of this.#metrics) metric.update(seen as never, target)
    })
  }

  /**
   * Counts a batch whose loss is being read. Waits while the device is two batches behind, and lets the event loop
   * turn.
   */
  async submitted(sums: Promise<Sums>): Promise<void> {
    const index = this.#batches++
    const read = sums.then(({ total, count }) => {
      if (!(count >= 0 && count < Number.POSITIVE_INFINITY))
        throw new ValueError(
          this.#op,
          `the count of batch ${index + 1} is ${count}, but must be a number of at least 0; its step has already been taken`,
        )
      this.#total += total
      this.#count += count
      if (count === 0) this.#empty++
      this.#seen(meanOf({ total, count }), index)
    })
    // A later await sees the error. Until then it must not count as unhandled.
    read.catch(() => undefined)
    this.#reads.push(read)
    if (this.#reads.length > stepsAhead) await this.#reads.shift()
    // A read that has already arrived resolves within the same turn. Timers and sockets must still get theirs.
    await nextTurn()
  }

  /** Waits until all losses have arrived. */
  async settle(): Promise<void> {
    for (const read of this.#reads.splice(0)) await read
  }

  /** The summed losses divided by their count, or NaN if that is 0, and every metric. */
  async record(): Promise<PassRecord<M>> {
    await this.settle()
    const numbers: { [name: string]: number } = {}
    for (const [name, metric] of this.#metrics) {
      const value: unknown = await metric.compute()
      if (typeof value !== 'number')
        throw new ValueError(
          'Trainer',
          `metric ${name} computed ${shown(value)}, but must give a promise of a number; compute others by metrics.measure`,
        )
      numbers[name] = value
    }
    return { ...numbers, loss: this.#count === 0 ? Number.NaN : this.#total / this.#count } as PassRecord<M>
  }

  /** Waits for all losses, because the state includes them. */
  async state(): Promise<PassState> {
    await this.settle()
    const metrics = this.#metrics.map(([name, metric]) => [name, (metric as unknown as Resumable<unknown>).stateDict()])
    return { total: this.#total, count: this.#count, batches: this.#batches, metrics: Object.fromEntries(metrics) }
  }

  /** Continues from a state. */
  resume({ total, count, batches, metrics }: PassState): void {
    this.#total = total
    this.#count = count
    this.#batches = batches
    for (const [name, metric] of this.#metrics) (metric as unknown as Resumable<unknown>).loadStateDict(metrics[name])
  }

  /** Throws unless every metric has a state, which a checkpoint within the pass needs. */
  checkResumable(): void {
    for (const [name, metric] of this.#metrics)
      if (!isResumable(metric))
        throw new ValueError(
          this.#op,
          `metric ${name} has no stateDict() and loadStateDict(), which checkpoints within an epoch need; metrics of the library ` +
            'have both (extend metrics.RunningMean), or leave checkpoints out',
        )
  }

  end(): void {
    for (const [, metric] of this.#metrics) metric.reset()
    for (const metric of this.#leased) inUse.delete(metric)
  }
}
