/** The loss of a batch: the contract between a training loop and the task that is learned. */
import { noGrad } from '../autograd/mode.js'
import { isFloating } from '../core/dtype.js'
import { DTypeError, formatShape, kindOf, ShapeError, shown, ValueError } from '../core/errors.js'
import { keep, outsideFrames, visitTensors } from '../core/scope.js'
import { Tensor } from '../core/tensor.js'
import type { Module } from '../nn/module.js'
import { add, div, eq, mul, where } from '../ops/elementwise/index.js'
import { checkBatch, checkLoss, checkOutput } from './checks.js'
import type { AnyOptions } from './options.js'
import type { Metrics } from './pass.js'

/**
 * The loss of a batch as a sum, and the count over which it is a sum: rows, tokens, pairs. Sums can be added where
 * means cannot. So micro-batches, ragged last batches, evaluations and several workers all divide the total of sums by
 * the total of counts.
 */
export interface Loss {
  /** One floating element, summed over the batch: losses take `{ reduction: 'sum' }`. */
  readonly total: Tensor
  /** A number, or one element on the device, for which nobody waits. A batch with a count of 0 teaches nothing. */
  readonly count: Tensor | number
  /** The output for the metrics, which `Trainer.predict` also gives. */
  readonly output?: unknown
  /** The target with which the metrics compare the output. */
  readonly target?: Tensor
}

/** A task over batches of any form: masks, pairs, preferences. M names its metrics. */
export interface Objective<Mod extends Module = Module, B = unknown, M extends string = never> {
  /** Runs the model on a batch. Called under the Trainer's precision, in training and evaluation. */
  loss(model: Mod, batch: B): Loss
  /** The model's output for a batch, without needing a target. Default: the output of `loss`. */
  predict?(model: Mod, batch: B): Tensor
  /** Functions that make metrics, so that training and evaluation share no counts. */
  readonly metrics?: Metrics<M, never>
}

export type Batch = readonly [input: Tensor, target: Tensor]

/** Sums of a batch, once they are there. */
export interface Sums {
  readonly total: number
  readonly count: number
}

/** The short form of an objective: a loss function over batches of [input, target], a mean over the batch's rows. */
export interface ShortForm {
  readonly forward: (x: Tensor) => unknown
  readonly loss: (output: never, target: Tensor) => Tensor
}

/** The loss of one batch in the form for the loop: a mean for the backward pass, or a total to be added to others. */
export class Measured {
  readonly output: unknown
  readonly target: Tensor | undefined
  /** Rows, or the batch's other units, for code that counts progress. */
  readonly items: number
  readonly count: Tensor | number
  readonly #total: Tensor | null
  readonly #mean: Tensor | null

  private constructor(
    { output, target, count }: Omit<Loss, 'total'>,
    items: number,
    total: Tensor | null,
    mean: Tensor | null,
  ) {
    this.output = output
    this.target = target
    this.items = items
    this.count = count
    this.#total = total
    this.#mean = mean
  }

  /**
   * The loss in the short form. The loss function's mean is used as it is, because multiplying it by the rows would
   * round.
   */
  static short(op: string, { forward, loss }: ShortForm, batch: unknown): Measured {
    const [input, target] = checkBatch(op, batch as Batch)
    const output = forward(input)
    checkOutput(op, output)
    const mean = loss(output as never, target)
    checkLoss(op, mean)
    const rows = input.sizes[0] ?? 1
    return new Measured({ output, target, count: rows }, rows, null, mean)
  }

  static of(op: string, loss: Loss, batch: unknown): Measured {
    checkSums(op, loss)
    return new Measured(loss, itemsOf(batch, loss.count), loss.total, null)
  }

  /** The sum over the batch. */
  total(): Tensor {
    return this.#total ?? mul(this.#mean as Tensor, this.count as number)
  }

  /** The mean over the batch, or 0 if its count is 0. */
  mean(): Tensor {
    return this.#mean ?? over(this.#total as Tensor, this.count)
  }

  /** Begins to read the sums. */
  read(): Promise<Sums> {
    const { count } = this
    // The pass that adds up gets the error. Until then it must not count as unhandled.
    const first = (tensor: Tensor) => {
      const read = tensor.data()
      read.catch(() => undefined)
      return read.then(([value]) => value as number)
    }
    if (this.#mean !== null) return first(this.#mean).then((mean) => sums(mean * (count as number), count as number))
    const total = first(this.#total as Tensor)
    if (typeof count === 'number') return total.then((value) => sums(value, count))
    return Promise.all([total, first(count)]).then(([value, counted]) => sums(value, counted))
  }
}

/** The total of a batch with a count of 0 is 0 too. */
const sums = (total: number, count: number): Sums => ({ total: count === 0 ? 0 : total, count })

/** A total divided by a count. If the count is 0, the result is 0 and there are no gradients. */
function over(total: Tensor, count: Tensor | number): Tensor {
  if (typeof count === 'number') return count === 1 ? total : count === 0 ? mul(total, 0) : div(total, count)
  return div(total, divisor(count))
}

function divisor(count: Tensor): Tensor {
  return noGrad(() => {
    const floating = count.detach().to('float32').reshape([])
    return where(eq(floating, 0), Number.POSITIVE_INFINITY, floating)
  })
}

/** The way a model learns from a batch, and its output for one. */
export interface Learned {
  measured(op: string, batch: unknown): Measured
  predicted(batch: unknown): Tensor
}

/** Chosen by the form of the options. */
export function learning(model: Module, { loss, step, objective }: AnyOptions): Learned {
  if (loss !== undefined) {
    const forward = (x: Tensor) => (model as unknown as { forward(x: Tensor): unknown }).forward(x)
    const input = (batch: unknown) => (Array.isArray(batch) ? batch[0] : batch) as Tensor
    return {
      measured: (op, batch) => Measured.short(op, { forward, loss }, batch),
      predicted: (batch) => predicted(forward(input(batch)), "the model's forward"),
    }
  }
  const given = (objective ?? { loss: (_model, batch) => (step as (batch: unknown) => Loss)(batch) }) as Objective
  return {
    measured: (op, batch) => Measured.of(op, given.loss(model, batch), batch),
    predicted: (batch) =>
      given.predict === undefined
        ? predicted(given.loss(model, batch).output, step === undefined ? 'the loss of the objective' : 'step')
        : predicted(given.predict(model, batch), 'predict of the objective'),
  }
}

function predicted(output: unknown, by: string): Tensor {
  if (output instanceof Tensor) return output
  const advice =
    by === 'step'
      ? "return it as { total, count, output }, or call the model's forward in evaluation mode under noGrad"
      : 'give the Trainer an objective with predict(model, batch)'
  throw new ValueError(
    'Trainer.predict',
    `${by} gave ${kindOf(output)} as an output, but a prediction must be a tensor; ${advice}`,
  )
}

/** Counts of micro-batches, added up on the device if any of them is there. */
export class Counts {
  #number = 0
  #tensor: Tensor | null = null

  add(count: Tensor | number): void {
    if (typeof count === 'number') {
      this.#number += count
      return
    }
    noGrad(() =>
      outsideFrames(() => {
        const before = this.#tensor
        const part = count.detach().to('float32').reshape([])
        this.#tensor = keep(before === null ? part.clone() : add(before, part))
        before?.dispose()
      }),
    )
  }

  /** The divisor of the summed gradients. */
  divisor(): Tensor | number {
    if (this.#tensor === null) return this.#number === 0 ? Number.POSITIVE_INFINITY : this.#number
    return divisor(noGrad(() => add(this.#tensor as Tensor, this.#number)))
  }

  end(): void {
    this.#tensor?.dispose()
    this.#tensor = null
    this.#number = 0
  }
}

/** Rows of the first tensor in a batch, or else the loss's count if it is known. */
function itemsOf(batch: unknown, count: Tensor | number): number {
  let rows: number | undefined
  visitTensors(batch, ({ sizes }) => {
    rows ??= sizes[0]
  })
  return rows ?? (typeof count === 'number' ? count : 1)
}

function checkSums(op: string, loss: unknown): asserts loss is Loss {
  const form = '{ total, count }: the summed loss, and what it is a sum over'
  if (typeof loss !== 'object' || loss === null || loss instanceof Tensor || !('total' in loss && 'count' in loss))
    throw new ValueError(op, `the objective gave ${kindOf(loss)}, but must give ${form}`)
  const { total, count, target } = loss as Loss
  checkElement(op, 'total', total)
  if (!isFloating(total.dtype)) throw new DTypeError(op, `the total is ${total.dtype}, but must be floating`)
  if (typeof count !== 'number') checkElement(op, 'count', count)
  else if (!(Number.isFinite(count) && count >= 0))
    throw new ValueError(op, `the count is ${shown(count)}, but must be a number of at least 0`)
  if (target !== undefined && !(target instanceof Tensor))
    throw new ValueError(op, `the target of the objective is ${kindOf(target)}, but must be a tensor`)
}

function checkElement(op: string, name: string, value: unknown): asserts value is Tensor {
  if (!(value instanceof Tensor))
    throw new ValueError(
      op,
      `the ${name} is ${kindOf(value)}, but must be a tensor of one element, without item() or await`,
    )
  if (value.numel !== 1)
    throw new ShapeError(op, `the ${name} is ${formatShape(value.sizes)}, but must have one element; take its sum()`, [
      value.sizes,
    ])
}
