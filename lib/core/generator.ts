import { choices, drawNormal, drawUnit, faultOfWeights, permutation } from './draws.js'
import { kindOf, shown, ValueError } from './errors.js'
import { prepareState } from './resumable.js'

/** A position in a random stream. Kernels turn it into numbers by Philox, which are the same on every device. */
export interface RandomPosition {
  readonly seed: number
  readonly stream: number
  readonly offset: number
}

/** An object whose state a training checkpoint holds, and which can continue from such a state. */
export interface Resumable<State> {
  stateDict(): State
  loadStateDict(state: State): void
}

/** The state of a generator: a plain object, which can be written as JSON. */
export interface GeneratorState {
  readonly seed: number
  readonly stream: number
  readonly offset: number
}

/**
 * An event of a watched generator: it took this position, a program or a checkpoint set its state, `rewind` set its
 * state, or it was just made.
 */
export type GeneratorEvent = RandomPosition | 'set' | 'rewound' | 'made'

/** The name of the method that goes back to an earlier state, because a part of the program runs again. */
export const rewind: unique symbol = Symbol('rewind')

/**
 * A source of random numbers: Philox 4x32-10 by (seed, stream, offset). Operators take positions from it in program
 * order, so that the same seed gives the same weights, batches and masks on every device. Checkpoints hold its state.
 */
export class Generator implements Resumable<GeneratorState> {
  #seed: number
  #stream: number
  #offset = 0

  /** `seed` is a safe non-negative integer. `stream` (32 bits) separates generators with the same seed. */
  constructor(seed: number, stream = 0) {
    this.#seed = checkInteger('seed', seed, Number.MAX_SAFE_INTEGER)
    this.#stream = checkInteger('stream', stream, 2 ** 32 - 1)
    watcher?.(this, 'made')
  }

  /** Restarts from the beginning of the sequence of `seed`. */
  manualSeed(seed: number): this {
    watcher?.(this, 'set')
    this.#seed = checkInteger('seed', seed, Number.MAX_SAFE_INTEGER, 'manualSeed')
    this.#offset = 0
    return this
  }

  /** Takes the position for `count` 32-bit words; the next call gets other words. */
  take(count: number): RandomPosition {
    // The count is checked, because NaN in the position would stay there for all later calls.
    checkInteger('count', count, Number.MAX_SAFE_INTEGER)
    const position = { seed: this.#seed, stream: this.#stream, offset: this.#offset }
    if (watcher !== null) watcher(this, position)
    const next = this.#offset + Math.ceil(count / 4)
    if (!Number.isSafeInteger(next))
      throw new ValueError(
        'Generator',
        `has fewer than ${count} numbers left after offset ${this.#offset}; use another stream`,
      )
    this.#offset = next
    return position
  }

  /** Another independent generator, determined by this one's seed and position. */
  split(): Generator {
    const { seed, stream, offset } = this.take(4)
    return new Generator((seed + 0x9e3779b9 * (offset + 1)) % Number.MAX_SAFE_INTEGER, (stream + 1) >>> 0)
  }

  /** A number in [0, 1), with 53 bits: a `Math.random` that a seed can repeat. */
  random(): number {
    return drawUnit(this)
  }

  /** An integer in [low, high). */
  randint(low: number, high: number): number {
    if (!Number.isSafeInteger(low) || !Number.isSafeInteger(high) || low >= high)
      throw new ValueError(
        'Generator.randint',
        `needs integers low < high, but low is ${shown(low)} and high is ${shown(high)}`,
      )
    return low + Math.floor(this.random() * (high - low))
  }

  /** A number of the normal distribution with this mean and standard deviation. */
  normal(mean = 0, std = 1): number {
    if (!Number.isFinite(mean) || !(std >= 0))
      throw new ValueError(
        'Generator.normal',
        `needs a finite mean and a std of at least 0, but mean is ${shown(mean)} and std is ${shown(std)}`,
      )
    return mean + std * drawNormal(this)
  }

  /** True with probability p. */
  bernoulli(p = 0.5): boolean {
    if (!(p >= 0 && p <= 1))
      throw new ValueError('Generator.bernoulli', `p is ${shown(p)}, but must be a probability from 0 to 1`)
    return this.random() < p
  }

  /** The integers 0 .. n - 1 in a random order. */
  randperm(n: number): number[] {
    return permutation(checkInteger('n', n, 2 ** 32 - 1, 'Generator.randperm'), this)
  }

  /**
   * `count` indices of `weights`, each drawn with a probability proportional to its weight. With `replacement` an index
   * may come more than once. Throws ValueError if there are too few to choose from.
   */
  multinomial(weights: ArrayLike<number>, count: number, replacement = false): number[] {
    const op = 'Generator.multinomial'
    const isList = typeof weights === 'object' && weights !== null && typeof weights.length === 'number'
    if (!isList) throw new ValueError(op, `weights are ${kindOf(weights)}, but must be an array of numbers`)
    checkInteger('count', count, 2 ** 31 - 1, op)
    const fault = faultOfWeights(weights, count, replacement)
    if (fault !== null) throw new ValueError(op, fault)
    return [...choices(weights, count, replacement, this)]
  }

  stateDict(): GeneratorState {
    return { seed: this.#seed, stream: this.#stream, offset: this.#offset }
  }

  /** Continues from a state that `stateDict` gave. Throws ValueError for anything else, and then changes nothing. */
  loadStateDict(state: GeneratorState): void {
    this[prepareState](state)()
  }

  [prepareState](state: GeneratorState): () => void {
    const checked = checkGeneratorState('Generator', state)
    return () => this.#continueFrom(checked, 'set')
  }

  [rewind](state: GeneratorState): void {
    this.#continueFrom(state, 'rewound')
  }

  #continueFrom({ seed, stream, offset }: GeneratorState, event: GeneratorEvent): void {
    watcher?.(this, event)
    this.#seed = seed
    this.#stream = stream
    this.#offset = offset
  }
}

function checkInteger(name: string, value: number, max: number, op = 'Generator'): number {
  if (!Number.isSafeInteger(value) || value < 0 || value > max)
    throw new ValueError(op, `${name} must be an integer from 0 to ${max}, but is ${shown(value)}`)
  return value
}

/** Throws unless the state has the form that `Generator.stateDict` gives. */
export function checkGeneratorState(op: string, state: GeneratorState): GeneratorState {
  if (typeof state !== 'object' || state === null)
    throw new ValueError(op, `the state is ${kindOf(state)}, but must be what stateDict() gave`)
  return {
    seed: checkInteger('seed', state.seed, Number.MAX_SAFE_INTEGER, op),
    stream: checkInteger('stream', state.stream, 2 ** 32 - 1, op),
    offset: checkInteger('offset', state.offset, Number.MAX_SAFE_INTEGER, op),
  }
}

type GeneratorWatcher = (generator: Generator, event: GeneratorEvent) => void

let watcher: GeneratorWatcher | null = null

/** Calls `seen` with each generator that is made, and before each draws or changes state, while `fn` runs. */
export function watchGenerators<R>(seen: GeneratorWatcher, fn: () => R): R {
  const before = watcher
  watcher =
    before === null
      ? seen
      : (generator, event) => {
          seen(generator, event)
          before(generator, event)
        }
  try {
    return fn()
  } finally {
    watcher = before
  }
}

/** Throws unless the option is a Generator, or left out. */
export function checkGenerator(op: string, generator: unknown): void {
  if (generator !== undefined && !(generator instanceof Generator))
    throw new ValueError(op, `generator is ${shown(generator)}, but must be a Generator`)
}

let current: Generator | null = null

/** This thread's default generator, seeded from the clock unless `manualSeed` was called. */
export function defaultGenerator(): Generator {
  current ??= new Generator(Math.floor(Math.random() * 2 ** 32))
  return current
}

/** Seeds this thread's default generator, so that everything after it is reproducible. */
export function manualSeed(seed: number): Generator {
  return defaultGenerator().manualSeed(seed)
}
