/** The state of everything random in a run, for checkpoints from which a run is resumed. */
import { kindOf, StateDictError, ValueError } from '../core/errors.js'
import { checkGeneratorState, defaultGenerator, type GeneratorState } from '../core/generator.js'
import { Module } from './module.js'

/** The random state of a run: a plain object, which can be written as JSON. */
export interface RandomState {
  /** The state of this thread's default generator, which serves everything that was given no other. */
  readonly default: GeneratorState
  /** The states of the generators that modules hold, by path (`blocks.0.dropout.generator`). */
  readonly modules: { readonly [path: string]: GeneratorState }
}

function checkModel(op: string, model: unknown): asserts model is Module {
  if (!(model instanceof Module)) throw new ValueError(op, `needs a module, but got ${kindOf(model)}`)
}

/**
 * The states of the default generator and of all generators of a model. The model's are found as its parameters are; a
 * generator in a private #field or a closure is not found. A loader with its own generator saves that itself.
 */
export function randomState(model: Module): RandomState {
  checkModel('randomState', model)
  const modules = model.namedGenerators().map(([path, generator]) => [path, generator.stateDict()] as const)
  return { default: defaultGenerator().stateDict(), modules: Object.fromEntries(modules) }
}

/**
 * Restores the states that `randomState` gave to the default generator and all generators of a model, so that the same
 * random numbers follow. Throws StateDictError if the model holds other generators, and ValueError for anything but
 * such a state, and then changes nothing.
 */
export function loadRandomState(model: Module, state: RandomState): void {
  preparedRandomState('loadRandomState', model, state)()
}

/**
 * Does the same as loadRandomState in two steps: this checks the state, and the function that it returns restores it.
 */
export function preparedRandomState(op: string, model: Module, state: RandomState): () => void {
  checkModel(op, model)
  if (typeof state !== 'object' || state === null || typeof state.modules !== 'object' || state.modules === null)
    throw new ValueError(op, `the state is ${kindOf(state)}, but must be what randomState() gave`)
  const own = new Map(model.namedGenerators())
  const problems = [
    ...[...own.keys()].filter((path) => !Object.hasOwn(state.modules, path)).map((path) => `missing: ${path}`),
    ...Object.keys(state.modules)
      .filter((path) => !own.has(path))
      .map((path) => `unexpected: ${path}`),
  ]
  if (problems.length > 0) throw new StateDictError(problems, op)
  const states = [
    [defaultGenerator(), checkGeneratorState(op, state.default)] as const,
    ...[...own].map(
      ([path, generator]) => [generator, checkGeneratorState(op, state.modules[path] as GeneratorState)] as const,
    ),
  ]
  return () => {
    for (const [generator, each] of states) generator.loadStateDict(each)
  }
}
