/** Warnings of a training. Each is given once. */
import { ValueError } from '../core/errors.js'
import { warn } from '../core/host.js'
import type { Module, Parameter } from '../nn/module.js'
import type { Callback, TrainingContext } from './callbacks.js'
import type { TrainingHistory } from './history.js'
import type { CommonOptions } from './options.js'
import { type Anomalies, describeAnomalies } from './preflight/anomaly.js'
import type { Plan } from './run.js'

export class Tellings {
  readonly #model: Module
  readonly #options: Pick<CommonOptions<never>, 'schedule' | 'scheduleEvery'>
  #toldSchedule = false
  #toldUnstepped = false
  #toldEmpty = false

  constructor(model: Module, options: Pick<CommonOptions<never>, 'schedule' | 'scheduleEvery'>) {
    this.#model = model
    this.#options = options
  }

  /**
   * Warns if a schedule ends before the training, provided the number of steps is known. The user learns it before a
   * night is spent at the last rate, which may be 0.
   */
  scheduleEnds(op: string, stepsPerEpoch: number | null, epochs: number, steps: number): void {
    const { schedule, scheduleEvery = 'step' } = this.#options
    if (schedule === undefined || schedule.end === null) return
    const byEpoch = scheduleEvery === 'epoch'
    const unknown = Number.POSITIVE_INFINITY
    const planned = byEpoch ? epochs : Math.min(stepsPerEpoch === null ? unknown : epochs * stepsPerEpoch, steps)
    if (planned === unknown || schedule.steps + planned <= schedule.end) return
    this.#schedule(
      op,
      `ends after ${schedule.end} steps, of which ${schedule.steps} have been taken, but this training takes ${planned}`,
    )
  }

  scheduleEnded(op: string): void {
    const { end = null, steps = 0 } = this.#options.schedule ?? {}
    if (end !== null && steps > end) this.#schedule(op, `ended after ${end} steps, but the training continues`)
  }

  /**
   * Warns if `validateEvery` is larger than the number of steps, provided that is known: the only validation is then
   * the one at the end.
   */
  neverValidates(op: string, { first, epochs, steps, validateEvery }: Plan, stepsPerEpoch: number | null): void {
    const byEpochs = stepsPerEpoch === null ? Number.POSITIVE_INFINITY : (epochs - first.epochs) * stepsPerEpoch
    const last = Math.min(steps, first.steps + byEpochs)
    if (validateEvery === undefined || last <= first.steps) return
    if (last === Number.POSITIVE_INFINITY || Math.floor(last / validateEvery) > Math.floor(first.steps / validateEvery))
      return
    warn(
      `[${op}] validateEvery is ${validateEvery}, but this training ends with step ${last}, so nothing is measured before its end; ` +
        'give fewer steps, or leave it out to measure after each epoch',
    )
  }

  /**
   * Warns of a pass in which no batch taught or measured anything, because the loss of every batch counted no row or
   * token. A single batch like this is allowed.
   */
  empty(op: string, { empty, batches }: { readonly empty: number; readonly batches: number }): void {
    if (empty < batches || batches === 0 || this.#toldEmpty) return
    this.#toldEmpty = true
    warn(
      `[${op}] the loss counted nothing in all ${batches} batches, so its mean is NaN; check that not all targets are ignored, ` +
        'masked or cut off',
    )
  }

  #schedule(op: string, what: string): void {
    if (this.#toldSchedule) return
    this.#toldSchedule = true
    warn(
      `[${op}] the schedule ${what}; a schedule counts steps: multiply epochs by the batches in one, make a new schedule for ` +
        "a new training, or give the Trainer scheduleEvery: 'epoch'",
    )
  }

  /**
   * Warns of parameters that learn nothing because no optimizer steps them, such as those of an adapter that was added
   * after the optimizer's list was made.
   */
  unstepped(op: string, stepped: ReadonlySet<Parameter>): void {
    if (this.#toldUnstepped) return
    const left = this.#model
      .namedParameters()
      .filter(([, parameter]) => parameter.requiresGrad && !stepped.has(parameter))
    if (left.length === 0) return
    this.#toldUnstepped = true
    const names = left.slice(0, 4).map(([name]) => name)
    warn(
      `[${op}] ${left.length} parameters of the model want gradients, but are not in the optimizer, and will not change: ` +
        `${names.join(', ')}${left.length > names.length ? ', ...' : ''}; add them (model.parameters() includes layers that are added later, ` +
        'a list does not), or freeze them',
    )
  }
}

/**
 * Ends all callbacks, even if some of them throw. Their errors do not hide the error with which the training failed.
 */
export async function endAll(
  callbacks: readonly Pick<Callback, 'onEnd'>[],
  context: TrainingContext,
  failed: boolean,
): Promise<void> {
  const errors: unknown[] = []
  for (const callback of callbacks) {
    try {
      await callback.onEnd?.(context)
    } catch (error) {
      errors.push(error)
    }
  }
  for (const error of failed ? errors : errors.slice(1))
    warn(`[Trainer.fit] a callback's onEnd failed too: ${String(error)}`)
  if (!failed && errors.length > 0) throw errors[0]
}

/** Warns once in a training that a loss is not finite. Returns false if that was already done. */
export function tellNonFinite(
  { op, history }: { readonly op: string; readonly history: TrainingHistory<string> },
  epoch: number,
  index: number | null,
  loss: number,
): boolean {
  if (history.nonFinite !== null) return false
  history.nonFinite = { epoch, index, loss }
  const where =
    index === null ? `of the validation after epoch ${epoch + 1}` : `of batch ${index + 1} of epoch ${epoch + 1}`
  warn(
    `[${op}] the loss ${where} is ${loss}; look for such numbers in the data, or use a smaller learning rate or clipGradNorm`,
  )
  return true
}

/** Warns that an aborted fit leaves no checkpoint, because a step got only some of its batches. */
export function tellUnsaved(op: string, step: number): void {
  warn(
    `[${op}] was aborted within step ${step}, whose next batch did not come, so no checkpoint was written; a resumed run continues ` +
      'from the one before',
  )
}

/** Tells what was found in the step after a loss that was not finite. The numbers of that loss's own step are gone. */
export function tellSuspects(op: string, step: number, found: Anomalies): void {
  const what = found.length === 0 ? 'all numbers are finite again' : describeAnomalies(found)
  warn(
    `[${op}] examined step ${step}, because an earlier loss was not finite and the optimizer has stepped since: ${what}; ` +
      'detectAnomaly: true stops a training at the exact operator, before the optimizer steps',
  )
}

/** The error with which `detectAnomaly` ends a training. */
export function notFinite(op: string, step: number, found: Anomalies): ValueError {
  const what =
    found.length === 0
      ? 'all are finite when the step runs again, so it does not do the same twice'
      : describeAnomalies(found)
  return new ValueError(
    op,
    `the loss or a gradient of step ${step} is not finite: ${what}; the optimizer has not taken this step`,
  )
}
