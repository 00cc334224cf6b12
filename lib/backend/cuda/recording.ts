/**
 * The record of a captured graph of a GPU. A replay runs the calls without the program. So the record says how steps of
 * optimisers get their numbers, which generators the calls draw from, and which copies of weights they read.
 */
import type { Capture, Renewal } from '../../core/capture.js'
import type { Device, KernelCall } from '../../core/device.js'
import { InternalError, ValueError } from '../../core/errors.js'
import {
  type Generator,
  type GeneratorEvent,
  type GeneratorState,
  type RandomPosition,
  rewind,
  watchGenerators,
} from '../../core/generator.js'
import type { Shadow, Storage } from '../../core/storage.js'
import { denseTensor } from '../../core/tensor.js'
import { type CallWriter, kernelOf } from '../call.js'
import { familyOf, type KernelName } from '../table/index.js'

/** A captured call with numbers of its own at each replay. */
interface Varying {
  readonly kernel: KernelName
  /** The numbers of the captured call. Its tensors are left out, because they would live as long as the graph. */
  readonly values: Values
  readonly renewal: Renewal | null
}

interface Values {
  readonly numbers: readonly number[]
  readonly positions: readonly RandomPosition[]
}

interface Draws {
  readonly before: GeneratorState
  after: GeneratorState
}

const op = 'captureGraph'

export class Recording implements Capture {
  readonly device: Device
  readonly #calls: Varying[] = []
  readonly #draws = new Map<Generator, Draws>()
  /** The generators of positions, and those that were made meanwhile. */
  readonly #sources = new WeakMap<RandomPosition, Generator>()
  readonly #made = new WeakSet<Generator>()
  readonly #shadows = new Map<Storage, Shadow>()
  #renewal: Renewal | null = null

  constructor(device: Device) {
    this.device = device
  }

  /** Runs the function whose calls are captured. */
  watch(fn: () => void): void {
    watchGenerators((generator, event) => this.#note(generator, event), fn)
    for (const [generator, draws] of this.#draws) draws.after = generator.stateDict()
  }

  /** Takes back what the program has counted, because the calls will not run. */
  cancel(): void {
    for (const { renewal } of [...this.#calls].reverse()) renewal?.cancel()
    this.#renewal?.cancel()
    for (const [generator, { before }] of this.#draws) generator[rewind](before)
  }

  #note(generator: Generator, event: GeneratorEvent): void {
    if (event === 'made') this.#made.add(generator)
    else if (event === 'set')
      throw new ValueError(
        op,
        'the function sets the state of a generator, but each replay continues its numbers; set it before captureGraph',
      )
    else if (this.#made.has(generator))
      throw new ValueError(
        op,
        'the function draws from a generator that it makes, which each replay would begin anew; make it before captureGraph',
      )
    else {
      const state = generator.stateDict()
      if (!this.#draws.has(generator)) this.#draws.set(generator, { before: state, after: state })
      if (event !== 'rewound') this.#sources.set(event, generator)
    }
  }

  renewNext(renewal: Renewal): void {
    this.#renewal = renewal
  }

  readsShadow(storage: Storage, shadow: Shadow): void {
    this.#shadows.set(storage, shadow)
  }

  /** Notes a call that was captured. */
  noteCall(name: string, args: KernelCall): void {
    const kernel = name as KernelName
    const family = familyOf(name)
    const isStep = family === 'optimizer' && 'params' in args
    const draws = 'random' in args && !(family === 'attention' && args['dropout'] === 0)
    if (!isStep && !draws) return
    const renewal = isStep ? this.#renewal : null
    if (isStep) this.#renewal = null
    if (isStep && renewal === null) throw new InternalError(op, `nobody renews the numbers of ${name}`)
    if (draws && !this.#isDrawnHere(args['random'] as RandomPosition))
      throw new ValueError(
        op,
        `${name} takes a random position that was drawn before captureGraph, and would be the same at each replay; draw it in the function`,
      )
    this.#calls.push({ kernel, values: valuesOf(kernel, args), renewal })
  }

  /** Whether the function itself drew the position, so that a replay can draw the next one. */
  #isDrawnHere(position: RandomPosition): boolean {
    const generator = this.#sources.get(position)
    return generator !== undefined && position.offset >= (this.#draws.get(generator) as Draws).before.offset
  }

  /**
   * Prepares the next replay, and gives the numbers of its calls in the form of native/cuda/library.h. Throws before
   * anything changes if the program no longer has what was captured.
   */
  renew(): Float64Array {
    for (const { renewal } of this.#calls) renewal?.check()
    for (const [storage, shadow] of this.#shadows)
      if (storage.freed || storage.shadow !== shadow || shadow.storage.freed)
        throw new ValueError(
          'replay',
          'the bfloat16 copy of a weight that the graph reads is gone; capture another graph',
        )
    const starts = new Map([...this.#draws.keys()].map((generator) => [generator, generator.stateDict()]))
    for (const [storage, shadow] of this.#shadows) this.#refresh(storage, shadow)
    const renewed = this.#calls.flatMap(({ kernel, values, renewal }) => {
      const { numbers, positions } = renewal === null ? values : valuesOf(kernel, renewal.next() as KernelCall)
      const moved = positions.map((position) => this.#moved(position, starts))
      return [...numbers, ...moved.flatMap(({ seed, stream, offset }) => [seed, stream, offset])]
    })
    for (const [generator, { before, after }] of this.#draws) {
      const start = starts.get(generator) as GeneratorState
      generator[rewind]({ ...start, offset: start.offset + after.offset - before.offset })
    }
    return Float64Array.from(renewed)
  }

  /** The place of a captured position if its generator begins the replay in the state of `starts`. */
  #moved(position: RandomPosition, starts: ReadonlyMap<Generator, GeneratorState>): RandomPosition {
    const generator = this.#sources.get(position) as Generator
    const start = starts.get(generator) as GeneratorState
    const { before } = this.#draws.get(generator) as Draws
    return { ...start, offset: start.offset + position.offset - before.offset }
  }

  /** Brings a copy up to date that the graph reads, and keeps it from being released as unused. */
  #refresh(storage: Storage, shadow: Shadow): void {
    if (shadow.version !== storage.version) {
      const [out, x] = [shadow.storage, storage].map((each) => denseTensor(each, [each.count]))
      this.device.run(kernelOf('copy'), { out, x } as KernelCall)
      shadow.storage.markWritten('replay')
      shadow.version = storage.version
    }
    shadow.used = true
  }
}

const nothing = (): void => {}

/** The numbers and positions of a call, each in the order of the table of kernels. */
function valuesOf(kernel: KernelName, call: KernelCall): Values {
  const numbers: number[] = []
  const positions: RandomPosition[] = []
  const tensors = { out: nothing, place: nothing, dense: nothing, strided: nothing, absent: nothing, list: nothing }
  const writer: CallWriter = {
    ...tensors,
    number: (_name, value) => void numbers.push(Number(value)),
    integers: nothing,
    philox: (position) => void positions.push(position),
  }
  kernelOf(kernel).write(writer, call)
  return { numbers, positions }
}
