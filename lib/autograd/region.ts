/**
 * Regions of a graph whose activations a backward pass computes again instead of keeping them (Chen et al., "Training
 * deep nets with sublinear memory cost", 2016). A region keeps its recorded graph, with nodes and edges; only the saved
 * tensors are replaced by slots. When the first node reads a slot, the region's function runs again. It saves the same
 * tensors in the same order, and so fills all slots. It ends once the last slot is filled, because nobody reads the
 * rest. For example, the inputs of a block's last product are saved, but its result is not. The pass empties the slots
 * after its last node of the region.
 */

import { type Choice, currentChoice, type Defaults, notingDefaults, withChoice } from '../core/choice.js'
import { AutogradError, formatShape } from '../core/errors.js'
import { type Generator, type GeneratorEvent, type GeneratorState, rewind, watchGenerators } from '../core/generator.js'
import { capturePath } from '../core/module-path.js'
import { popFrame, pushFrame, scope } from '../core/scope.js'
import { sameShape } from '../core/shape.js'
import type { Storage } from '../core/storage.js'
import { type GraphNode, Tensor } from '../core/tensor.js'
import { type AutocastDType, autocastDType, forgetConversion, withAutocast } from './autocast.js'
import { withGradMode } from './mode.js'
import { mapLeaves } from './values.js'

const op = 'checkpoint'

/**
 * A tensor kept for backward, with the version of its memory at that time. If it has been overwritten since, it is of
 * no use.
 */
export class Saved {
  readonly tensor: Tensor
  /** The tensor's storage at the call. It is kept, because `Module.to()` may give a parameter other memory. */
  readonly storage: Storage
  readonly version: number

  constructor(tensor: Tensor) {
    this.tensor = tensor
    this.storage = tensor.storage
    this.version = tensor.storage.version
  }
}

/** A slot for a tensor that its region computes again. */
export class Slot {
  readonly region: Region
  readonly version: number
  readonly sizes: readonly number[]
  readonly dtype: string
  readonly node: GraphNode | null
  readonly outputIndex: number
  /** The name of the operator that needs it. */
  readonly by: string
  /** The memory of a parameter that wants a gradient. The same parameter must fill the slot again. */
  readonly parameter: Storage | null
  filled: Saved | null = null

  constructor(region: Region, tensor: Tensor, by: string) {
    const { storage, sizes, dtype, node, outputIndex } = tensor
    this.region = region
    this.by = by
    this.parameter = parameterOf(tensor)
    this.version = storage.version
    this.sizes = sizes
    this.dtype = dtype
    this.node = node
    this.outputIndex = outputIndex
  }

  /** The tensor, as part of the graph that was recorded first. */
  fill(tensor: Tensor): void {
    const { storage, sizes, steps, offset } = tensor
    let own = tensor
    if (this.node !== null) {
      own = new Tensor(storage, sizes, steps, offset)
      own.node = this.node
      own.outputIndex = this.outputIndex
    }
    this.filled = new Saved(own)
  }
}

export type Kept = Saved | Slot

/** The memory of a module's parameter. Other leaves do not count, because the function makes new ones each time. */
function parameterOf({ node, requiresGrad, storage }: Tensor): Storage | null {
  return node === null && requiresGrad && storage.owner === 'model' ? storage : null
}

/**
 * The receiver of saved tensors: slots of a region that runs for the first time, or the list of one that runs again.
 */
interface Keeper {
  readonly region: Region | null
  keep(tensor: Tensor, by: string): Kept
  /** Called when an operator reads a tensor, for parameters that nothing saves. */
  read(tensor: Tensor): void
  /** Whether `more` further tensors are the last ones to keep. */
  ends(more: number): boolean
}

/** Thrown when a function that runs again has kept everything that its region needs. */
class Enough extends Error {}
const enough = new Enough('the end of what a backward pass needs, which only the library sees')

let active: Keeper | null = null

/** Keeps a tensor for the backward pass of an operator. */
export function keepForBackward(tensor: Tensor, by: string): Kept {
  return active === null ? new Saved(tensor) : active.keep(tensor, by)
}

/** Tells the running region, on its first run or a later one, what an operator reads. */
export function noteReads(inputs: readonly (Tensor | null)[]): void {
  if (active === null) return
  for (const input of inputs) if (input !== null) active.read(input)
}

/** Whether a function is running again, so that it may end early. */
export function mayEnd(): boolean {
  return active !== null && active.region === null
}

/**
 * Called before an operator of a function that runs again. Ends the function if everything is kept, or will be with
 * these inputs of the operator. They are then kept here, and the operator need not run. `saved` is null if the operator
 * keeps results too.
 */
export function endIfKept(by: string, saved: readonly Tensor[] | null): void {
  const keeper = active as Keeper
  if (keeper.ends(0)) throw enough
  if (saved === null || !keeper.ends(saved.length)) return
  for (const tensor of saved) keeper.keep(tensor, by)
  throw enough
}

/**
 * The kept tensor. If its region has not computed it again yet, this does so, for gradients with or without a graph.
 */
export function recall(kept: Kept, createGraph: boolean): Saved {
  if (!(kept instanceof Slot)) return kept
  if (kept.filled === null) kept.region.runAgain(createGraph)
  return kept.filled as Saved
}

/** The region whose function is running for the first time; null if there is none. */
export function activeRegion(): Region | null {
  return active === null ? null : active.region
}

let runningAgain = 0

/**
 * Whether the function of a `checkpoint` is running again for a backward pass. A layer that updates a state in its
 * forward asks this, because the state already has its update.
 */
export function isRecomputing(): boolean {
  return runningAgain > 0
}

interface Draws {
  readonly before: GeneratorState
  after: GeneratorState
}

function sameState(a: GeneratorState, b: GeneratorState): boolean {
  return a.seed === b.seed && a.stream === b.stream && a.offset === b.offset
}

export class Region {
  readonly region = this
  /** The region around it. */
  readonly parent: Region | null
  readonly #autocast: AutocastDType | null = autocastDType()
  readonly #choice: Choice | null = currentChoice()
  /** The adapters that were active the first time, because others may be active by the time it runs again. */
  readonly #defaults: Defaults = new Map()
  /** The leaves that wanted a gradient the first time, because this decides what is saved. */
  readonly #leaves = new Set<Tensor>()
  readonly #within = capturePath()
  readonly #generators = new Map<Generator, Draws>()
  /** The states of the generators when the last tensor was kept. */
  #drawn: ReadonlyMap<Generator, GeneratorState> | null = null
  #fn: (inputs: unknown) => unknown
  /**
   * The inputs. Their tensors are kept like saved ones, because tensors made within another region would otherwise
   * outlive it.
   */
  #form: unknown
  #inputs: Kept[] = []
  #slots: Slot[] = []
  #isRunning = true
  /** The number of nodes that may still ask for their slots. */
  #nodes = 0
  /**
   * The version of each storage when it was first read. Storages made within the function are recorded too, but never
   * looked up, because the function makes new ones when it runs again.
   */
  readonly #read = new WeakMap<Storage, number>()
  /** The keeper around this region, which must also hear of reads while the function runs for the first time. */
  #around: Keeper | null = active
  /** The storages in slots that were made when the function ran again. */
  readonly #storages = new Set<Storage>()

  private constructor(fn: (inputs: unknown) => unknown, inputs: unknown) {
    this.parent = activeRegion()
    this.#fn = fn
    this.#form = mapLeaves(inputs, (leaf) => {
      if (!(leaf instanceof Tensor)) return leaf
      const kept = keepForBackward(leaf, op)
      this.#inputs.push(kept)
      return kept
    })
  }

  /** Runs a function, and keeps only its result. */
  static run<In extends readonly unknown[], R>(fn: (...inputs: In) => R, inputs: In, check: (result: R) => R): R {
    if (mayEnd()) endIfKept(op, null)
    const region = new Region((recalled) => fn(...(recalled as In)), inputs)
    const note = (generator: Generator, event: GeneratorEvent) => {
      if (event === 'made') return
      const before = generator.stateDict()
      if (!region.#generators.has(generator)) region.#generators.set(generator, { before, after: before })
    }
    const first = () =>
      notingDefaults(region.#defaults, () => watchGenerators(note, () => scope(() => check(fn(...inputs)))))
    try {
      return region.#as(region, first)
    } finally {
      for (const [generator, draws] of region.#generators) draws.after = generator.stateDict()
      region.#isRunning = false
      region.#around = null
    }
  }

  #as<R>(keeper: Keeper, fn: () => R): R {
    const before = active
    active = keeper
    // The kept conversion is released, because one made outside would be made inside the next time, and the other way
    // round.
    forgetConversion()
    try {
      return fn()
    } finally {
      active = before
      forgetConversion()
    }
  }

  keep(tensor: Tensor, by: string): Slot {
    const slot = new Slot(this, tensor, by)
    this.#slots.push(slot)
    if (this.#generators.size > 0)
      this.#drawn = new Map([...this.#generators.keys()].map((generator) => [generator, generator.stateDict()]))
    return slot
  }

  read(tensor: Tensor): void {
    const { storage } = tensor
    if (!this.#read.has(storage)) this.#read.set(storage, storage.version)
    if (tensor.node === null && tensor.requiresGrad) this.#leaves.add(tensor)
    this.#around?.read(tensor)
  }

  /** Always false, because a region that runs for the first time cannot know. */
  ends(): boolean {
    return false
  }

  /** Whether as many random numbers have been drawn as when the last tensor was kept. */
  #drewThose(): boolean {
    for (const [generator, { before }] of this.#generators)
      if (!sameState(generator.stateDict(), this.#drawn?.get(generator) ?? before)) return false
    return true
  }

  /** Runs the function again, which fills the slots. */
  runAgain(createGraph: boolean): void {
    if (this.#isRunning)
      throw new AutogradError(
        op,
        'a backward pass inside the function needs values that are computed again only after the function has ended; call backward() or grad() outside it',
      )
    const found: Tensor[] = []
    const keeper: Keeper = {
      region: null,
      keep: (tensor, by) => {
        this.#checkSame(found.length, tensor, by)
        found.push(tensor)
        return new Saved(tensor)
      },
      read: (tensor) => {
        const { storage, sizes } = tensor
        if (parameterOf(tensor) !== null && !this.#leaves.has(tensor))
          throw changed(`it reads a parameter of shape ${formatShape(sizes)} that it did not read before`)
        const version = this.#read.get(storage)
        if (version !== undefined && version !== storage.version) throw overwritten(sizes, storage, version)
      },
      ends: (more) => found.length + more === this.#slots.length && this.#drewThose(),
    }
    // If the gradients have a graph, the tensors made here are part of it, and are freed like it.
    const frame = createGraph ? null : pushFrame()
    try {
      this.#as(keeper, () => this.#replay(createGraph))
      if (found.length !== this.#slots.length)
        throw changed(`${found.length} tensors were saved for the backward pass, but ${this.#slots.length} before`)
      found.forEach((tensor, i) => {
        this.#slots[i]?.fill(tensor)
        if (frame === null || tensor.storage.owner !== frame) return
        tensor.storage.owner = 'pass'
        this.#storages.add(tensor.storage)
      })
    } finally {
      if (frame !== null) {
        popFrame(frame)
        for (const storage of frame.storages)
          if (storage.owner === frame && !storage.freed) storage.device.free(storage)
      }
    }
  }

  /** Runs the function under the modes and with the random numbers of the first time. */
  #replay(createGraph: boolean): void {
    const inputs = mapLeaves(this.#form, (leaf) =>
      leaf instanceof Saved || leaf instanceof Slot ? this.#input(recall(leaf, createGraph)) : leaf,
    )
    const now = new Map<Generator, GeneratorState>()
    for (const [generator, { before }] of this.#generators) {
      now.set(generator, generator.stateDict())
      generator[rewind](before)
    }
    const frozen = [...this.#leaves].filter((leaf) => !leaf.requiresGrad)
    for (const leaf of frozen) leaf.requiresGrad = true
    runningAgain++
    const run = () =>
      this.#within(() =>
        withAutocast(this.#autocast, () =>
          withGradMode(op, true, () =>
            withChoice(op, { values: this.#defaults, outer: this.#choice }, () =>
              watchGenerators(
                (generator, event) => {
                  if (event !== 'made' && !this.#generators.has(generator))
                    throw changed('it draws from another random generator')
                },
                () => this.#fn(inputs),
              ),
            ),
          ),
        ),
      )
    try {
      if (endsEarly(run)) return
      for (const [generator, { after }] of this.#generators)
        if (!sameState(generator.stateDict(), after)) throw changed('it draws a different number of random numbers')
    } finally {
      runningAgain--
      for (const leaf of frozen) leaf.requiresGrad = false
      for (const [generator, state] of now) generator[rewind](state)
    }
  }

  #input({ tensor, storage, version }: Saved): Tensor {
    storage.check(op)
    if (tensor.storage !== storage)
      throw new AutogradError(op, 'an input was moved to another device or dtype since; run backward before to()')
    if (storage.version !== version)
      throw new AutogradError(
        op,
        `the function is to run again on an input of shape ${formatShape(tensor.sizes)}, but ${storage.writer} has ` +
          `overwritten it since; run backward before ${storage.writer}, or give the function a clone()`,
      )
    return tensor
  }

  #checkSame(index: number, tensor: Tensor, by: string): void {
    const { sizes, dtype, storage } = tensor
    const slot = this.#slots[index]
    if (slot === undefined) throw changed(`it saves more than ${this.#slots.length} tensors for the backward pass`)
    if (!sameShape(slot.sizes, sizes) || slot.dtype !== dtype)
      throw changed(
        `it saves a ${formatShape(sizes)} tensor of ${dtype} where it saved a ${formatShape(slot.sizes)} one of ${slot.dtype}`,
      )
    if (slot.by !== by) throw changed(`it saves a tensor for ${by} where it saved one for ${slot.by}`)
    if (slot.parameter !== parameterOf(tensor))
      throw changed(
        `${by} saves another parameter of shape ${formatShape(sizes)} than before, or one that was moved by to()`,
      )
    if (slot.version !== storage.version) throw overwritten(sizes, storage, slot.version)
  }

  /** Whether a storage is freed when this region, or an enclosing one, empties its slots. */
  owns(storage: Storage): boolean {
    return this.#storages.has(storage) || this.parent?.owns(storage) === true
  }

  /** Empties the slots. */
  empty(): void {
    for (const slot of this.#slots) slot.filled = null
    for (const storage of this.#storages) if (storage.owner === 'pass' && !storage.freed) storage.device.free(storage)
    this.#storages.clear()
  }

  /** Counts a new node of this region. Nodes of inner regions may ask for this one's slots too. */
  enter(): void {
    this.#nodes++
    this.parent?.enter()
  }

  /** Called when a node no longer needs its slots. After the last one the region releases its inputs. */
  release(): void {
    if (--this.#nodes === 0) {
      this.empty()
      this.#fn = () => undefined
      this.#form = []
      this.#inputs = []
      this.#slots = []
      this.#defaults.clear()
      this.#leaves.clear()
    }
    this.parent?.release()
  }

  /** Calls `visit` with every storage that running again would read, except those that the function itself holds. */
  visitSaved(visit: (storage: Storage) => void, seen: Set<object>): void {
    if (seen.has(this)) return
    seen.add(this)
    for (const kept of this.#inputs)
      if (kept instanceof Slot) kept.region.visitSaved(visit, seen)
      else visit(kept.storage)
  }
}

/** Runs a function, and tells whether it ended early because everything was kept. */
function endsEarly(run: () => unknown): boolean {
  try {
    run()
    return false
  } catch (error) {
    if (error === enough) return true
    throw error
  }
}

function overwritten(sizes: readonly number[], { writer, version: now }: Storage, version: number): AutogradError {
  return new AutogradError(
    op,
    `the function needs a tensor of shape ${formatShape(sizes)} as it was, but ${writer} has overwritten that memory since ` +
      `(version ${version}, now ${now}); run backward before ${writer}`,
  )
}

function changed(how: string): AutogradError {
  return new AutogradError(
    op,
    `the function behaves differently when it runs again for the backward pass: ${how}; it may depend only on its inputs and on ` +
      'what does not change, such as parameters, modes of layers and options',
  )
}
