/** The epochs of a fit: steps, validations, callbacks and checkpoints, in their order. */
import type { Averaged } from './averaged.js'
import type { Callback, TrainingContext } from './callbacks.js'
import type { EpochRecord, PassRecord, ValidationRecord } from './history.js'
import type { Looking } from './looking.js'
import type { Batches } from './options.js'
import type { Pass, PassState } from './pass.js'
import type { Place, Within } from './resume.js'
import type { Plan, Run } from './run.js'
import type { Saver } from './saver.js'
import type { Stepping } from './stepping.js'
import { type Tellings, tellNonFinite, tellUnsaved } from './tell.js'

/** The parts of a fit. */
interface Fit<M extends string> {
  readonly run: Run<M>
  readonly plan: Plan
  readonly saver: Saver | null
  readonly callbacks: readonly Callback<M>[]
  readonly context: TrainingContext
  readonly stepping: Stepping<M>
  readonly looking: Looking<M>
  readonly averaged: Averaged | null
  readonly tell: Tellings
}

/** The progress within an epoch, as a checkpoint has it. */
interface Progress<M extends string> {
  readonly pass: Pass<M>
  /** The number of steps taken. */
  index: number
  /** The learning rate of the last step. */
  lr: number
  /** The state of the pass once it has ended, because a validation may overwrite the metrics; null before. */
  ended: PassState | null
  /** The seconds since the epoch began, without those between two runs. */
  readonly seconds: () => number
}

export class Epochs<M extends string> {
  readonly #fit: Fit<M>

  constructor(fit: Fit<M>) {
    this.#fit = fit
  }

  /** Runs the epochs up to the end of the plan, and saves the end. Throws the reason of an abort. */
  async run(): Promise<void> {
    const { run, plan, saver, callbacks, context, stepping } = this.#fit
    const { history } = run
    while (run.from !== null || (stepping.epochs < plan.epochs && history.stopped === null && !this.#isOver())) {
      if (saver !== null && run.signal?.aborted) {
        await this.#write(() => this.#place(null))
        throw run.signal.reason
      }
      const record = await this.#epoch()
      history.epochs.push(record)
      for (const callback of callbacks) await callback.onEpochEnd?.(record, context)
    }
    if (!run.isSaved) await this.#write(() => this.#place(null))
  }

  #isOver(): boolean {
    const { plan, stepping } = this.#fit
    return stepping.steps >= plan.steps || performance.now() >= plan.time
  }

  async #epoch(): Promise<EpochRecord<M>> {
    const { run, plan, saver, stepping, tell } = this.#fit
    const { from, history } = run
    const started = performance.now() - 1000 * (from?.seconds ?? 0)
    const progress: Progress<M> = {
      pass: stepping.beginPass(run),
      index: from?.index ?? 0,
      lr: from?.lr ?? Number.NaN,
      ended: null,
      seconds: () => (performance.now() - started) / 1000,
    }
    const { pass } = progress
    let validated = from === null ? undefined : history.validations.findLast(({ epoch }) => epoch === run.epoch)
    if (from?.validate) validated = await this.#validate(progress, from.ended)
    const goesOn = from === null || !(from.ended || this.#isOver())
    run.isSaved = !goesOn && !from.ended
    if (goesOn) validated = (await this.#steps(progress, from)) ?? validated
    progress.ended = saver === null ? null : await pass.state()
    const training = await pass.record().finally(() => pass.end())
    tell.empty(run.op, pass)
    const isLast = history.stopped !== null || stepping.epochs >= plan.epochs || this.#isOver()
    const isExtra = plan.validateEvery !== undefined && isLast && validated?.step !== stepping.steps
    if (isExtra && !run.isSaved && history.stopped === null) {
      // The run is saved before this validation, because a longer fit would not validate here.
      await this.#save(progress, { validate: false, ended: true })
      run.isSaved = true
    }
    if (plan.validation !== undefined && (plan.validateEvery === undefined || isExtra))
      validated = await this.#validate(progress, true)
    const { epoch } = run
    const { epoch: _epoch, step: _step, ...validation } = validated ?? { epoch, step: 0 }
    return {
      epoch,
      ...training,
      seconds: progress.seconds(),
      lr: progress.lr,
      ...(validated && { validation: validation as PassRecord<M> }),
    }
  }

  /** Takes the steps of the epoch, or those after a place within it. Returns the last validation, if there was one. */
  async #steps(progress: Progress<M>, from: Within | null): Promise<ValidationRecord<M> | undefined> {
    const { run, plan, saver, callbacks, context, stepping } = this.#fit
    const { history, signal } = run
    const { pass } = progress
    let validated: ValidationRecord<M> | undefined
    let [taken, isWaiting] = [from?.batches ?? 0, true]
    // A run that is saved ends after a step, and not before one.
    const ending = saver === null ? signal : undefined
    try {
      for await (const step of stepping.stepsOf(run, from, ending)) {
        isWaiting = false
        taken = pass.batches
        progress.index = step.index + 1
        progress.lr = stepping.lr
        for (const callback of callbacks) {
          const done = callback.onStep?.(step, context)
          if (done !== undefined) await done
        }
        const validate = plan.validateEvery !== undefined && stepping.steps % plan.validateEvery === 0
        if (saver !== null && signal?.aborted) {
          await this.#save(progress, { validate, ended: false })
          throw signal.reason
        }
        if (validate) validated = await this.#validate(progress, false)
        // The last step of a pass is followed by its end, where a schedule may be stepped.
        const isComplete = progress.index === context.stepsPerEpoch && history.stopped === null
        const isOver = this.#isOver()
        // A fit that ends within a pass is saved here, because a longer fit continues from here.
        run.isSaved = !isComplete && history.stopped === null && isOver
        if (run.isSaved || saver?.due(stepping.steps)) await this.#save(progress, { validate: false, ended: false })
        if (!isComplete && (history.stopped !== null || isOver)) break
        isWaiting = true
      }
    } catch (error) {
      // The abort came while the loop waited for a batch. If a step had already taken some of its batches and got no more
      // of them, their gradients are lost, and the run cannot be resumed from there.
      if (isWaiting && signal?.aborted && error === signal.reason) {
        if (taken === pass.batches) await this.#save(progress, { validate: false, ended: false })
        else if (saver !== null) tellUnsaved(run.op, stepping.steps + 1)
      }
      throw error
    }
    return validated
  }

  /** Validates. If it is aborted, saves the run so that the validation is repeated when the run is resumed. */
  async #validate(progress: Progress<M>, ended: boolean): Promise<ValidationRecord<M>> {
    const { run, averaged, context } = this.#fit
    const { signal, heldOut } = run
    try {
      run.journal?.pauses()
      heldOut.begins(context.model)
      return await (averaged?.within(() => this.#measure()) ?? this.#measure())
    } catch (error) {
      if (signal?.aborted && error === signal.reason) {
        heldOut.aborted(context.model)
        await this.#save(progress, { validate: !ended, ended })
      }
      throw error
    }
  }

  async #measure(): Promise<ValidationRecord<M>> {
    const { run, plan, callbacks, context, looking, stepping } = this.#fit
    const { op, epoch, signal, history, heldOut } = run
    const measured = await looking.measure(op, 'validation batches', plan.validation as Batches<unknown>, signal)
    heldOut.ended()
    if (!Number.isFinite(measured.loss)) tellNonFinite(run, epoch, null, measured.loss)
    const record = { epoch, step: stepping.steps, ...measured }
    history.validations.push(record)
    for (const callback of callbacks) await callback.onValidation?.(record, context)
    return record
  }

  async #save(progress: Progress<M>, left: Pick<Within, 'validate' | 'ended'>): Promise<void> {
    const { pass, index, lr, seconds, ended } = progress
    await this.#write(async () => {
      const state = ended ?? (await pass.state())
      return this.#place({ index, batches: pass.batches, lr, seconds: seconds(), ...left, pass: state })
    })
  }

  async #write(placeOf: () => Promise<Place>): Promise<void> {
    const { run, saver } = this.#fit
    await saver?.save(placeOf, async () => run.journal?.written())
  }

  /** The place of the run. `within` is its place in an epoch, or null between two epochs. */
  async #place(within: Within | null): Promise<Place> {
    const { run, plan, stepping } = this.#fit
    const { epochs, validations, telemetry, nonFinite, stopped } = run.history
    const { first } = plan
    return {
      steps: stepping.steps,
      epochs: stepping.epochs,
      fit: { steps: first.steps, epochs: first.epochs, time: performance.now() - first.began },
      within,
      data: run.loader(),
      validation: run.heldOut.place,
      // A run that was interrupted within an epoch will go on, so it has not stopped.
      history: {
        epochs,
        validations,
        telemetry,
        nonFinite,
        stopped: within === null ? stopped : null,
      } as Place['history'],
    }
  }
}
