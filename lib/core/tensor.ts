import type { Device } from './device.js'
import { type DType, isFloating } from './dtype.js'
import { AutogradError, DeviceError, DTypeError, formatShape, kindOf, ShapeError, ValueError } from './errors.js'
import { printed } from './host.js'
import { copyOf, countOf, denseStrides, isDense, type Shape, sameShape } from './shape.js'
import type { Storage } from './storage.js'

/** The node that autograd attaches to an operator's result. Only autograd knows its form. */
export interface GraphNode {
  readonly name: string
  /** Calls `visit` with every storage that the backward pass from here would read. */
  visitSaved(visit: (storage: Storage) => void, seen: Set<object>): void
}

/** The hooks of a leaf that wants a gradient. */
export interface LeafState {
  readonly hooks: Set<(gradient: Tensor) => Tensor | undefined | void>
  readonly readyHooks: Set<(tensor: Tensor) => void>
}

/**
 * A view of typed memory on a device: shape, strides and offset over a storage.
 *
 * Tensors come from the creation functions and from operators; their families add the methods (`x.matmul(w).add(b)`)
 * through `core/methods.ts`. `Shape` holds a literal for each size that is known at compile time, and `number` for
 * others.
 *
 * A tensor of known sizes is also one of unknown sizes (`out`). That holds because its shape is only read. The compiler
 * cannot prove it, because methods have conditional types.
 */
export class Tensor<out S extends Shape = Shape, out D extends DType = DType> {
  readonly storage: Storage
  /** The library's own list of sizes, shared between tensors. It is never written, nor handed to a program. */
  readonly sizes: S
  /** The library's own list of strides, shared in the same way. */
  readonly steps: Shape
  /** The number of elements before the first one, in the storage. */
  readonly offset: number
  readonly dtype: D
  /** The operator call that made this tensor, if it takes part in a graph. */
  node: GraphNode | null = null
  /** The number of this tensor among the outputs of that call. */
  outputIndex = 0
  /** The hooks of this leaf, which autograd keeps; null if there are none. */
  leaf: LeafState | null = null
  #requiresGrad = false
  #gradient: Tensor<S, D> | null = null

  constructor(storage: Storage, shape: S, strides: Shape, offset: number) {
    this.storage = storage
    this.sizes = shape
    this.steps = strides
    this.offset = offset
    this.dtype = storage.dtype as D
  }

  /**
   * Sizes of the dimensions, outermost first. This is a copy, so that a program's changes do not reach the tensor. (A
   * frozen list would do too, but V8 reads its elements five times slower.)
   */
  get shape(): S {
    return copyOf(this.sizes) as Shape as S
  }

  /** Elements in memory from one index to the next, per dimension; 0 if broadcast. This is a copy. */
  get strides(): Shape {
    return copyOf(this.steps)
  }

  get device(): Device {
    return this.storage.device
  }

  /** Number of dimensions. */
  get ndim(): number {
    return this.sizes.length
  }

  /** Number of elements. */
  get numel(): number {
    return countOf(this.sizes)
  }

  /** Whether the elements lie in row-major order without gaps. */
  get isContiguous(): boolean {
    return isDense(this.sizes, this.steps)
  }

  /** Whether this tensor is a leaf: no recorded operator made it. */
  get isLeaf(): boolean {
    return this.node === null
  }

  /** Whether operators on this tensor are recorded for a backward pass. */
  get requiresGrad(): boolean {
    return this.node !== null || this.#requiresGrad
  }

  /** Throws unless this is a leaf of a floating dtype, because only these can accumulate a gradient. */
  set requiresGrad(value: boolean) {
    if (typeof value !== 'boolean')
      throw new ValueError('requiresGrad', `must be true or false, but was set to ${kindOf(value)}`)
    if (value && !isFloating(this.dtype))
      throw new DTypeError('requiresGrad', `only floating tensors have gradients, but this one is ${this.dtype}`)
    if (this.node !== null)
      throw new AutogradError(
        'requiresGrad',
        'is set by the graph on the result of an operator; use detach() to leave the graph',
      )
    this.#requiresGrad = value
  }

  /**
   * The accumulated gradient of a leaf, or null. A leaf's gradient is shared, not copied: detach and clone to keep it.
   * Setting it to null frees its memory at once, unless the program has seen it, here or in a hook. A tensor set here
   * must have the leaf's shape, dtype and device, and later passes add to it in place.
   */
  get grad(): Tensor<S, D> | null {
    // A program that has seen the gradient may hold it, so zeroGrad then leaves the memory to the garbage collector.
    if (this.#gradient !== null) this.#gradient.storage.seen = true
    return this.#gradient
  }

  set grad(value: Tensor<S, D> | null) {
    if (value !== null) {
      this.#checkGrad(value)
      // The leaf owns the gradient now, so no scope may free it.
      value.storage.adopt()
      value.storage.seen = true
    } else this.freeUnseenGrad()
    this.#gradient = value
  }

  #checkGrad(value: Tensor): void {
    if (!(value instanceof Tensor)) throw new DTypeError('grad', `must be a tensor or null, but is ${kindOf(value)}`)
    value.storage.check('grad')
    if (value === (this as Tensor)) throw new ValueError('grad', 'a tensor cannot be its own gradient; clone() it')
    if (!sameShape(value.sizes, this.sizes))
      throw new ShapeError(
        'grad',
        `the gradient is ${formatShape(value.shape)}, but the tensor is ${formatShape(this.shape)}; both must have the same shape`,
        [value.shape, this.shape],
      )
    if (value.dtype !== this.dtype)
      throw new DTypeError(
        'grad',
        `the gradient is ${value.dtype}, but the tensor is ${this.dtype}; convert it with .to('${this.dtype}')`,
      )
    if (value.device !== this.device)
      throw new DeviceError(
        'grad',
        `the gradient is on ${value.device.name}, but the tensor is on ${this.device.name}; move it with .to('${this.device.name}')`,
      )
  }

  /** The gradient for autograd and optimisers, which does not count as seen by the program. */
  peekGrad(): Tensor<S, D> | null {
    return this.#gradient
  }

  /** Frees a gradient that the program cannot hold. Autograd calls it. */
  freeUnseenGrad(): void {
    const storage = this.#gradient?.storage
    if (storage && !storage.seen && !storage.freed) storage.device.free(storage)
  }

  /** Sets a gradient that only autograd holds. Autograd calls it. */
  ownGrad(value: Tensor<S, D> | null): void {
    this.#gradient = value
  }

  /** Frees the memory now. All views of it lose it too. Using it afterwards throws DisposedError. */
  dispose(): void {
    const { storage } = this
    if (storage.freed) return
    storage.device.free(storage)
    const copy = storage.shadow?.storage
    if (copy && !copy.freed) copy.device.free(copy)
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  /** A short description without the elements. */
  describe(): string {
    const grad = this.node ? `, from ${this.node.name}` : this.#requiresGrad ? ', requires grad' : ''
    return `Tensor ${formatShape(this.shape)} ${this.dtype} on ${this.device.name}${grad}`
  }

  [printed](): string {
    return this.toString()
  }

  /** Throws, because the elements lie in a device's memory, and JSON without them would be useless. */
  toJSON(): never {
    throw new ValueError(
      'JSON.stringify',
      `a tensor has no form in JSON (${this.describe()}); write item(), toArray() or shape, or save it in a state`,
    )
  }

  /**
   * Returns text where JavaScript wants text, as in `${x}` and String(x). Throws for JavaScript's operators, which would
   * otherwise join texts or give NaN or false. A tensor of one element is no number either, because a sum would lose its
   * gradient.
   */
  [Symbol.toPrimitive](hint: string): string {
    if (hint === 'string') return this.toString()
    throw new ValueError(
      'Tensor',
      "JavaScript's operators (x + y, x * 2, x < 1, x == 1) do not work on tensors; use add(), mul(), lt(), eq() and " +
        `the like, or the number item(), and write text as \`\${x}\` (${this.describe()})`,
    )
  }
}

/** A dense tensor over a whole storage. */
export function denseTensor<S extends Shape>(storage: Storage, shape: S): Tensor<S> {
  return new Tensor(storage, shape, denseStrides(shape), 0)
}

/** Lets a leaf view other memory and keep its identity. Modules call it. */
export function replaceMemory(tensor: Tensor, from: Tensor): void {
  const { storage, sizes, steps, offset, dtype } = from
  Object.assign(tensor, { storage, sizes, steps, offset, dtype })
}

/**
 * Throws for the first tensor whose memory is gone, and names it. Functions that change many tensors call this before
 * they change the first.
 */
export function checkAlive(op: string, named: Iterable<readonly [name: string, tensor: Tensor]>): void {
  for (const [name, tensor] of named) tensor.storage.check(op, name)
}
