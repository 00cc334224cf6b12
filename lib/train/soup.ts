/** Merges several models into one, by the mean of their weights. */
import { noGrad } from '../autograd/mode.js'
import { isBlocks, isFloating } from '../core/dtype.js'
import { formatShape, kindOf, StateDictError, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { sameShape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { Module } from '../nn/module.js'
import { loadStateDict, type StateDict, stateDict } from '../nn/state.js'
import { to } from '../ops/convert.js'
import { add, div, sub } from '../ops/elementwise/index.js'
import { modelsOf } from './ensemble.js'

export interface SoupOptions<M extends Module> {
  /**
   * The model that receives the average as its weights: another model with the same shapes. Its own weights are
   * overwritten.
   */
  readonly into: M
  /**
   * Makes a greedy soup: returns a score of a candidate, of which more is better, measured on data that no model has
   * learned. The best model is taken, and then each next best whose weights do not make the average worse (Wortsman et
   * al., 2022). Default: all models are averaged.
   */
  readonly greedy?: (candidate: M) => number | Promise<number>
}

/** The result of `averageWeights`. */
export interface Soup<M extends Module> {
  /** `into`, with the average of the taken models' weights. */
  readonly model: M
  /** The places of the taken models, in the order in which they were taken. */
  readonly taken: readonly number[]
  /** The model's score by `greedy`, or null without it. */
  readonly score: number | null
}

/**
 * Averages the weights of models that were trained from one beginning. The result is about as good as their ensemble,
 * at one model's cost. Parameters and floating buffers, such as running statistics, are averaged. Other buffers are
 * those of the first model taken. The models are not changed, and must not be changed while it runs.
 *
 * Throws StateDictError, which lists the names, shapes and dtypes that do not match. Throws ValueError if `into` shares
 * memory with a model, a score is not a number, or weights changed meanwhile.
 */
export async function averageWeights<M extends Module>(models: Iterable<M>, options: SoupOptions<M>): Promise<Soup<M>> {
  const op = 'averageWeights'
  const all = modelsOf(op, 'models', models)
  const { into, greedy } = checkOptions(op, options, { into: true, greedy: true })
  if (!(into instanceof Module))
    throw new ValueError(op, `into is ${kindOf(into)}, but must be a module for the average`)
  if (greedy !== undefined && typeof greedy !== 'function')
    throw new ValueError(op, `greedy is ${kindOf(greedy)}, but must be a function that gives a number for a model`)
  const states = all.map((model) => stateDict(model))
  checkFit(op, states, stateDict(into))
  const versions = states.map((state) => [...state.values()].map(({ storage }) => storage.version))
  const checkUnchanged = () => {
    states.forEach((state, i) => {
      if ([...state.values()].some(({ storage }, j) => storage.version !== versions[i]?.[j]))
        throw new ValueError(
          op,
          `the weights of models[${i}] changed while they were averaged; train it before or afterwards`,
        )
    })
  }
  const cook = (taken: readonly number[]) => {
    checkUnchanged()
    noGrad(() =>
      loadAverage(
        into,
        taken.map((i) => states[i] as StateDict),
      ),
    )
  }
  if (greedy === undefined) {
    const taken = [...states.keys()]
    cook(taken)
    return { model: into, taken, score: null }
  }
  const scored = async (candidate: M, what: string) => {
    const score: unknown = await greedy(candidate)
    if (typeof score !== 'number' || Number.isNaN(score))
      throw new ValueError(op, `greedy gave ${shown(score)} for ${what}, but must give a number`)
    return score
  }
  const scores: number[] = []
  for (const [i, model] of all.entries()) scores.push(await scored(model, `models[${i}]`))
  const [best, ...others] = [...scores.keys()].sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b)
  let taken = [best as number]
  let score = scores[best as number] as number
  for (const i of others) {
    const tried = [...taken, i]
    cook(tried)
    const reached = await scored(into, `the average of ${tried.join(', ')}`)
    if (reached >= score) [taken, score] = [tried, reached]
  }
  cook(taken)
  return { model: into, taken, score }
}

function checkFit(op: string, states: readonly StateDict[], into: StateDict): void {
  const [first] = states as [StateDict]
  const problems: string[] = []
  const compare = (name: string, state: StateDict) => {
    for (const path of first.keys()) if (!state.has(path)) problems.push(`${name} lacks ${path}, which models[0] has`)
    for (const [path, { sizes, dtype }] of state) {
      const other = first.get(path)
      if (other === undefined) problems.push(`${name} has ${path}, which models[0] lacks`)
      else if (!sameShape(sizes, other.sizes) || dtype !== other.dtype)
        problems.push(
          `${path} of ${name} is ${dtype} ${formatShape(sizes)}, but of models[0] ${other.dtype} ${formatShape(other.sizes)}`,
        )
    }
  }
  for (const [i, state] of states.entries()) if (i > 0) compare(`models[${i}]`, state)
  compare('into', into)
  for (const [path, { dtype }] of first) if (isBlocks(dtype)) problems.push(`${path} is ${dtype}, which has no average`)
  if (problems.length > 0) throw new StateDictError(problems, op)
  const own = new Set([...into.values()].map(({ storage }) => storage))
  states.forEach((state, i) => {
    for (const [path, { storage }] of state)
      if (own.has(storage))
        throw new ValueError(
          op,
          `into shares ${path} with models[${i}], which would be overwritten; give a separate model`,
        )
  })
}

/** A running mean, because it makes the mean of equal numbers exactly that number. */
function loadAverage(into: Module, states: readonly StateDict[]): void {
  const [first, ...others] = states as [StateDict, ...StateDict[]]
  const state = new Map<string, Tensor>()
  for (const [path, tensor] of first) {
    if (!isFloating(tensor.dtype)) {
      state.set(path, tensor)
      continue
    }
    const wide = tensor.dtype === 'float64' ? 'float64' : 'float32'
    let average = to(tensor.detach(), wide)
    others.forEach((other, i) => {
      const next = to((other.get(path) as Tensor).detach().to(tensor.device), wide)
      average = add(average, div(sub(next, average), i + 2))
    })
    state.set(path, to(average, tensor.dtype))
  }
  loadStateDict(into, state)
}
