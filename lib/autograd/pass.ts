/**
 * One backward pass. It visits the nodes from the roots, consumers before producers, and sums gradients that meet. It
 * delivers each to its target as soon as the last contribution has arrived.
 *
 * Gradients on the way are raw storages. They are made in frames unknown to the garbage collector, counted here, and
 * freed after their last use. With `createGraph` they are ordinary tensors instead.
 */
import type { DType } from '../core/dtype.js'
import { AutogradError, formatShape } from '../core/errors.js'
import { handUp, popFrame, pushFrame } from '../core/scope.js'
import { sameShape } from '../core/shape.js'
import type { Frame, Storage } from '../core/storage.js'
import type { Tensor } from '../core/tensor.js'
import { gradientArithmetic } from './arithmetic.js'
import { forgetConversion, withAutocast } from './autocast.js'
import { withGradMode } from './mode.js'
import { type Edge, edgeOf, Node, type Target } from './node.js'
import { operatorObserver } from './observe.js'
import type { Region } from './region.js'

/** Gradients waiting at one target, by output. */
interface Pending {
  readonly gradients: (Tensor | null)[]
  /** The number of consumers that have not delivered yet. */
  awaited: number
}

export interface PassOptions {
  /** The function that the program called. */
  readonly op: string
  readonly createGraph: boolean
  readonly retainGraph: boolean
  /** The wanted outputs of each target; null for all leaves. */
  readonly wanted: ReadonlyMap<Target, ReadonlySet<number>> | null
  /**
   * Takes a finished gradient. `alone` tells that nobody else holds its memory. Returns true if it keeps that memory.
   */
  readonly deliver: (target: Target, output: number, gradient: Tensor, alone: boolean) => boolean
}

export interface Root {
  readonly tensor: Tensor
  readonly gradient: Tensor | null
}

export class Pass {
  readonly #options: PassOptions
  readonly #pending = new Map<Target, Pending>()
  /** The nodes that lead to a wanted target. */
  readonly #useful = new Set<Node>()
  /** Counts of the pass's references to storages that it made. */
  readonly #owned = new Map<Storage, number>()
  /** Waiting gradients that were lent to the visited node to add to (`sumSoFar`). */
  readonly #lent: Tensor[] = []
  /** Regions that are computed again, with the number of their nodes still to be visited. */
  readonly #regions = new Map<Region, number>()
  #frame: Frame | null = null

  constructor(options: PassOptions) {
    this.#options = options
  }

  /** Runs the pass in the dtypes of the forward pass, whatever autocast it is called under. */
  run(roots: readonly Root[]): void {
    // The kept conversion is released, because this pass may use up its node.
    forgetConversion()
    withAutocast(null, () => this.#run(roots))
  }

  #run(roots: readonly Root[]): void {
    const order = this.#plan(roots)
    for (const node of order) node.checkUsable(this.#options.op)
    try {
      this.#inFrame(() => {
        for (const { tensor, gradient } of roots) {
          const seed = gradient ?? gradientArithmetic().ones(tensor)
          this.#send(edgeOf(tensor), converted(seed, tensor.dtype))
        }
      })
      for (const node of order) {
        this.#visit(node)
        if (node.region !== null) this.#leave(node.region)
      }
    } finally {
      for (const storage of this.#owned.keys()) endOf(storage)
      this.#owned.clear()
      for (const region of this.#regions.keys()) region.empty()
    }
  }

  /** The useful nodes, consumers first. Also counts the gradients that each target will get. */
  #plan(roots: readonly Root[]): Node[] {
    const seen = new Set<Node>()
    const stack: Node[] = []
    for (const { tensor } of roots) if (tensor.node) stack.push(tensor.node as Node)
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      if (seen.has(node)) continue
      seen.add(node)
      for (const edge of node.edges) if (edge?.target instanceof Node) stack.push(edge.target)
    }
    const producersFirst = [...seen].sort((a, b) => a.order - b.order)
    for (const node of producersFirst) if (node.edges.some((edge) => this.#isUseful(edge))) this.#useful.add(node)
    for (const { tensor } of roots) this.#expect(edgeOf(tensor))
    const order = producersFirst.filter((node) => this.#useful.has(node)).reverse()
    for (const node of order) {
      for (const edge of node.edges) this.#expect(edge)
      for (let { region } = node; region !== null; region = region.parent)
        this.#regions.set(region, (this.#regions.get(region) ?? 0) + 1)
    }
    return order
  }

  #isUseful(edge: Edge | null): edge is Edge {
    if (edge === null) return false
    const { target, index } = edge
    const { wanted } = this.#options
    if (target instanceof Node) return this.#useful.has(target) || wanted?.get(target)?.has(index) === true
    return wanted === null || wanted.has(target)
  }

  #expect(edge: Edge | null): void {
    if (!this.#isUseful(edge)) return
    const { target } = edge
    const pending = this.#pending.get(target)
    if (pending) pending.awaited++
    else {
      const gradients: null[] = [null]
      if (target instanceof Node) while (gradients.length < target.outputSpecs.length) gradients.push(null)
      this.#pending.set(target, { gradients, awaited: 1 })
    }
  }

  #visit(node: Node): void {
    const { gradients } = this.#pending.get(node) as Pending
    this.#pending.delete(node)
    if (gradients.every((gradient) => gradient === null)) {
      this.#inFrame(() => {
        for (const edge of node.edges) this.#send(edge, null)
      })
      return
    }
    const passedOn: Storage[] = []
    this.#inFrame(() => {
      const results = this.#differentiate(node, gradients)
      // Several inputs may share one gradient's memory (both biases of an LSTM), and then no target may take it or free
      // it alone.
      const shared = results.filter((gradient, i) => gradient && firstWith(gradient.storage, results) < i)
      for (const gradient of shared) this.#hold((gradient as Tensor).storage)
      // A gradient returned unchanged (by a reshape or conversion) moves to the next target, which may then be its only
      // holder.
      for (const gradient of gradients)
        if (gradient && firstWith(gradient.storage, results) >= 0) {
          passedOn.push(gradient.storage)
          this.#passOn(gradient.storage)
        }
      for (let i = 0; i < node.edges.length; i++) {
        const gradient = results[i] ?? null
        if (gradient) checkGradient(node, i, gradient)
        this.#send(node.edges[i] ?? null, gradient)
      }
      for (const gradient of shared) this.#letGo((gradient as Tensor).storage)
    })
    if (this.#lent.length > 0) this.#lent.length = 0
    for (const gradient of gradients)
      if (gradient && !passedOn.includes(gradient.storage)) this.#letGo(gradient.storage)
    for (const storage of passedOn) if (this.#owned.get(storage) === 0) this.#letGo(storage)
    if (!this.#options.retainGraph) node.release()
  }

  /** Empties the regions whose last node was just visited. */
  #leave(innermost: Region): void {
    for (let region: Region | null = innermost; region !== null; region = region.parent) {
      const left = (this.#regions.get(region) as number) - 1
      this.#regions.set(region, left)
      if (left === 0) region.empty()
    }
  }

  /** Runs one step, and at its end frees the storages that it made and did not send on. */
  #inFrame(step: () => void): void {
    const { createGraph } = this.#options
    const frame = pushFrame()
    this.#frame = frame
    try {
      withGradMode('backward', createGraph, step)
    } finally {
      this.#frame = null
      popFrame(frame)
      for (const storage of frame.storages) {
        // Other owners are the pass, for memory sent on, and the collector, for memory that a leaf, a hook or the
        // program took.
        if (storage.freed || storage.owner !== frame) continue
        if (createGraph) handUp(storage)
        else storage.device.free(storage)
      }
    }
  }

  #differentiate(node: Node, gradients: readonly (Tensor | null)[]): readonly (Tensor | null)[] {
    node.createGraph = this.#options.createGraph
    if (node.createGraph && node.gradient.fused) return throughComposite(node, gradients)
    node.sums = this.#sums
    try {
      const observer = operatorObserver()
      observer?.goesBack?.(node)
      const results = node.gradient.backward(node, gradients)
      observer?.wentBack?.(node, results)
      const { region } = node
      if (region === null) return results
      // A gradient in memory that was computed again is copied, because that memory is freed with its region.
      return results.map((gradient) =>
        gradient && region.owns(gradient.storage) ? gradientArithmetic().clone(gradient) : gradient,
      )
    } finally {
      node.sums = null
    }
  }

  /**
   * The gradient that waits at an edge, if it may be added to in place. The whole pass shares one function, because a
   * closure for each node would keep everything in its sight alive until the next full collection.
   */
  readonly #sums = (edge: Edge | null): Tensor | null => {
    if (this.#options.createGraph || !this.#isUseful(edge)) return null
    const sum = this.#pending.get(edge.target)?.gradients[edge.index] ?? null
    if (sum === null || !this.#isAlone(sum)) return null
    this.#lent.push(sum)
    return sum
  }

  #send(edge: Edge | null, gradient: Tensor | null): void {
    if (!this.#isUseful(edge)) return
    const { target, index } = edge
    const pending = this.#pending.get(target) as Pending
    const before = pending.gradients[index] ?? null
    if (gradient !== null) {
      if (before === null) {
        this.#hold(gradient.storage)
        pending.gradients[index] = gradient
      } else if (!(gradient === before && this.#lent.includes(before)))
        // A gradient lent by `sumSoFar` and returned already holds the node's part. Otherwise the same tensor for two
        // inputs (x + x) counts twice.
        pending.gradients[index] = this.#sum(before, gradient)
    }
    if (--pending.awaited === 0) this.#complete(target, pending)
  }

  /**
   * Handles a target whose contributions are all there: delivers the wanted ones, and leaves nodes that lead further
   * pending for their visit.
   */
  #complete(target: Target, pending: Pending): void {
    const { wanted, deliver, createGraph } = this.#options
    const goesOn = target instanceof Node && this.#useful.has(target)
    if (!goesOn) this.#pending.delete(target)
    pending.gradients.forEach((found, slot) => {
      if (found === null) return
      let gradient = found
      const isWanted = wanted === null ? !(target instanceof Node) : wanted.get(target)?.has(slot) === true
      if (isWanted) {
        gradient = this.#inDType(found, dtypeOf(target, slot))
        if (goesOn) pending.gradients[slot] = gradient
        const alone = !createGraph && !goesOn && this.#isAlone(gradient)
        if (deliver(target, slot, gradient, alone)) this.#owned.delete(gradient.storage)
      }
      if (!goesOn) this.#letGo(gradient.storage)
    })
  }

  /** Converts a gradient, given in the dtype before a conversion, to the dtype of its tensor. */
  #inDType(gradient: Tensor, dtype: DType): Tensor {
    if (gradient.dtype === dtype) return gradient
    const other = converted(gradient, dtype)
    this.#hold(other.storage)
    this.#letGo(gradient.storage)
    return other
  }

  /**
   * Adds two gradients, in place if the pass alone holds the first and it is dense, so that fan-in needs no new memory.
   */
  #sum(before: Tensor, gradient: Tensor): Tensor {
    if (before.dtype !== gradient.dtype)
      return this.#sum(this.#inDType(before, 'float32'), converted(gradient, 'float32'))
    if (!this.#options.createGraph && this.#isAlone(before) && before.storage !== gradient.storage) {
      gradientArithmetic().accumulate(before, gradient)
      return before
    }
    const total = gradientArithmetic().add(before, gradient)
    this.#hold(total.storage)
    this.#letGo(before.storage)
    return total
  }

  /** Whether nobody else can see the memory: no other gradient of this pass, and no program through a hook. */
  #isAlone(gradient: Tensor): boolean {
    const { storage } = gradient
    if (storage.owner !== 'pass' || this.#owned.get(storage) !== 1) return false
    return gradient.numel === storage.count && gradient.isContiguous
  }

  /** Counts a reference, if the pass made the storage. */
  #hold(storage: Storage): void {
    if (this.#options.createGraph) return
    const count = this.#owned.get(storage)
    if (count !== undefined) this.#owned.set(storage, count + 1)
    else if (storage.owner === this.#frame) {
      storage.owner = 'pass'
      this.#owned.set(storage, 1)
    }
  }

  /**
   * Gives up a reference, but does not free a storage without references, because its next holder is about to take it.
   */
  #passOn(storage: Storage): void {
    const count = this.#owned.get(storage)
    if (count !== undefined) this.#owned.set(storage, count - 1)
  }

  #letGo(storage: Storage): void {
    const count = this.#owned.get(storage)
    if (count === undefined) return
    if (count > 1) this.#owned.set(storage, count - 1)
    else {
      this.#owned.delete(storage)
      endOf(storage)
    }
  }
}

/** Frees a storage that the pass made and no longer needs, unless a leaf or the program took it. */
function endOf(storage: Storage): void {
  if (storage.owner === 'pass' && !storage.freed) storage.device.free(storage)
}

/** The index of the first tensor with this storage; -1 if none has it. */
function firstWith(storage: Storage, tensors: readonly (Tensor | null)[]): number {
  for (let i = 0; i < tensors.length; i++) if (tensors[i]?.storage === storage) return i
  return -1
}

function dtypeOf(target: Target, output: number): DType {
  return target instanceof Node ? (target.outputSpecs[output]?.dtype ?? 'float32') : target.dtype
}

function converted(gradient: Tensor, dtype: DType): Tensor {
  return gradient.dtype === dtype ? gradient : gradientArithmetic().convert(gradient, dtype)
}

function checkGradient(node: Node, index: number, gradient: Tensor): void {
  const { shape, dtype } = node.spec(index)
  if (gradient.dtype !== dtype && gradient.dtype !== node.gradientDType(index))
    throw new AutogradError(node.name, `backward gave a gradient in ${gradient.dtype} for input ${index} in ${dtype}`)
  if (!sameShape(gradient.sizes, shape))
    throw new AutogradError(
      node.name,
      `backward gave a gradient of shape ${formatShape(gradient.sizes)} for input ${index} of shape ${formatShape(shape)}`,
    )
}

/**
 * The gradients of a fused operator, with their own graph. This runs the composite on aliases of the inputs, and a pass
 * over that graph that ends at the aliases. Second derivatives flow through the aliases to the inputs.
 */
function throughComposite(node: Node, gradients: readonly (Tensor | null)[]): (Tensor | null)[] {
  const { composite } = node.operator
  if (composite === null) throw new AutogradError(node.name, 'has no composite to differentiate a second time')
  const aliases = node
    .allInputs()
    .map((input, i) => (input && node.needs[i] ? gradientArithmetic().alias(input) : input))
  const made: Tensor | readonly Tensor[] = composite(aliases, node.attrs)
  const outputs: readonly Tensor[] = Array.isArray(made) ? (made as readonly Tensor[]) : [made as Tensor]
  const found: (Tensor | null)[] = aliases.map(() => null)
  const place = new Map<Target, number>()
  aliases.forEach((alias, i) => {
    if (alias && node.needs[i]) place.set(alias.node as Node, i)
  })
  const roots = outputs.flatMap((tensor, i) => {
    const gradient = gradients[i] ?? null
    return gradient === null || !tensor.requiresGrad ? [] : [{ tensor, gradient }]
  })
  new Pass({
    op: node.name,
    createGraph: true,
    retainGraph: true,
    wanted: new Map([...place.keys()].map((target) => [target, new Set([0])])),
    deliver: (target, _output, gradient) => {
      found[place.get(target) as number] = gradient
      return false
    },
  }).run(roots)
  return found
}
