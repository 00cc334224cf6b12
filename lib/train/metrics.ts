/** Metrics: running totals on the device, read at the end of a pass. */
import { noGrad } from '../autograd/mode.js'
import { checkDType, checkTensor } from '../autograd/operator.js'
import { formatShape, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { keep } from '../core/scope.js'
import { normalizeDim, sameShape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { add, eq, mul, ne } from '../ops/elementwise/index.js'
import { argmax, sum } from '../ops/reduce/index.js'

/** Something measured over a pass. Nothing may wait for the device in `update`. */
export interface Metric<O = Tensor, T = Tensor> {
  reset(): void
  update(output: O, target: T): void
  compute(): Promise<number>
  /**
   * Another one of the same kind, with nothing in it. A Trainer that is given the metric itself, not a function that makes
   * it, takes such ones, so that passes do not share totals; without `fresh` one pass at a time may use the metric.
   */
  fresh?(): Metric<O, T>
}

/** So many parts are added on the device, in float32, before the program adds up in float64. */
const partsOnDevice = 64
/** Below 2^24 float32 counts exactly. */
const countedOnDevice = 2 ** 23

/** A sum of one-element tensors. */
class RunningSum {
  #total: Tensor | null = null
  #parts = 0
  #most = 0
  #read: Promise<number> = Promise.resolve(0)

  reset(): void {
    this.#total?.dispose()
    this.#total = null
    this.#parts = this.#most = 0
    this.#read = Promise.resolve(0)
  }

  /** `most` is what a count can be at the most; 0 for what is no count. */
  add(part: Tensor, most: number): void {
    if (this.#parts === partsOnDevice || this.#most + most > countedOnDevice) this.#move()
    noGrad(() => {
      const before = this.#total
      // Its own memory: what is added may be freed at the end of the step.
      this.#total = keep(before === null ? part.detach().clone() : add(before, part.detach()))
      before?.dispose()
    })
    this.#parts++
    this.#most += most
  }

  /** Lets the program fetch what is on the device, without waiting for it. */
  #move(): void {
    const total = this.#total
    if (total === null) return
    const earlier = this.#read
    const read = total.data()
    this.#read = Promise.all([earlier, read]).then(([sum, [last]]) => sum + (last as number))
    // Whoever computes sees the error; until then it must not count as unhandled.
    this.#read.catch(() => undefined)
    total.dispose()
    this.#total = null
    this.#parts = this.#most = 0
  }

  value(): Promise<number> {
    this.#move()
    return this.#read
  }
}

/** A mean whose totals stay on the device; NaN while it has counted nothing. */
export class RunningMean {
  readonly #total = new RunningSum()
  readonly #counted = new RunningSum()
  #count = 0

  reset(): void {
    this.#total.reset()
    this.#counted.reset()
    this.#count = 0
  }

  /**
   * Adds a total (one element) of `count` items. A count that only the device knows is a tensor of one element, and `most`
   * what it can be at the most.
   */
  update(total: Tensor, count: number | Tensor, most = 0): void {
    this.#total.add(total, most)
    if (typeof count === 'number') this.#count += count
    else this.#counted.add(count, most)
  }

  async compute(): Promise<number> {
    // Of this moment, as the reads are: an update may come before they are there.
    const count = this.#count
    const [total, counted] = await Promise.all([this.#total.value(), this.#counted.value()])
    return total / (count + counted)
  }
}

export interface AccuracyOptions {
  /** Targets with this label do not count. Default -100, as for crossEntropy. */
  readonly ignoreIndex?: number
  /**
   * The dimension of the outputs that the classes lie along. Default: what the targets' shape tells, 1 as for crossEntropy,
   * or the last.
   */
  readonly classDim?: number
}

/** Outputs' shape without one dimension. */
const without = (shape: readonly number[], dim: number) => shape.filter((_, d) => d !== dim)

class Accuracy implements Metric {
  readonly #mean = new RunningMean()
  readonly #options: AccuracyOptions

  constructor(options: AccuracyOptions) {
    this.#options = options
  }

  fresh(): Metric {
    return new Accuracy(this.#options)
  }

  reset(): void {
    this.#mean.reset()
  }

  update(output: Tensor, target: Tensor): void {
    checkTensor('accuracy', 'output', output)
    checkDType('accuracy', 'target', target, ['int32'])
    const dim = this.#classDim(output, target)
    if (output.sizes[dim] === 1)
      throw new ShapeError(
        'accuracy',
        `outputs are ${formatShape(output.sizes)}, which is one class, and always the largest; give a logit for each class, ` +
          'or, for the sigmoid of one, a metric of your own',
        [output.sizes],
      )
    const { ignoreIndex = -100 } = this.#options
    noGrad(() => {
      const scores = output.dtype.includes('float') && output.dtype !== 'float64' ? output.to('float32') : output
      const counted = ne(target, ignoreIndex).to('float32')
      const hits = mul(eq(argmax(scores, dim), target).to('float32'), counted)
      this.#mean.update(sum(hits), sum(counted), target.numel)
    })
  }

  /** Where the classes lie; throws ShapeError where the shapes do not tell. */
  #classDim(output: Tensor, target: Tensor): number {
    const { ndim, shape } = output
    const { classDim } = this.#options
    const fail = (rule: string): never => {
      throw new ShapeError(
        'accuracy',
        `outputs are ${formatShape(shape)}, targets ${formatShape(target.sizes)}; ${rule}`,
        [shape, target.sizes],
      )
    }
    const fits = (dim: number) => sameShape(without(shape, dim), target.sizes)
    const rule = 'targets must have the shape of the outputs without the dimension of the classes'
    if (ndim === 0) return fail(rule)
    if (classDim !== undefined) {
      const dim = normalizeDim('accuracy', classDim, ndim)
      return fits(dim) ? dim : fail(`${rule}, which is ${classDim}`)
    }
    const [first, last] = [Math.min(1, ndim - 1), ndim - 1]
    if (fits(first) && (first === last || !fits(last))) return first
    if (!fits(last)) return fail(`${rule}: dimension 1 as for crossEntropy, or the last`)
    if (!fits(first)) return last
    return fail(`the classes may lie along dimension 1 or ${last}; say accuracy({ classDim: 1 }) or { classDim: -1 }`)
  }

  compute(): Promise<number> {
    return this.#mean.compute()
  }
}

/**
 * The share of int32 targets that are the largest class of the outputs: targets [N, ...] for outputs [N, C, ...], as
 * crossEntropy takes them, or for [N, ..., C]. Targets that are `ignoreIndex` do not count; NaN where none does.
 */
export function accuracy(options: AccuracyOptions = {}): Metric {
  const { ignoreIndex, classDim } = checkOptions('accuracy', options, { ignoreIndex: true, classDim: true })
  for (const [name, value] of Object.entries({ ignoreIndex, classDim }))
    if (value !== undefined && !Number.isSafeInteger(value))
      throw new ValueError('accuracy', `${name} is ${shown(value)}, but must be an integer`)
  return new Accuracy(options)
}
