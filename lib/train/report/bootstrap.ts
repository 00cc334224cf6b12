/**
 * Metrics with bootstrap confidence intervals: rows are resampled many times, and the metric is measured on each
 * resample.
 */
import { noGrad } from '../../autograd/mode.js'
import { shown, ValueError } from '../../core/errors.js'
import { Generator } from '../../core/generator.js'
import { scope } from '../../core/scope.js'
import { fromTypedArray } from '../../ops/creation.js'
import { indexSelect } from '../../ops/indexing/index.js'
import type { Metric } from '../metrics/index.js'
import type { Metrics } from '../pass.js'
import type { Collected } from './collect.js'

/** A number and its interval over the resamples, or null bounds if nothing could be resampled. */
export interface Estimate {
  readonly value: number
  readonly low: number | null
  readonly high: number | null
}

export interface Resampling {
  readonly resamples: number
  readonly confidence: number
  readonly seed: number
}

/**
 * A metric of a report: the model's value, the base model's, and the model's minus the base model's, on the same
 * resamples.
 */
export interface MetricReport extends Estimate {
  readonly base: Estimate | null
  readonly difference: Estimate | null
}

const fresh = (op: string, name: string, given: Metric<never> | (() => Metric<never>)): Metric<never> => {
  const metric = typeof given === 'function' ? given() : (given.fresh?.() ?? given)
  if (typeof metric?.update !== 'function' || typeof metric.compute !== 'function')
    throw new ValueError(op, `the function for metric ${name} gave ${shown(metric)}, which is not a metric`)
  metric.reset()
  return metric
}

async function measuredOn(
  metric: Metric<never>,
  { output, target }: Collected,
  rows: Int32Array | null,
): Promise<number> {
  scope(() =>
    noGrad(() => {
      if (rows === null) metric.update(output as never, target)
      else {
        const index = fromTypedArray(rows, [rows.length], { device: output.device })
        metric.update(indexSelect(output, 0, index) as never, indexSelect(target, 0, index))
      }
    }),
  )
  const value: unknown = await metric.compute()
  if (typeof value !== 'number')
    throw new ValueError('Trainer.report', `a metric computed ${shown(value)}, but must give a number`)
  return value
}

/** The quantile `part` of sorted values, interpolated between two of them. */
function quantile(sorted: readonly number[], part: number): number {
  const place = part * (sorted.length - 1)
  const [low, high] = [sorted[Math.floor(place)] as number, sorted[Math.ceil(place)] as number]
  return low + (high - low) * (place - Math.floor(place))
}

/**
 * Percentiles over the resamples. A resample for which a metric is not defined, such as one that lacks a class, is left
 * out.
 */
function estimate(value: number, drawn: readonly number[], confidence: number): Estimate {
  const sorted = drawn.filter(Number.isFinite).sort((a, b) => a - b)
  if (sorted.length < 2) return { value, low: null, high: null }
  const tail = (1 - confidence) / 2
  return { value, low: quantile(sorted, tail), high: quantile(sorted, 1 - tail) }
}

/** Measures all metrics on a set and on resamples of its rows. Both models get the same resamples. */
export async function bootstrap(
  op: string,
  metrics: Metrics<string, never>,
  own: Collected,
  base: Collected | null,
  { resamples, confidence, seed }: Resampling,
  signal: AbortSignal | undefined,
): Promise<{ readonly [name: string]: MetricReport }> {
  const { rows } = own
  const generator = new Generator(seed)
  const found: [string, MetricReport][] = []
  const names = Object.entries<Metric<never> | (() => Metric<never>)>(metrics)
  const values = new Map<string, { own: number[]; base: number[] }>(
    names.map(([name]) => [name, { own: [], base: [] }]),
  )
  for (let i = 0; rows > 1 && i < resamples; i++) {
    signal?.throwIfAborted()
    const drawn = Int32Array.from({ length: rows }, () => Math.floor(generator.random() * rows))
    for (const [name, given] of names) {
      const lists = values.get(name)
      lists?.own.push(await measuredOn(fresh(op, name, given), own, drawn))
      if (base !== null) lists?.base.push(await measuredOn(fresh(op, name, given), base, drawn))
    }
  }
  for (const [name, given] of names) {
    const drawn = values.get(name) ?? { own: [], base: [] }
    const value = await measuredOn(fresh(op, name, given), own, null)
    const before = base === null ? null : await measuredOn(fresh(op, name, given), base, null)
    found.push([
      name,
      {
        ...estimate(value, drawn.own, confidence),
        base: before === null ? null : estimate(before, drawn.base, confidence),
        difference:
          before === null
            ? null
            : estimate(
                value - before,
                drawn.own.map((each, i) => each - (drawn.base[i] as number)),
                confidence,
              ),
      },
    ])
  }
  return Object.fromEntries(found)
}
