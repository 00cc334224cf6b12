/**
 * Keeps training steps and evaluations of one model apart, because an evaluation awaits its batches and must see one
 * state of the weights.
 */
import { kindOf, ValueError } from '../core/errors.js'
import { nextTurn, warn } from '../core/host.js'
import type { Storage } from '../core/storage.js'
import { captureModes, type Module } from '../nn/module.js'

/** An evaluation in progress. It must be ended once. */
interface Evaluation {
  /** Throws if the weights or modes have changed. */
  readonly check: () => void
  readonly end: () => void
}

/** Milliseconds after which a step that waits for an evaluation warns. */
const longWait = 10_000

const guards = new WeakMap<Module, Guard>()

/** The steps and evaluations in progress of a model, whichever Trainers use it. */
export class Guard {
  readonly #model: Module
  #stepping = false
  #fitting = false
  #evaluations = 0
  #restore: () => void = () => undefined
  #waiting: (() => void)[] = []
  #turn: Promise<void> | null = null

  private constructor(model: Module) {
    this.#model = model
  }

  static of(model: Module): Guard {
    let guard = guards.get(model)
    if (guard === undefined) {
      guard = new Guard(model)
      guards.set(model, guard)
    }
    return guard
  }

  /** Whether an evaluation is running, for which a step must wait. */
  get busy(): boolean {
    return this.#evaluations > 0
  }

  /**
   * Resolves when no evaluation is running or the signal is aborted. Warns once of a long wait, because a prediction
   * may have been left open.
   */
  async quiet(op: string, signal: AbortSignal | undefined): Promise<void> {
    const timer = setTimeout(
      () =>
        warn(
          `[${op}] has waited ${longWait / 1000} seconds for an evaluation or prediction of its model; end the loop over predict() before the next step`,
        ),
      longWait,
    )
    const ended = () => new Promise<void>((resolve) => this.#waiting.push(resolve))
    const aborted = new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve(), { once: true }))
    try {
      while (this.busy && !signal?.aborted) await Promise.race([ended(), aborted])
    } finally {
      clearTimeout(timer)
    }
  }

  /**
   * Claims the model for a fit, until `unfit`. Throws if another Trainer's fit has it, because the validations,
   * checkpoints and averages of each would then contain steps of the other. Loops over `steps` are not refused, because
   * a program may take steps of several objectives in turn.
   */
  fit(op: string): void {
    if (this.#fitting)
      throw new ValueError(
        op,
        `another Trainer is fitting the same model (${kindOf(this.#model)}), so checkpoints and validations would contain steps of both; await its fit first, or take turns with steps()`,
      )
    this.#fitting = true
  }

  unfit(): void {
    this.#fitting = false
  }

  step<R>(fn: () => R): R {
    this.#stepping = true
    try {
      return fn()
    } finally {
      this.#stepping = false
    }
  }

  /**
   * Resolves once the steps delayed by the last evaluation have run, or null if there are none. The next evaluation
   * waits for it, because otherwise it would overtake these steps, which would then change the mode during it.
   */
  get turn(): Promise<void> | null {
    return this.#turn
  }

  /** Runs an evaluation. `fn` gets a check that the weights and the mode have not changed. */
  async evaluating<R>(op: string, fn: (check: () => void) => Promise<R>): Promise<R> {
    if (this.#turn !== null) await this.#turn
    const evaluation = this.evaluate(op)
    try {
      return await fn(evaluation.check)
    } finally {
      evaluation.end()
    }
  }

  /**
   * Begins an evaluation in evaluation mode. Its end restores every module's mode; with several evaluations at once,
   * the last end does.
   */
  evaluate(op: string): Evaluation {
    if (this.#stepping)
      throw new ValueError(
        op,
        'was called within a training step, by the model, the loss or a metric; call it between steps',
      )
    if (this.#evaluations++ === 0) {
      this.#restore = captureModes(this.#model)
      this.#model.eval()
    }
    const end = () => {
      if (--this.#evaluations > 0) return
      this.#restore()
      if (this.#waiting.length > 0)
        this.#turn = nextTurn().then(() => {
          this.#turn = null
        })
      for (const resolve of this.#waiting.splice(0)) resolve()
    }
    return { check: this.#unchanged(op), end }
  }

  #unchanged(op: string): () => void {
    const weights: (readonly [storage: Storage, version: number])[] = []
    const parameters = [...this.#model.parameters()]
    for (const { storage } of parameters) weights.push([storage, storage.version])
    const changed = () =>
      parameters.some(({ storage }, i) => storage !== weights[i]?.[0] || storage.version !== weights[i]?.[1])
    return () => {
      if (this.#model.training || changed())
        throw new ValueError(
          op,
          `the model's ${this.#model.training ? 'mode' : 'weights'} changed while it was being evaluated, so the numbers would belong to no single model; ` +
            'await the evaluation before the next step of your own loop',
        )
    }
  }
}
