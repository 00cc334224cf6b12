/** Evaluations and predictions by a Trainer, of its own model or of another. */
import { autocast } from '../autograd/autocast.js'
import { noGrad } from '../autograd/mode.js'
import { kindOf, ValueError } from '../core/errors.js'
import { scope } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import { Module } from '../nn/module.js'
import { noBatches, onePass } from './checks.js'
import { Guard } from './guard.js'
import type { PassRecord } from './history.js'
import { untilAborted } from './interrupt.js'
import { type Learned, learning } from './objective.js'
import type { AnyOptions, Batches } from './options.js'
import { type Metrics, Pass } from './pass.js'
import type { Tellings } from './tell.js'

/** A model to evaluate: its loss and its prediction, and the guard that keeps its steps and evaluations apart. */
export type Looked = Learned & { readonly guard: Guard }

export class Looking<M extends string> {
  /** The Trainer's own model. */
  readonly own: Looked
  readonly #options: AnyOptions
  readonly #metrics: Metrics<M, never>
  readonly #tell: Tellings

  constructor(model: Module, options: AnyOptions, metrics: Metrics<M, never>, tell: Tellings) {
    this.#options = options
    this.#metrics = metrics
    this.#tell = tell
    this.own = this.#lookedAt(model)
  }

  /** Prepares a model whose forward and loss run in the Trainer's precision. */
  #lookedAt(model: Module): Looked {
    const { precision = 'float32' } = this.#options
    const precisely = <R>(fn: () => R): R => (precision === 'float32' ? fn() : autocast(precision, fn))
    const { measured, predicted } = learning(model, this.#options)
    return {
      measured: (op, batch) => precisely(() => measured(op, batch)),
      predicted: (batch) => precisely(() => predicted(batch)),
      guard: Guard.of(model),
    }
  }

  /**
   * The model to evaluate: the Trainer's own, unless another is given. Throws ValueError if that is not a model, or if
   * this Trainer cannot use another.
   */
  at(op: string, model: Module | undefined): Looked {
    if (model === undefined) return this.own
    if (!(model instanceof Module)) throw new ValueError(op, `model is ${kindOf(model)}, but must be a module`)
    if (this.#options.step !== undefined)
      throw new ValueError(
        op,
        'model cannot replace the one that `step` runs itself; give the Trainer a loss or an objective instead, which receive the model',
      )
    return this.#lookedAt(model)
  }

  /** Loss and metrics over a set. Errors about empty batches call them `name`. */
  measure(
    op: string,
    name: string,
    batches: Batches<unknown>,
    signal: AbortSignal | undefined,
    model?: Module,
  ): Promise<PassRecord<M>> {
    const { measured: measure, guard } = this.at(op, model)
    return guard.evaluating(op, async (checkUnchanged) => {
      const pass = new Pass(op, this.#metrics)
      try {
        for await (const batch of untilAborted(onePass(op, batches), signal)) {
          signal?.throwIfAborted()
          checkUnchanged()
          const { read } = scope(() =>
            noGrad(() => {
              const measured = measure(op, batch)
              pass.observe(measured.output, measured.target)
              return { read: measured.read() }
            }),
          )
          await pass.submitted(read)
        }
        if (pass.batches === 0) throw noBatches(op, name)
        const record = await pass.record()
        this.#tell.empty(op, pass)
        return record
      } finally {
        pass.end()
      }
    })
  }

  /** The model's prediction for each batch, one by one. */
  async *predict(
    op: string,
    batches: Batches<unknown>,
    signal: AbortSignal | undefined,
    model: Module | undefined,
  ): AsyncGenerator<Tensor> {
    const { predicted, guard } = this.at(op, model)
    if (guard.turn !== null) await guard.turn
    const evaluation = guard.evaluate(op)
    try {
      for await (const batch of untilAborted(onePass<unknown>(op, batches), signal)) {
        signal?.throwIfAborted()
        evaluation.check()
        yield noGrad(() => scope(() => predicted(batch)))
      }
    } finally {
      evaluation.end()
    }
  }
}
