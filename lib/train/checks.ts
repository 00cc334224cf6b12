/** The checks of a Trainer: its options and batches before the training begins, and every step. */
import { isIterable } from '../core/engine.js'
import { AutogradError, DTypeError, formatShape, kindOf, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkFlag, checkOptions } from '../core/options.js'
import { Tensor } from '../core/tensor.js'
import type { Parameter } from '../nn/module.js'
import { checkCheckpoints } from './checkpoints.js'
import type { Batch } from './objective.js'
import type { AnyOptions, Batches, CommonOptions, FitOptions } from './options.js'
import { folderOf } from './record/place.js'

/** Names in an epoch's record that are not metrics. */
const reserved = ['loss', 'epoch', 'step', 'seconds', 'lr', 'validation']

const hooks = ['onStart', 'onStep', 'onValidation', 'onEpochEnd', 'onEnd']

export function checkTrainer(model: unknown, options: AnyOptions): void {
  const fail = (message: string): never => {
    throw new ValueError('Trainer', message)
  }
  const { forward, parameters } = (model ?? {}) as { readonly [name: string]: unknown }
  if (typeof forward !== 'function' || typeof parameters !== 'function')
    fail(
      `the model is ${kindOf(model)}, but must be a module${typeof model === 'function' ? '; put functions and learning modules into one nn.Sequential' : ''}`,
    )
  checkOptions('Trainer', options, {
    optimizer: true,
    loss: true,
    objective: true,
    step: true,
    accumulate: true,
    metrics: true,
    callbacks: true,
    schedule: true,
    scheduleEvery: true,
    clipGradNorm: true,
    precision: true,
    average: true,
    averageAfter: true,
    checkpoints: true,
    run: true,
    loggers: true,
    logEvery: true,
    gradNorm: true,
    checkpointing: true,
    detectAnomaly: true,
  })
  const { optimizer, metrics, callbacks, schedule, scheduleEvery, clipGradNorm, precision, accumulate } = options
  checkObjective(options, fail)
  if (accumulate !== undefined && !(Number.isSafeInteger(accumulate) && accumulate >= 1))
    fail(`accumulate is ${shown(accumulate)}, but must be a positive integer`)
  if (typeof optimizer?.step !== 'function' || typeof optimizer.parameters !== 'function') fail('needs an optimizer')
  if (optimizer.paramGroups === undefined)
    fail(
      `cannot train with ${optimizer.constructor.name}, whose step evaluates the loss many times; call its step in a loop of your own`,
    )
  if (schedule !== undefined) {
    if (typeof schedule?.step !== 'function')
      fail(`the schedule is ${kindOf(schedule)}, but must be a schedule, such as optim.LinearLR`)
    if (!('end' in schedule))
      fail(
        `the schedule is ${kindOf(schedule)}, whose step takes a number; leave the option out, call step(validation.loss) in a callback's onEpochEnd, and let checkpoints save its state: { also: { plateau } }`,
      )
    if (schedule.optimizer !== optimizer)
      fail('the schedule belongs to another optimizer, so it would change nothing here; make it with this one')
  } else if (scheduleEvery !== undefined) fail('scheduleEvery needs a schedule')
  if (scheduleEvery !== undefined && scheduleEvery !== 'step' && scheduleEvery !== 'epoch')
    fail(`scheduleEvery is ${shown(scheduleEvery)}, but must be 'step' or 'epoch'`)
  if (clipGradNorm !== undefined && !(typeof clipGradNorm === 'number' && clipGradNorm > 0))
    fail(`clipGradNorm is ${shown(clipGradNorm)}, but must be positive`)
  if (precision !== undefined && precision !== 'float32' && precision !== 'bfloat16')
    fail(`precision is ${shown(precision)}, but must be 'float32' or 'bfloat16'`)
  const { average, averageAfter } = options
  if (average !== undefined && typeof average !== 'function')
    fail(`average is ${kindOf(average)}, but must be an averaging such as optim.ema(0.999)`)
  if (averageAfter !== undefined && !(Number.isSafeInteger(averageAfter) && averageAfter >= 0))
    fail(`averageAfter is ${shown(averageAfter)}, but must be a number of steps`)
  if (averageAfter !== undefined && average === undefined) fail('averageAfter needs an average')
  checkRecord(options, fail)
  if (options.detectAnomaly !== undefined) checkFlag('Trainer', 'detectAnomaly', options.detectAnomaly)
  if (options.checkpointing !== undefined) checkFlag('Trainer', 'checkpointing', options.checkpointing)
  checkMetrics(metrics)
  checkMetrics(options.objective?.metrics)
  for (const name of Object.keys(metrics ?? {}))
    if (Object.hasOwn(options.objective?.metrics ?? {}, name))
      fail(`metric ${name} is also a metric of the objective; give one of them another name`)
  checkCallbacks(callbacks)
}

/** Options of a run's folder and loggers. */
function checkRecord(options: AnyOptions, fail: (message: string) => never): void {
  const { run, checkpoints, loggers, logEvery, gradNorm } = options
  if (run !== undefined && (typeof run !== 'string' || run === ''))
    fail(`run is ${shown(run)}, but must be the path of a folder`)
  if (checkpoints !== undefined) checkCheckpoints(checkpoints, run)
  folderOf(run, checkpoints?.folder)
  if (loggers !== undefined && !Array.isArray(loggers))
    fail(`loggers are ${kindOf(loggers)}, but must be a list: [consoleLogger()]`)
  for (const [i, logger] of (loggers ?? []).entries())
    if (typeof logger?.log !== 'function')
      fail(
        `logger ${i} is ${typeof logger === 'function' ? 'a function; call it: consoleLogger()' : kindOf(logger)}, but must be an object with log(event)`,
      )
  if (logEvery !== undefined && !(Number.isSafeInteger(logEvery) && logEvery >= 1))
    fail(`logEvery is ${shown(logEvery)}, but must be a positive integer`)
  if (gradNorm !== undefined) checkFlag('Trainer', 'gradNorm', gradNorm)
  const told = run !== undefined || checkpoints !== undefined || (loggers ?? []).length > 0
  for (const [name, value] of Object.entries({ logEvery, gradNorm }))
    if (value !== undefined && !told) fail(`${name} needs a run or loggers to report to`)
}

function checkObjective({ loss, objective, step }: AnyOptions, fail: (message: string) => never): void {
  const given = Object.entries({ loss, objective, step }).filter(([, value]) => value !== undefined)
  if (given.length !== 1)
    fail(
      `needs one of loss: (output, target) => Tensor, objective: { loss(model, batch) }, and step: (batch) => { total, count }, but got ${given.map(([name]) => name).join(' and ') || 'none'}`,
    )
  if (loss !== undefined && typeof loss !== 'function')
    fail(
      `loss is ${kindOf(loss)}, but must be a function (output, target) => Tensor, such as nn.functional.crossEntropy; ` +
        'of a layer pass (output, target) => layer.forward(output, target)',
    )
  if (step !== undefined && typeof step !== 'function')
    fail('needs a function for the step: (batch) => { total, count }')
  if (objective === undefined) return
  if (typeof objective?.loss !== 'function')
    fail(
      `the objective is ${kindOf(objective)}, but must be an object with loss(model, batch), which gives { total, count }`,
    )
  if (objective.predict !== undefined && typeof objective.predict !== 'function')
    fail(`predict of the objective is ${kindOf(objective.predict)}, but must be a function`)
}

function checkMetrics(metrics: unknown): void {
  if (metrics === undefined) return
  if (typeof metrics !== 'object' || metrics === null || Array.isArray(metrics))
    throw new ValueError(
      'Trainer',
      `metrics are ${kindOf(metrics)}, but must be an object: { accuracy: metrics.accuracy }`,
    )
  for (const [name, metric] of Object.entries(metrics)) {
    if (reserved.includes(name) || name.includes('.'))
      throw new ValueError(
        'Trainer',
        `a metric cannot be named '${name}': records already contain ${reserved.join(', ')}, and dots separate paths`,
      )
    const { update, compute, reset } = (metric ?? {}) as { readonly [method: string]: unknown }
    if (typeof metric !== 'function' && [update, compute, reset].some((method) => typeof method !== 'function'))
      throw new ValueError(
        'Trainer',
        `metric ${name} is ${kindOf(metric)}, but must be a metric, or a function that makes one`,
      )
  }
}

function checkCallbacks(callbacks: unknown): void {
  if (callbacks === undefined) return
  if (!Array.isArray(callbacks))
    throw new ValueError('Trainer', `callbacks are ${kindOf(callbacks)}, but must be a list of objects`)
  for (const [i, callback] of callbacks.entries()) {
    if (typeof callback !== 'object' || callback === null)
      throw new ValueError(
        'Trainer',
        `callback ${i} is ${typeof callback === 'function' ? 'a function; call it: earlyStopping()' : kindOf(callback)}, but must be an object with ${hooks.join(', ')}`,
      )
    // A plain object may have been left empty on purpose.
    if (kindOf(callback) !== 'an object' && !hooks.some((name) => name in callback))
      throw new ValueError(
        'Trainer',
        `callback ${i} is ${kindOf(callback)} without any of ${hooks.join(', ')}, so it would never be called; ` +
          'call what it does in one of them',
      )
    for (const name in callback) {
      if (!/^on[A-Z]/.test(name)) continue
      if (!hooks.includes(name))
        throw new ValueError(
          'Trainer',
          `callback ${i} has ${name}, which is never called; there are ${hooks.join(', ')}`,
        )
      const hook: unknown = callback[name]
      if (hook !== undefined && typeof hook !== 'function')
        throw new ValueError('Trainer', `${name} of callback ${i} is ${kindOf(hook)}, but must be a function`)
    }
  }
}

/**
 * Refuses an optimizer without any parameter of the model: it belongs to a model that was since rebuilt or loaded
 * again.
 */
export function checkWiring(model: readonly Parameter[], optimized: readonly Parameter[]): void {
  if (model.length === 0) throw new ValueError('Trainer', 'the model has no parameters')
  const own = new Set(model)
  if (!optimized.some((parameter) => own.has(parameter)))
    throw new ValueError(
      'Trainer',
      `none of the optimizer's ${optimized.length} parameters is one of the model's ${model.length}; make the optimizer with this model's parameters()`,
    )
}

export function checkBatches(op: string, batches: unknown): asserts batches is Batches<unknown> {
  if (typeof batches === 'function') return
  if (!isIterable(batches))
    throw new ValueError(op, `the batches are ${kindOf(batches)}, but must be a DataLoader or another iterable`)
}

export function checkEpochs(op: string, epochs: unknown): void {
  if (!Number.isSafeInteger(epochs) || (epochs as number) < 0)
    throw new ValueError(op, `epochs is ${shown(epochs)}, but must be a non-negative integer`)
}

/** Limits that end a training before its epochs do, and the steps between validations. */
function checkEnds(op: string, steps: unknown, minutes: unknown, validateEvery: unknown, validated: boolean): void {
  for (const [name, value] of Object.entries({ steps, validateEvery }))
    if (value !== undefined && !(Number.isSafeInteger(value) && (value as number) >= 1))
      throw new ValueError(op, `${name} is ${shown(value)}, but must be a positive integer`)
  if (minutes !== undefined && !(typeof minutes === 'number' && minutes > 0))
    throw new ValueError(op, `minutes is ${shown(minutes)}, but must be a positive number`)
  if (validateEvery !== undefined && !validated) throw new ValueError(op, 'validateEvery needs validation batches')
}

/** Options of a fit, checked in the order in which a developer would correct them. */
export function checkFit<B>(op: string, options: FitOptions<B>, checkpoints: unknown): void {
  checkOptions(op, options, {
    epochs: true,
    steps: true,
    minutes: true,
    validation: true,
    validateEvery: true,
    signal: true,
    resume: true,
    memory: true,
    progress: true,
  })
  const { epochs, steps, minutes, validation, validateEvery, resume, progress } = options
  if (progress !== undefined) checkFlag(op, 'progress', progress)
  checkEnds(op, steps, minutes, validateEvery, validation !== undefined)
  if (epochs !== undefined) checkEpochs(op, epochs)
  if (validation !== undefined) {
    checkBatches(op, validation)
    const ended = validateEvery === undefined && (epochs !== undefined || (steps ?? minutes) === undefined)
    checkPasses(op, 'validation batches', validation, ended ? (epochs ?? 1) : Number.POSITIVE_INFINITY)
  }
  checkResume(op, resume, checkpoints)
}

/** Refuses options that `steps` would ignore. */
export function checkBare(op: string, options: CommonOptions<never>): void {
  const { callbacks = [], loggers = [] } = options
  const given = [
    ...(callbacks.length > 0 ? ['callbacks'] : []),
    ...(loggers.length > 0 ? ['loggers'] : []),
    ...(['average', 'checkpoints', 'run'] as const).filter((name) => options[name] !== undefined),
  ]
  if (given.length > 0)
    throw new ValueError(
      op,
      `${given.join(' and ')} would be ignored; call fit, or leave them out and handle them in the loop`,
    )
}

function checkResume(op: string, resume: unknown, checkpoints: unknown): void {
  if (resume === undefined) return
  if (resume !== 'auto') throw new ValueError(op, `resume is ${shown(resume)}, but must be 'auto'`)
  if (checkpoints === undefined)
    throw new ValueError(op, "resume needs the Trainer's option checkpoints: { folder }, which names the run's folder")
}

/**
 * Refuses data that cannot serve `passes` passes: a list without batches, or an iterator, which is used up after one.
 */
export function checkPasses(op: string, name: string, batches: Batches<unknown>, passes: number): void {
  if (typeof batches === 'function') return
  if (passes > 0 && 'length' in batches && batches.length === 0) throw noBatches(op, name)
  if (passes > 1 && 'next' in batches && typeof batches.next === 'function')
    throw new ValueError(
      op,
      `the ${name} are an iterator, which is used up after one of ${passes} passes; pass the function that makes it, a DataLoader or a list`,
    )
}

export function noBatches(op: string, name: string): ValueError {
  return new ValueError(
    op,
    `there are no ${name}: the list is empty, has fewer items than dropLast needs, or comes from a generator that was used up`,
  )
}

/** Batches of one pass. */
export function onePass<B>(op: string, batches: Batches<B>): AsyncIterable<B> | Iterable<B> {
  if (typeof batches !== 'function') return batches
  const made: unknown = batches()
  if (!isIterable(made))
    throw new ValueError(op, `the function for the batches gave ${kindOf(made)}, but must give an iterable`)
  return made as AsyncIterable<B> | Iterable<B>
}

export function checkSignal(op: string, signal: AbortSignal | undefined): void {
  if (signal !== undefined && typeof signal?.throwIfAborted !== 'function')
    throw new ValueError(op, `the signal is ${kindOf(signal)}, but must be an AbortSignal`)
}

/** Returns the batch if it is [input, target] and has rows. */
export function checkBatch(op: string, batch: Batch): Batch {
  if (!Array.isArray(batch) || batch.length !== 2 || !(batch[0] instanceof Tensor) || !(batch[1] instanceof Tensor))
    throw new ValueError(
      op,
      `a batch is ${Array.isArray(batch) ? `[${batch.map(kindOf).join(', ')}]` : kindOf(batch)}, but must be [input, target], two tensors; ` +
        'let the dataset or its collate function make that, or give the Trainer an objective',
    )
  const [input, target] = batch as unknown as Batch
  if (input.sizes[0] === 0)
    throw new ValueError(
      op,
      `a batch has no rows: input ${formatShape(input.sizes)}, target ${formatShape(target.sizes)}; a mean over no rows does not exist, so leave the batch out`,
    )
  return batch as unknown as Batch
}

/** Refuses a promise from the model, because a step is one turn of the event loop. */
export function checkOutput(op: string, output: unknown): void {
  if (output instanceof Promise)
    throw new ValueError(
      op,
      `the model's forward gave ${kindOf(output)}, but must give the loss's input, not a promise`,
    )
}

/** Throws unless the loss function returned a tensor of one floating element. */
export function checkLoss(op: string, loss: unknown): void {
  if (!(loss instanceof Tensor))
    throw new ValueError(
      op,
      `the loss function gave ${kindOf(loss)}, but must give a tensor of one element, without item() or await`,
    )
  if (loss.numel !== 1)
    throw new ShapeError(
      op,
      `the loss function gave ${formatShape(loss.sizes)}, but must give one element; take its mean()`,
      [loss.sizes],
    )
  if (!loss.dtype.includes('float'))
    throw new DTypeError(op, `the loss function gave ${loss.dtype}, but must give a floating tensor`)
}

/** Throws unless a backward pass can begin at the loss. */
export function checkGraph(op: string, loss: Tensor): void {
  if (!loss.requiresGrad)
    throw new AutogradError(
      op,
      'the loss depends on no parameter that wants a gradient: all are frozen, or the output was detached or made under noGrad',
    )
}

/** Throws unless a backward pass has reached a parameter that the optimizer steps. */
export function checkReached(op: string, optimized: readonly Parameter[]): void {
  if (!optimized.some((parameter) => parameter.peekGrad() !== null))
    throw new AutogradError(
      op,
      `the loss reaches none of the optimizer's ${optimized.length} parameters; check that it is computed from the model's output, and that the learning parameters are in the optimizer`,
    )
}

/** The number of batches, or null if the data do not know it. */
export function lengthOf(batches: Batches<unknown>): number | null {
  if (typeof batches === 'function' || !('length' in batches)) return null
  return Number.isSafeInteger(batches.length) ? (batches.length as number) : null
}

/** The number of steps in one pass, or null if the number of batches is unknown. */
export function stepsIn(batches: Batches<unknown>, accumulate: number): number | null {
  const length = lengthOf(batches)
  return length === null ? null : Math.ceil(length / accumulate)
}
