/** The learning-rate range test: a short training at growing rates, which is undone at its end. */
import { noGrad } from '../autograd/mode.js'
import { shown, ValueError } from '../core/errors.js'
import { printed } from '../core/host.js'
import { checkOptions } from '../core/options.js'
import { keep, outsideFrames } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import type { Module } from '../nn/module.js'
import { loadRandomState, randomState } from '../nn/random-state.js'
import type { Optimizer } from '../optim/optimizer.js'
import { checkBatches, checkSignal, noBatches, onePass } from './checks.js'
import type { AnyOptions, Batches, CommonOptions, TrainerOptions } from './options.js'
import { plot } from './plot.js'
import { isResumable } from './resume.js'
import { Trainer } from './trainer.js'

const op = 'findLearningRate'

export interface FindLearningRateOptions {
  /** The first and the last rate. Default 1e-7 and 10. */
  readonly from?: number
  readonly to?: number
  /** The number of steps between them, at rates that grow by a constant factor. Default 100. */
  readonly steps?: number
  /** Ends the test when the smoothed loss is this many times its minimum. Default 4. */
  readonly diverged?: number
  readonly signal?: AbortSignal
}

/** A step of the test. */
export interface RatedLoss {
  /** The rate of the first group. Other groups keep their proportion to it. */
  readonly lr: number
  /** The loss of the batch, before the step at this rate. */
  readonly loss: number
  /** The mean of the losses so far, in which each weighs 0.9 times as much as the one after it. */
  readonly smoothed: number
}

/** `console.log` prints its curve, which is also its text form. */
export interface LearningRateCurve {
  readonly curve: readonly RatedLoss[]
  /** The rate at which the smoothed loss falls fastest, or null if it never falls. */
  readonly suggestion: number | null
}

/** The share of the previous mean in the new mean of losses. */
const share = 0.9

/** Steps at the beginning, whose means are over too few losses to be compared. */
const warming = 5

/** The largest number of steps. More steps would give a curve that looks the same. */
const mostSteps = 10_000

/**
 * The learning-rate range test (Smith, 2017, "Cyclical Learning Rates for Training Neural Networks"). It trains the
 * Trainer's model with its optimizer and loss, at a rate that grows from step to step, until the loss diverges. Then
 * everything it changed is restored, to the bit: weights, buffers, the optimizer, random numbers and the loader's
 * place. Gradients are cleared. Callbacks, schedule and checkpoints take no part. Throws ValueError while the Trainer
 * is training.
 */
export async function findLearningRate<M extends string, B, Mod extends Module>(
  trainer: Trainer<M, B, Mod>,
  batches: Batches<B>,
  options: FindLearningRateOptions = {},
): Promise<LearningRateCurve> {
  if (!(trainer instanceof Trainer)) throw new ValueError(op, 'needs a Trainer with the optimizer and loss to try')
  const { from = 1e-7, to = 10, steps = 100, diverged = 4, signal } = checked(options)
  checkBatches(op, batches)
  checkSignal(op, signal)
  if (trainer.running) throw new ValueError(op, 'the Trainer is training; wait until that has ended')
  const { model, options: given } = trainer
  const { optimizer } = given
  const restore = remember(model, optimizer, batches)
  try {
    const first = optimizer.paramGroups[0]?.lr ?? 1
    const parts = optimizer.paramGroups.map(({ lr }) => (first === 0 ? 1 : lr / first))
    const rateOf = (step: number) => from * (to / from) ** (step / (steps - 1))
    const rate = (lr: number) => {
      optimizer.paramGroups.forEach((group, i) => {
        group.lr = lr * (parts[i] as number)
      })
    }
    const curve: RatedLoss[] = []
    let [sum, weight, least] = [0, 0, Number.POSITIVE_INFINITY]
    rate(from)
    for await (const step of bare(model, given).steps(endless(batches), signal === undefined ? {} : { signal })) {
      const loss = await step.loss()
      sum = share * sum + (1 - share) * loss
      weight = share * weight + (1 - share)
      const smoothed = sum / weight
      if (!Number.isFinite(smoothed)) break
      curve.push({ lr: rateOf(curve.length), loss, smoothed })
      least = Math.min(least, smoothed)
      if (curve.length === steps || (curve.length > warming && smoothed > diverged * least)) break
      rate(rateOf(curve.length))
    }
    return new Found(curve)
  } finally {
    restore()
  }
}

function checked(options: FindLearningRateOptions): FindLearningRateOptions {
  const names = { from: true, to: true, steps: true, diverged: true, signal: true } as const
  const { from = 1e-7, to = 10, steps = 100, diverged = 4 } = checkOptions(op, options, names)
  const fail = (message: string): never => {
    throw new ValueError(op, message)
  }
  if (!(Number.isFinite(from) && from > 0)) fail(`from is ${shown(from)}, but must be a positive number`)
  if (!(Number.isFinite(to) && to > from)) fail(`to is ${shown(to)}, but must be a number above ${from}`)
  if (!(Number.isSafeInteger(steps) && steps >= 10 && steps <= mostSteps))
    fail(`steps is ${shown(steps)}, but must be an integer from 10 to ${mostSteps}`)
  if (!(typeof diverged === 'number' && diverged > 1))
    fail(`diverged is ${shown(diverged)}, but must be a number above 1`)
  return options
}

/** A Trainer that takes the same steps and does nothing else. */
function bare<B, Mod extends Module>(model: Mod, options: CommonOptions<never>): Trainer<string, B, Mod> {
  const { optimizer, accumulate, clipGradNorm, precision } = options
  const { loss, step, objective } = options as AnyOptions
  const given = Object.entries({ optimizer, accumulate, clipGradNorm, precision, loss, step, objective })
  const set = Object.fromEntries(given.filter(([, value]) => value !== undefined))
  return new Trainer<string, B, Mod>(model, set as unknown as TrainerOptions<string, B, Mod>)
}

async function* endless<B>(batches: Batches<B>): AsyncGenerator<B> {
  for (let isFirst = true; ; isFirst = false) {
    let any = false
    for await (const batch of onePass(op, batches)) {
      any = true
      yield batch
    }
    if (any) continue
    if (isFirst) throw noBatches(op, 'batches')
    throw new ValueError(
      op,
      'the batches end before the test does, and can be used only once; give fewer steps, or a function that makes them, a DataLoader or a list',
    )
  }
}

/** Copies everything that the test changes. Returns a function that restores it. */
function remember(model: Module, optimizer: Optimizer, batches: unknown): () => void {
  const copies: Tensor[] = []
  const copy = (tensor: Tensor): Tensor => {
    const made = outsideFrames(() => keep(tensor.detach().clone()))
    copies.push(made)
    return made
  }
  const { weights, learned } = noGrad(() => {
    const { groups, state } = optimizer.stateDict()
    const entries = [...state].map(([name, { step, tensors }]) => {
      const own = Object.fromEntries(Object.entries(tensors).map(([slot, tensor]) => [slot, copy(tensor)]))
      return [name, { step, tensors: own }] as const
    })
    return {
      weights: new Map([...model.stateDict()].map(([name, tensor]) => [name, copy(tensor)])),
      learned: { groups, state: new Map(entries) },
    }
  })
  const random = randomState(model)
  const place = isResumable(batches) ? batches.stateDict() : null
  return () => {
    model.loadStateDict(weights)
    optimizer.loadStateDict(learned)
    if (isResumable(batches)) batches.loadStateDict(place)
    loadRandomState(model, random)
    for (const tensor of copies) tensor.dispose()
  }
}

class Found implements LearningRateCurve {
  readonly curve: readonly RatedLoss[]

  constructor(curve: readonly RatedLoss[]) {
    this.curve = curve
  }

  get suggestion(): number | null {
    let [steepest, at] = [0, null as number | null]
    // Rates grow by a constant factor, so differences from step to step are slopes.
    for (let i = warming + 1; i < this.curve.length - 1; i++) {
      const slope = ((this.curve[i + 1] as RatedLoss).smoothed - (this.curve[i - 1] as RatedLoss).smoothed) / 2
      if (slope < steepest) [steepest, at] = [slope, (this.curve[i] as RatedLoss).lr]
    }
    return at
  }

  toString(): string {
    const [first, last] = [this.curve[0], this.curve.at(-1)]
    if (first === undefined || last === undefined) return 'no losses'
    const curves = plot([{ name: 'smoothed loss', values: this.curve.map(({ smoothed }) => smoothed) }])
    const suggestion = this.suggestion?.toPrecision(2) ?? 'none: the loss does not fall'
    return `${curves}\nlr from ${first.lr.toPrecision(2)} to ${last.lr.toPrecision(2)}; suggestion ${suggestion}`
  }

  [printed](): string {
    return this.toString()
  }
}
