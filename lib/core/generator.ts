import { kindOf, shown, ValueError } from './errors.js'

/** A position in a random stream; kernels turn it into numbers by Philox, the same on every device. */
export interface RandomPosition {
  readonly seed: number
  readonly stream: number
  readonly offset: number
}

export interface GeneratorState {
  readonly seed: number
  readonly stream: number
  readonly offset: number
}

/**
 * A source of random numbers: Philox 4x32-10 by (seed, stream, offset). Operators take positions from it in program order,
 * so that the same seed gives the same weights, batches and masks on every device; the state goes into checkpoints.
 */
export class Generator {
  #seed: number
  #stream: number
  #offset = 0

  /** `seed` a safe non-negative integer; `stream` (32 bits) tells generators of one seed apart. */
  constructor(seed: number, stream = 0) {
    this.#seed = checkInteger('seed', seed, Number.MAX_SAFE_INTEGER)
    this.#stream = checkInteger('stream', stream, 2 ** 32 - 1)
  }

  /** Starts the sequence of `seed` from its beginning. */
  manualSeed(seed: number): this {
    this.#seed = checkInteger('seed', seed, Number.MAX_SAFE_INTEGER, 'manualSeed')
    this.#offset = 0
    return this
  }

  /** Takes the position for `count` 32-bit words; the next call gets other words. */
  take(count: number): RandomPosition {
    // A position that is no number would stay one for all calls to come.
    checkInteger('count', count, Number.MAX_SAFE_INTEGER)
    const position = { seed: this.#seed, stream: this.#stream, offset: this.#offset }
    const next = this.#offset + Math.ceil(count / 4)
    if (!Number.isSafeInteger(next))
      throw new ValueError(
        'Generator',
        `has no ${count} numbers left behind offset ${this.#offset}; take another stream`,
      )
    this.#offset = next
    return position
  }

  /** Another independent generator, determined by this one's seed and position. */
  split(): Generator {
    const { seed, stream, offset } = this.take(4)
    return new Generator((seed + 0x9e3779b9 * (offset + 1)) % Number.MAX_SAFE_INTEGER, (stream + 1) >>> 0)
  }

  state(): GeneratorState {
    return { seed: this.#seed, stream: this.#stream, offset: this.#offset }
  }

  setState(state: GeneratorState): void {
    if (typeof state !== 'object' || state === null)
      throw new ValueError('Generator', `the state is ${kindOf(state)}, but must be what state() gave`)
    this.#seed = checkInteger('seed', state.seed, Number.MAX_SAFE_INTEGER)
    this.#stream = checkInteger('stream', state.stream, 2 ** 32 - 1)
    this.#offset = checkInteger('offset', state.offset, Number.MAX_SAFE_INTEGER)
  }
}

function checkInteger(name: string, value: number, max: number, op = 'Generator'): number {
  if (!Number.isSafeInteger(value) || value < 0 || value > max)
    throw new ValueError(op, `${name} must be an integer from 0 to ${max}, but is ${shown(value)}`)
  return value
}

/** Throws unless it is a Generator, or left out. */
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

/** Seeds this thread's default generator: all that follows is reproducible. */
export function manualSeed(seed: number): Generator {
  return defaultGenerator().manualSeed(seed)
}
