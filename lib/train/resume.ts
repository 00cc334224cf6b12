/** The place of a run: everything that a checkpoint holds, captured at the end of a step and restored later. */
import { kindOf, OutOfMemoryError, StateDictError, shown, ValueError } from '../core/errors.js'
import type { Resumable } from '../core/generator.js'
import { preparedState } from '../core/resumable.js'
import type { Module } from '../nn/module.js'
import { preparedRandomState, type RandomState, randomState } from '../nn/random-state.js'
import type { LoadableState } from '../nn/state.js'
import type { AverageState, WeightAverage } from '../optim/average.js'
import type { Optimizer } from '../optim/optimizer.js'
import type { Schedule } from '../optim/schedule.js'
import type { OptimizerState } from '../optim/state.js'
import type { HeldOut } from './held-out.js'
import type { EpochRecord, NonFinite, Telemetry, ValidationRecord } from './history.js'
import type { CommonOptions } from './options.js'
import type { PassState } from './pass.js'
import { createHash } from './record/system.js'

/** A pass in progress. */
export interface Within {
  /** The number of steps taken in it. */
  readonly index: number
  /** The number of batches taken from the data. */
  readonly batches: number
  /** The learning rate of the last step. */
  readonly lr: number
  /** The seconds it has taken so far. */
  readonly seconds: number
  /** Whether a validation after the last step is due, because there was no time for it. */
  readonly validate: boolean
  /** Whether only the work after its last step is left. */
  readonly ended: boolean
  readonly pass: PassState
}

/** The progress of a training. */
export interface Place {
  /** The number of the Trainer's steps. */
  readonly steps: number
  readonly epochs: number
  /** The steps and epochs at which the fit began, and the milliseconds it has taken so far. */
  readonly fit: { readonly steps: number; readonly epochs: number; readonly time: number }
  /** Null between passes. */
  readonly within: Within | null
  /** The place in the data, if the data know it. */
  readonly data: unknown
  /** The place in the validation's data after the last complete validation, if the data know it. */
  readonly validation: unknown
  readonly history: {
    readonly epochs: readonly EpochRecord[]
    readonly validations: readonly ValidationRecord[]
    /** Missing in checkpoints of earlier versions. */
    readonly telemetry?: readonly Telemetry[]
    readonly nonFinite: NonFinite | null
    readonly stopped: string | null
  }
}

/** The parts of a run. */
export interface Parts {
  readonly model: Module
  /** Averages of its weights, or null if there are none. */
  readonly average: WeightAverage | null
  readonly options: CommonOptions<string>
  readonly metrics: readonly string[]
  readonly batches: unknown
  readonly heldOut: HeldOut
  /** The fingerprint of the data, or null if they have none. */
  readonly fingerprint: string | null
  /** The number of steps that the Trainer has taken. */
  readonly steps: number
  /** Options of the optimizer as the program gave them (`givenOptions`). */
  readonly given: Config
}

/** The configuration of a run, by the names that errors use. */
export type Config = { readonly [field: string]: unknown }

interface RunState {
  readonly format: 1
  readonly config: Config
  readonly place: Place
  readonly model: LoadableState
  readonly optimizer: OptimizerState
  readonly schedule: unknown
  readonly average: AverageState | null
  readonly random: RandomState
  readonly callbacks: readonly unknown[]
  readonly also: { readonly [name: string]: unknown }
}

/** Whether an iterator tells its place, as a DataLoader's does. */
export function hasState(value: unknown): value is { state(): unknown } {
  return typeof (value as { readonly state?: unknown } | null)?.state === 'function'
}

export function isResumable(value: unknown): value is Resumable<unknown> {
  const { stateDict, loadStateDict } = (value ?? {}) as { readonly [name: string]: unknown }
  return typeof stateDict === 'function' && typeof loadStateDict === 'function'
}

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0

function isPlace(value: unknown): value is Place {
  const { steps, epochs, fit, within, history } = (value ?? {}) as Partial<Place>
  return (
    [steps, epochs, fit?.steps, fit?.epochs].every(isCount) &&
    typeof fit?.time === 'number' &&
    (within === null || [within?.index, within?.batches].every(isCount)) &&
    Array.isArray(history?.epochs) &&
    Array.isArray(history?.validations)
  )
}

/**
 * Options of an optimizer by group, before a schedule or a callback changes them, and the rates with which a schedule
 * began.
 */
export function givenOptions({ paramGroups }: Optimizer, schedule: Schedule | undefined): Config {
  const base = schedule?.stateDict().base ?? []
  const rates = Object.fromEntries(
    base.map((rate, i) => [`the rate before the schedule of the optimizer's group ${i}`, rate]),
  )
  const options = Object.fromEntries(
    paramGroups.flatMap((group, i) =>
      Object.entries(group).map(([option, value]) => [
        `${option} of the optimizer's group ${i}`,
        JSON.stringify(value),
      ]),
    ),
  )
  return { ...options, ...rates }
}

const fingerprintField = 'the fingerprint of the data'

/** Steps at which an error can report that the rate was different. */
const shownSteps = [0, 1, 10, 100, 1000, 10_000]

/**
 * The rates of a schedule in its first 10,000 steps, as if each group had begun with 1. Empty if the schedule's
 * function fails.
 */
function ratesOf(schedule: Schedule | undefined): Config {
  if (schedule === undefined) return {}
  try {
    const rate = (steps: number) => Number(schedule.rateAt(steps, 1).toPrecision(6))
    const seen = shownSteps.map((steps) => [`the rate of the schedule after ${steps} steps`, rate(steps)])
    const hash = createHash('sha256')
    for (let group = 0; group < schedule.optimizer.paramGroups.length; group++)
      hash.update(Float32Array.from({ length: 10_001 }, (_, steps) => schedule.rateAt(steps, 1, group)))
    return { ...Object.fromEntries(seen), 'the digest of the schedule over 10000 steps': hash.digest('hex') }
  } catch {
    return {}
  }
}

/** The configuration that must stay the same, so that a run continues as if it had never been interrupted. */
export function configOf({ average, options, metrics, batches, fingerprint, given }: Parts): Config {
  const {
    optimizer,
    schedule,
    scheduleEvery = 'step',
    accumulate = 1,
    clipGradNorm = null,
    precision = 'float32',
  } = options
  const { batchSize = null } = (batches ?? {}) as { readonly batchSize?: unknown }
  return {
    optimizer: optimizer.constructor.name,
    schedule: schedule?.constructor.name ?? null,
    ...ratesOf(schedule),
    scheduleEvery,
    accumulate,
    clipGradNorm,
    precision,
    average: average !== null,
    averageAfter: options.averageAfter ?? null,
    metrics: [...metrics].sort().join(', '),
    batchSize: typeof batchSize === 'number' ? batchSize : null,
    callbacks: options.callbacks?.length ?? 0,
    [fingerprintField]: fingerprint,
    ...given,
  }
}

/** The state of a run between two steps. The tensors are the run's own, so they must be read before the next step. */
export function captureRun(parts: Parts, config: Config, place: Place): RunState {
  const { model, average, options } = parts
  const { optimizer, schedule, callbacks = [], checkpoints } = options
  return {
    format: 1,
    config,
    place,
    model: model.stateDict(),
    optimizer: optimizer.stateDict(),
    schedule: schedule?.stateDict() ?? null,
    average: average?.stateDict() ?? null,
    random: randomState(model),
    callbacks: callbacks.map((callback) => (isResumable(callback) ? callback.stateDict() : null)),
    also: Object.fromEntries(Object.entries(checkpoints?.also ?? {}).map(([name, part]) => [name, part.stateDict()])),
  }
}

/**
 * Restores a state, except for callbacks, whose states `loadCallbacks` restores once they have started. Throws
 * ValueError, which names the field, if the configuration is not the run's, and StateDictError if weights do not fit.
 * No part of the library has changed then.
 */
export function restoreRun(op: string, path: string, parts: Parts, config: Config, state: unknown): Place {
  const fail = (message: string): never => {
    throw new ValueError(op, message)
  }
  const saved = state as RunState
  if (saved?.format !== 1) fail(`${path} is not a checkpoint of a Trainer, or is one from a later version`)
  const isWhole = [saved.config, saved.also, saved.callbacks].every((part) => typeof part === 'object' && part !== null)
  if (!isPlace(saved.place) || !isWhole)
    fail(`${path} does not contain the place of a run; it was written by something else`)
  const advice = 'begin a new run in another folder'
  for (const [field, now] of Object.entries(config)) {
    const before = saved.config[field]
    // Checkpoints of earlier versions lack some fields.
    if (before === now || !Object.hasOwn(saved.config, field)) continue
    if (field === fingerprintField)
      fail(`the data are not those of ${path}, as their fingerprints show; continue with the same data, or ${advice}`)
    fail(
      `${field} is ${shown(now)}, but was ${shown(before)} when ${path} was written; continue with the same configuration, or ${advice}`,
    )
  }
  const { model, average, options, batches } = parts
  const also = options.checkpoints?.also ?? {}
  const names = new Set([...Object.keys(also), ...Object.keys(saved.also)])
  for (const name of names)
    if (!Object.hasOwn(also, name) || !Object.hasOwn(saved.also, name))
      fail(
        `checkpoints.also has ${Object.hasOwn(also, name) ? `${name}, which ${path} lacks` : `no ${name}, which ${path} has`}`,
      )
  if (saved.place.data !== null && !isResumable(batches))
    fail(`the batches are ${kindOf(batches)}, but were a loader with a state when ${path} was written`)
  const loads: (() => void)[] = []
  const prepare = (name: string, make: () => () => void) => {
    const load = within(path, name, make)
    loads.push(() => within(path, name, load))
  }
  prepare('the model', () => preparedState(model, saved.model))
  prepare('the optimizer', () => preparedState(options.optimizer, saved.optimizer))
  const { schedule } = options
  if (schedule !== undefined) prepare('the schedule', () => preparedState(schedule, saved.schedule))
  if (average !== null) prepare('the average', () => preparedState(average, saved.average))
  for (const [name, part] of Object.entries(also)) prepare(name, () => preparedState(part, saved.also[name]))
  // The place in the data is only checked here, before anything changes. The next pass restores it.
  const { data, validation } = saved.place
  if (data !== null) within(path, 'the batches', () => preparedState(batches as Resumable<unknown>, data))
  within(path, 'the validation', () => parts.heldOut.prepare(op, validation))
  // The random state comes last, because restoring the rest may draw numbers.
  prepare('the random numbers', () => preparedRandomState(op, model, saved.random))
  for (const load of loads) load()
  return saved.place
}

/** Runs `fn`, whose errors then name the file and the part. */
function within<R>(path: string, part: string, fn: () => R): R {
  try {
    return fn()
  } catch (error) {
    if (error instanceof StateDictError) throw new StateDictError(error.problems, error.op, `${path}, ${part}`)
    if (error instanceof ValueError)
      throw new ValueError(error.op, `${path}, ${part}: ${error.message.replace(`[${error.op}] `, '')}`)
    if (error instanceof OutOfMemoryError) throw error
    // A part of the program's own threw something else, which stays the cause.
    throw Object.assign(new ValueError('Trainer.fit', `${path}, ${part}: its loadStateDict threw ${String(error)}`), {
      cause: error,
    })
  }
}

export function loadCallbacks(path: string, { options }: Parts, state: unknown): void {
  for (const [i, callback] of (options.callbacks ?? []).entries()) {
    const saved = (state as RunState).callbacks[i] ?? null
    if (isResumable(callback)) within(path, `callback ${i}`, () => callback.loadStateDict(saved))
    else if (saved !== null) {
      const advice = 'give the same callbacks in the same order, or begin a new run in another folder'
      throw new ValueError('Trainer.fit', `callback ${i} has no state, but had one when ${path} was written; ${advice}`)
    }
  }
}

/** The batches after the first `count`, for data that cannot resume on their own. */
export async function* behind<B>(
  op: string,
  batches: AsyncIterable<B> | Iterable<B>,
  count: number,
): AsyncGenerator<B, void, void> {
  let passed = 0
  for await (const batch of batches) if (passed++ >= count) yield batch
  if (passed < count)
    throw new ValueError(
      op,
      `the batches end after ${passed}, but ${count} were taken before; continue with the same data`,
    )
}
