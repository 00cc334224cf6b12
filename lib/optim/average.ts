/**
 * Averages of a model's weights over the steps of a training: exponential (EMA), or with equal weight for every step
 * (SWA).
 */
import { noGrad } from '../autograd/mode.js'
import { isMap } from '../core/engine.js'
import { formatShape, kindOf, StateDictError, shown, ValueError } from '../core/errors.js'
import { prepareState } from '../core/resumable.js'
import { keep, outsideFrames, scope } from '../core/scope.js'
import { sameShape } from '../core/shape.js'
import { checkAlive, Tensor } from '../core/tensor.js'
import type { Module, Parameter } from '../nn/module.js'
import { to } from '../ops/convert.js'
import { add, mul } from '../ops/elementwise/index.js'
import { clone } from '../ops/shape/index.js'
import { notWithin } from './options.js'
import { type Settings, settingProblems, settingsOf, withSettings } from './settings.js'

/** The share of the new weights in an average that already holds `count`; 1 for the first. */
export type Averaging = (count: number) => number

/**
 * Each average is `decay` times the previous one, plus 1 - decay times the weights. Throws ValueError unless `decay` is
 * in [0, 1).
 */
export function ema(decay: number): Averaging {
  const fault = notWithin('decay', decay, 0, 1)
  if (fault !== false) throw new ValueError('ema', fault)
  return withSettings(() => 1 - decay, { averaging: 'ema', decay })
}

/** The mean of all weights that `update` has seen (Izmailov et al., 2018). */
export function swa(): Averaging {
  return withSettings((count) => 1 / (count + 1), { averaging: 'swa' })
}

function checkModel(op: string, model: Module): void {
  if (typeof model?.namedParameters !== 'function')
    throw new ValueError(op, `the model is ${kindOf(model)}, but must be a module`)
}

/** The number of updates and the average of each weight, by name. */
export interface AverageState {
  readonly counts: ReadonlyMap<string, number>
  /** The options of the averaging, which must be the same again. Missing in states of earlier versions. */
  readonly options?: Settings
  readonly tensors: ReadonlyMap<string, Tensor>
}

interface Average {
  readonly count: number
  readonly tensor: Tensor
}

/**
 * Averages of a model's parameters, beside the model:
 *
 *     const average = new optim.WeightAverage(model, optim.ema(0.999))
 *     for (...) { optimizer.step(); average.update() }
 *     average.withWeights(() => evaluate(model))
 *     average.copyTo(model)
 *
 * Averages are on the parameter's device and in its dtype; those of 16-bit weights are float32. Parameters that are
 * added later begin their average with the next update. Buffers, such as running statistics, are not averaged.
 */
export class WeightAverage {
  readonly #model: Module
  readonly #averaging: Averaging
  #averages = new Map<string, Average>()

  constructor(model: Module, averaging: Averaging) {
    checkModel('WeightAverage', model)
    if (typeof averaging !== 'function')
      throw new ValueError(
        'WeightAverage',
        `the averaging is ${kindOf(averaging)}, but must be an averaging such as optim.ema(0.999)`,
      )
    this.#model = model
    this.#averaging = averaging
  }

  /** Adds the current weights to the average. */
  update(): void {
    const op = 'WeightAverage.update'
    const named = this.#model.namedParameters()
    checkAlive(op, named)
    checkAlive(op, this.#named(named))
    noGrad(() => {
      for (const [name, parameter] of named) scope(() => this.#take(name, parameter))
    })
  }

  /** The averages of these parameters, with the names that errors give them. */
  #named(parameters: readonly (readonly [string, Parameter])[]): (readonly [string, Tensor])[] {
    return parameters.flatMap(([name]) => {
      const average = this.#averages.get(name)
      return average === undefined ? [] : [[`the average of ${name}`, average.tensor]]
    })
  }

  #take(name: string, parameter: Parameter): void {
    const average = this.#averages.get(name)
    const weights = to(parameter.detach(), parameter.dtype === 'float64' ? 'float64' : 'float32')
    if (average === undefined || !sameShape(average.tensor.sizes, parameter.sizes)) {
      this.#averages.set(name, { count: 1, tensor: keep(clone(weights)) })
      return
    }
    const share = this.#averaging(average.count)
    if (!(typeof share === 'number' && share >= 0 && share <= 1))
      throw new ValueError('WeightAverage.update', `the share of new weights is ${shown(share)}, but must be in [0, 1]`)
    const before = to(average.tensor, parameter.device)
    const after = add(mul(before, 1 - share), mul(weights, share))
    const count = average.count + 1
    if (before === average.tensor) this.#averages.set(name, { count, tensor: before.copy_(after) })
    else {
      average.tensor.dispose()
      this.#averages.set(name, { count, tensor: keep(after) })
    }
  }

  /**
   * Overwrites the weights of this model, or of one with the same names, with the averages. Throws StateDictError, and
   * changes nothing, for a parameter that has another shape or no average.
   */
  copyTo(model: Module): void {
    const op = 'WeightAverage.copyTo'
    checkModel(op, model)
    const named = model.namedParameters()
    checkAlive(op, named)
    checkAlive(op, this.#named(named))
    const problems: string[] = []
    for (const [name, parameter] of named) {
      const average = this.#averages.get(name)
      if (average === undefined) problems.push(`missing: ${name}; call update() first`)
      else if (!sameShape(average.tensor.sizes, parameter.sizes))
        problems.push(`${name} is ${formatShape(average.tensor.sizes)}, but must be ${formatShape(parameter.sizes)}`)
    }
    if (problems.length > 0) throw new StateDictError(problems, op)
    noGrad(() => {
      for (const [name, parameter] of named)
        parameter.copy_(to((this.#averages.get(name) as Average).tensor, parameter.device))
    })
  }

  /**
   * Calls a function while the model's weights are the averages, and then restores its own. If the function returns a
   * promise, they are restored when it settles; the model must not be trained until then.
   */
  withWeights<R>(fn: () => R): R {
    const named = this.#model.namedParameters()
    checkAlive('WeightAverage.withWeights', named)
    const own = noGrad(() => outsideFrames(() => named.map(([, p]) => [p, keep(clone(p.detach()))] as const)))
    const restore = () =>
      noGrad(() => {
        for (const [parameter, weights] of own) {
          parameter.copy_(weights)
          weights.dispose()
        }
      })
    let later = false
    try {
      this.copyTo(this.#model)
      const result = fn()
      if (!(result instanceof Promise)) return result
      later = true
      return result.finally(restore) as R
    } finally {
      if (!later) restore()
    }
  }

  /**
   * The averages and their counts. The tensors are not copies: the next update changes them. `loadStateDict` copies.
   */
  stateDict(): AverageState {
    const all = [...this.#averages]
    return {
      options: this.#settings(),
      counts: new Map(all.map(([name, { count }]) => [name, count])),
      tensors: new Map(all.map(([name, { tensor }]) => [name, tensor])),
    }
  }

  /** The options of the averaging. A function of the program has none, so its shares stand for it. */
  #settings(): Settings {
    return settingsOf(this.#averaging, [['the share of new weights', (steps) => this.#averaging(steps + 1)]])
  }

  /**
   * Copies a state into this average. Throws StateDictError, and changes nothing, if it does not fit the model or was
   * taken with another averaging.
   */
  loadStateDict(state: AverageState): void {
    this[prepareState](state)()
  }

  [prepareState](state: AverageState): () => void {
    const op = 'WeightAverage.loadStateDict'
    if (!(state && isMap(state.counts) && isMap(state.tensors)))
      throw new StateDictError(['the state must have Maps counts and tensors, as stateDict() gives it'], op)
    const parameters = new Map(this.#model.namedParameters())
    const advice = 'average in the same way, or begin a new average'
    const problems = settingProblems(this.#settings(), state.options, advice)
    for (const [name, tensor] of state.tensors) {
      const parameter = parameters.get(name)
      if (parameter === undefined) problems.push(`unexpected: ${name}`)
      else if (!(tensor instanceof Tensor)) problems.push(`${name} is ${kindOf(tensor)}, but must be a tensor`)
      else if (tensor.storage.freed) problems.push(`${name} was freed`)
      else if (!sameShape(tensor.sizes, parameter.sizes))
        problems.push(`${name} is ${formatShape(tensor.sizes)}, but must be ${formatShape(parameter.sizes)}`)
      else if (tensor.dtype !== 'float32' && tensor.dtype !== 'float64')
        problems.push(`${name} is ${tensor.dtype}, but must be float32 or float64`)
      const count: unknown = state.counts.get(name)
      if (!Number.isSafeInteger(count) || (count as number) < 1)
        problems.push(`the count of ${name} is ${shown(count)}, but must be a positive integer`)
    }
    if (problems.length > 0) throw new StateDictError(problems, op)
    const averages = noGrad(() =>
      outsideFrames(
        () =>
          new Map<string, Average>(
            [...state.tensors].map(([name, tensor]) => {
              const there = to(tensor, (parameters.get(name) as Parameter).device)
              return [name, { count: state.counts.get(name) as number, tensor: keep(clone(there.detach())) }]
            }),
          ),
      ),
    )
    return () => {
      this.#averages = averages
    }
  }
}
