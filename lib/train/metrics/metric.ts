/** The contract of a metric, and the base of the library's metrics. */
import { kindOf, StateDictError, shown, ValueError } from '../../core/errors.js'
import type { Resumable } from '../../core/generator.js'
import type { Tensor } from '../../core/tensor.js'
import { decode, encode, type Part, type Parts } from './parts.js'
import { Stream, type Take } from './stream.js'

/**
 * A measurement over a pass. V is the type of `compute`'s promise, which is a number if a Trainer takes the metric.
 * `update` must not wait for the device.
 */
export interface Metric<O = Tensor, T = Tensor, V = number> {
  reset(): void
  update(output: O, target: T): void
  compute(): Promise<V>
  /**
   * Returns a new, empty metric of the same kind. A Trainer that gets a metric itself, not a function that makes one,
   * uses such copies, so that passes do not share totals. Without `fresh` only one pass at a time may use the metric.
   */
  fresh?(): Metric<O, T, V>
}

/** The counts of a metric so far: plain values, for JSON or another thread. */
export interface MetricState {
  /** The function that made the metric. */
  readonly metric: string
  /** The options with which it was made, as JSON. */
  readonly options: string
  /** Its totals by name: float64 numbers, in base64 of their bytes. */
  readonly totals: { readonly [name: string]: string }
}

/**
 * A metric whose counts can be saved, resumed, and added to those of another worker. All of the library's metrics can.
 */
export interface ResumableMetric<O = Tensor, T = Tensor, V = number> extends Metric<O, T, V>, Resumable<MetricState> {
  /**
   * `sampleWeight` are floats in the targets' shape (with several labels for a row: one for each row), if the metric
   * accepts any.
   */
  update(output: O, target: T, sampleWeight?: Tensor): void
  fresh(): ResumableMetric<O, T, V>
  /** The counts so far. Waits for values on their way from the device. */
  stateDict(): MetricState
  /** Continues from a state. Throws StateDictError for a state of another metric, or with other options. */
  loadStateDict(state: MetricState): void
  /**
   * Adds the counts of another metric of the same kind and options, from this or another worker. That one stays
   * unchanged.
   */
  merge(other: Resumable<MetricState>): void
}

/** Options as text, which distinguishes metrics that must not be added. Functions are compared by their source. */
function written(options: object): string {
  return JSON.stringify(options, (_, value: unknown) => {
    if (typeof value === 'function') return String(value)
    return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value
  })
}

/** Totals on the host, in parts to which the reads of a stream are added, and their states. */
export abstract class Counting<V, P extends Parts> implements Resumable<MetricState> {
  protected readonly op: string
  readonly #options: string
  #stream: Stream<P> | null = null

  protected constructor(op: string, options: object) {
    this.op = op
    this.#options = written(options)
  }

  /** Empty totals. */
  protected abstract empty(): P
  protected abstract value(totals: P): V

  /** Hands over sums that are still on the device, for metrics that have some. */
  protected flush(): void {}

  get #now(): Stream<P> {
    this.#stream ??= new Stream(this.empty())
    return this.#stream
  }

  /** Lets `take` add the tensors' elements to the totals, once they have arrived. */
  protected read(tensors: readonly Tensor[], take: Take<P>): void {
    this.#now.add(tensors, take)
  }

  /** Starts again with nothing counted. */
  reset(): void {
    this.#stream = null
  }

  /** The value of the counts so far. */
  compute(): Promise<V> {
    this.flush()
    return this.#now.at((totals) => this.value(totals))
  }

  /** The counts so far. Waits for values on their way from the device. */
  stateDict(): MetricState {
    this.flush()
    const totals = Object.entries<Part>(this.#now.settle())
    return {
      metric: this.op,
      options: this.#options,
      totals: Object.fromEntries(totals.map(([name, part]) => [name, encode(part.dump())])),
    }
  }

  /** Continues from a state. Throws StateDictError for a state of another metric, or with other options. */
  loadStateDict(state: MetricState): void {
    const totals = this.empty()
    this.#add(totals, state)
    this.reset()
    this.#stream = new Stream(totals)
  }

  /**
   * Adds the counts of another metric of the same kind and options, from this or another worker. That one stays
   * unchanged.
   */
  merge(other: Resumable<MetricState>): void {
    if (typeof other?.stateDict !== 'function')
      throw new ValueError(this.op, `cannot merge ${kindOf(other)}, but only another metric of the same kind`)
    const state = other.stateDict()
    this.flush()
    this.#add(this.#now.settle(), state)
  }

  #add(totals: P, state: MetricState): void {
    const problems: string[] = []
    const { metric, options, totals: given } = state ?? {}
    if (metric !== this.op) problems.push(`metric is ${shown(metric)}, but must be '${this.op}'`)
    else if (options !== this.#options) problems.push(`options are ${options}, but must be ${this.#options}`)
    const decoded = Object.entries<Part>(totals).map(([name, part]) => {
      const numbers = decode(given?.[name])
      if (numbers === null)
        problems.push(`totals.${name} is ${shown(given?.[name])}, but must be float64 numbers in base64`)
      return [part, numbers] as const
    })
    if (problems.length > 0) throw new StateDictError(problems, this.op)
    for (const [part, numbers] of decoded) if (numbers) part.take(numbers)
  }
}

/** The base of the library's metrics. */
export abstract class Measure<O, T, V, P extends Parts> extends Counting<V, P> implements ResumableMetric<O, T, V> {
  abstract fresh(): ResumableMetric<O, T, V>
  abstract update(output: O, target: T, sampleWeight?: Tensor): void
}

/**
 * Measures one set of outputs and targets in one call: `await measure(metrics.f1({ average: 'macro' }), logits,
 * labels)`. Earlier counts of the metric stay unchanged. Throws ValueError for anything but a metric.
 */
export async function measure<O, T, V>(
  metric: ResumableMetric<O, T, V>,
  output: O,
  target: T,
  sampleWeight?: Tensor,
): Promise<V> {
  if (typeof metric?.fresh !== 'function')
    throw new ValueError('measure', `metric is ${kindOf(metric)}, but must be a metric, such as metrics.accuracy()`)
  const own = metric.fresh()
  own.update(output, target, sampleWeight)
  return own.compute()
}
