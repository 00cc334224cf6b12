/** Writes kernel calls into the words that the addon reads, in the layout of native/addon/decoder.h. */
import type { KernelCall, StridedView } from '../../core/device.js'
import { type DType, dtypeCodes } from '../../core/dtype.js'
import { DeviceError, DTypeError, formatShape, kindOf, ValueError } from '../../core/errors.js'
import { isGradEnabled } from '../../core/grad-mode.js'
import { isDense, type Shape } from '../../core/shape.js'
import type { Storage } from '../../core/storage.js'
import type { CallWriter } from '../call.js'
import { longestIntegers, type PhiloxPosition } from '../table/grammar.js'
import type { Addon } from './addon.js'
import { type NativeMemory, pendingTracked, smallCount } from './memory.js'

/** A kernel as the addon knows it. */
export interface Plan {
  readonly kernel: string
  /** Its index in `Addon.kernels`. */
  readonly number: number
  write(to: CallWriter, args: KernelCall): void
}

const dtypeCode: { readonly [name: string]: number | undefined } = dtypeCodes
const maxDims = 8
/** An upper bound of the outputs of a kernel. */
const maxMade = 16
const maxInt32 = 2 ** 31 - 1
/** Flags of a tensor's second word, as in the decoder. */
const denseFlag = 1 << 16
const wideFlag = 2 << 16
const ownFlag = 4 << 16
const opensFlag = 8 << 16
const joinsFlag = 16 << 16
/** A flag of the kernel's number: the call may run before others that wait, because it is no part of a training. */
const overtakesFlag = 1 << 16

/** Collects the storages that a call should have made. */
class FreshStorages implements CallWriter {
  readonly storages: Storage[] = []
  readonly #memory: NativeMemory

  constructor(memory: NativeMemory) {
    this.#memory = memory
  }

  out({ storage }: StridedView): void {
    if (storage.handle >= 0 && this.#memory.pending[storage.handle] !== 0) this.storages.push(storage)
  }

  place(view: StridedView): void {
    this.out(view)
  }

  dense(): void {}
  strided(): void {}
  absent(): void {}
  list(): void {}
  number(): void {}
  integers(): void {}
  philox(): void {}
}

export class Encoder implements CallWriter {
  readonly #addon: Addon
  readonly #memory: NativeMemory
  #ints = new Int32Array(new ArrayBuffer(4 * 512))
  #doubles = new Float64Array(new ArrayBuffer(8 * 1024))
  #nextInt = 0
  #nextDouble = 0
  #kernel = ''
  /** Whether a call is being written. A getter, which is the program's own code, might start another meanwhile. */
  #writing = false
  /** Whether an argument that must be dense is not. */
  #scattered = false
  /**
   * The handles that the call makes. They are plain numbers, because storing references to young objects here would
   * trigger V8's write barrier.
   */
  readonly #made = new Int32Array(maxMade)
  #madeCount = 0
  /** The guard objects that the addon has not seen yet; few calls have any. */
  readonly #guards: object[] = []

  constructor(addon: Addon, memory: NativeMemory) {
    this.#addon = addon
    this.#memory = memory
    addon.words(this.#ints, this.#doubles)
  }

  /**
   * Submits a call to the addon, which knows the storages it makes from then on. Returns false, having done nothing, if
   * an argument that must be dense is not. If the call fails, frees the storages that it should have made.
   */
  call(plan: Plan, args: KernelCall, label: number): boolean {
    if (this.#writing) throw this.#reentered(plan, args)
    this.#writing = true
    this.#kernel = plan.kernel
    this.#ints[0] = isGradEnabled() ? plan.number : plan.number | overtakesFlag
    this.#ints[1] = label
    this.#nextInt = 2
    this.#nextDouble = 0
    this.#scattered = false
    this.#madeCount = 0
    try {
      plan.write(this, args)
      this.#writing = false
      if (this.#scattered) return this.#forgetGuards()
      if (this.#guards.length === 0) this.#addon.call()
      else this.#submitGuarded()
    } catch (error) {
      this.#writing = false
      this.#forgetGuards()
      this.#freeFresh(plan, args)
      throw error
    }
    const pending = this.#memory.pending
    for (let i = 0; i < this.#madeCount; i++) pending[this.#made[i] as number] = 0
    return true
  }

  /** Frees the storages that a failed call should have made, because nobody will ever see them. */
  #freeFresh(plan: Plan, args: KernelCall): void {
    const fresh = new FreshStorages(this.#memory)
    plan.write(fresh, args)
    for (const storage of fresh.storages) this.#memory.device.free(storage)
  }

  #reentered(plan: Plan, args: KernelCall): Error {
    this.#freeFresh(plan, args)
    return new ValueError(
      plan.kernel,
      `a getter of a tensor's shape, strides, offset or storage runs '${plan.kernel}' while '${this.#kernel}' reads the ` +
        'tensor; getters must not run operators',
    )
  }

  #submitGuarded(): void {
    if (this.#guards.length === 1) this.#addon.call(this.#guards[0] as object)
    else this.#addon.call(...this.#guards)
    this.#guards.length = 0
  }

  /** Forgets the guards of storages that were not made, so that storages which joined them do not count as guarded. */
  #forgetGuards(): false {
    this.#guards.length = 0
    this.#memory.closeGuard()
    return false
  }

  out(view: StridedView): void {
    this.#tensor(view, view.storage, this.#make(view.storage), true)
  }

  place(view: StridedView): void {
    const { storage } = view
    let flag = 0
    let i = 0
    while (i < this.#madeCount && this.#made[i] !== storage.handle) i++
    if (i === this.#madeCount) flag = this.#make(storage)
    this.#tensor(view, storage, flag, false)
  }

  /** Records a result that the call must make, and returns its flag. */
  #make(storage: Storage): number {
    const state = this.#memory.pending[storage.handle] as number
    if (!(state > 0)) return 0
    this.#made[this.#madeCount++] = storage.handle
    return state === pendingTracked ? this.#guard(storage) : 0
  }

  #guard(storage: Storage): number {
    if (storage.count > smallCount) {
      this.#guards.push(storage)
      return ownFlag
    }
    const opened = this.#memory.guard(storage)
    if (opened === null) return joinsFlag
    this.#guards.push(opened)
    return opensFlag
  }

  dense(view: StridedView): void {
    this.#tensor(view, view.storage, 0, true)
  }

  strided(view: StridedView): void {
    this.#tensor(view, view.storage, 0, false)
  }

  absent(): void {
    this.#ints[this.#nextInt++] = -1
  }

  list(views: readonly StridedView[], dense: boolean): void {
    this.#reserve(views.length)
    this.#ints[this.#nextInt++] = views.length
    for (const view of views) this.#tensor(view, view.storage, 0, dense)
  }

  /**
   * Nothing is converted here, because a conversion could run the program's own code, and that could run a kernel in
   * the middle of this call.
   */
  number(name: string, value: number | boolean): void {
    if (typeof value === 'number') this.#doubles[this.#nextDouble++] = value
    else if (typeof value === 'boolean') this.#doubles[this.#nextDouble++] = value ? 1 : 0
    else throw new ValueError(this.#kernel, `${name} is of type ${typeof value}, but must be a number`)
  }

  /** The addon refuses numbers that are not safe integers. */
  integers(name: string, values: readonly number[]): void {
    if (!Array.isArray(values) || values.length > longestIntegers)
      throw new ValueError(
        this.#kernel,
        `${name} is ${Array.isArray(values) ? `an array of ${values.length} integers` : kindOf(values)}, but must be an array of at ` +
          `most ${longestIntegers} integers`,
      )
    this.number(name, values.length)
    for (let i = 0; i < values.length; i++) this.number(name, values[i] as number)
  }

  philox({ seed, stream, offset }: PhiloxPosition): void {
    const doubles = this.#doubles
    doubles[this.#nextDouble++] = seed
    doubles[this.#nextDouble++] = stream
    doubles[this.#nextDouble++] = offset
  }

  #tensor(view: StridedView, storage: Storage, flags: number, dense: boolean): void {
    const { sizes: shape, steps: strides, dtype } = view
    if (storage.handle < 0) storage.check(this.#kernel)
    if (storage.device !== this.#memory.device)
      throw new DeviceError(
        this.#kernel,
        `a tensor is on ${storage.device.name}, but the call runs on ${this.#memory.device.name}; move it with .to()`,
      )
    const code = dtype === 'float32' ? 0 : codeOf(this.#kernel, dtype)
    const word = code | (shape.length << 8) | flags
    const ints = this.#ints
    const at = this.#nextInt
    ints[at] = storage.handle
    // The fast path: by far most tensors cover a whole storage, and are small.
    let d = view.offset === 0 ? shape.length - 1 : maxDims
    let step = 1
    for (; d >= 0; d--) {
      const size = shape[d] as number
      if (strides[d] !== step) break
      ints[at + 2 + d] = size
      step *= size
    }
    if (d < 0 && step > 0 && step <= maxInt32) {
      ints[at + 1] = word | denseFlag
      this.#nextInt = at + 2 + shape.length
    } else this.#strided(view, word, dense)
  }

  #strided(view: StridedView, word: number, dense: boolean): void {
    const { offset, sizes: shape, steps: strides } = view
    if (dense && !isDense(shape, strides)) this.#scattered = true
    // Attention's operands come here, several a layer and token, so that almost all views take one loop.
    const ints = this.#ints
    const rank = shape.length
    const at = this.#nextInt + 3
    let narrow = offset === (offset | 0) && offset >= 0
    for (let d = 0; d < rank; d++) {
      const size = shape[d] as number
      const stride = strides[d] as number
      if (size !== (size | 0) || size < 0 || stride !== (stride | 0)) narrow = false
      ints[at + d] = size
      ints[at + rank + d] = stride
    }
    if (narrow) {
      ints[at - 2] = word
      ints[at - 1] = offset
      this.#nextInt = at + 2 * rank
    } else this.#wide(view, word)
  }

  #wide({ offset, sizes: shape, steps: strides }: StridedView, word: number): void {
    if (!(isExact(offset) && shape.every(isExact) && strides.every(Number.isSafeInteger)))
      throw new ValueError(
        this.#kernel,
        `sizes ${formatShape(shape)} have strides ${formatShape(strides)} and the offset ${offset}, but all must be integers below ` +
          '2^53, sizes and offset not negative; use smaller sizes',
      )
    this.#ints[this.#nextInt + 1] = word | wideFlag
    this.#nextInt += 2
    this.#nextDouble = written(this.#doubles, this.#nextDouble, offset, shape, strides)
  }

  /** Makes room for a list. The rest of any call fits beside it. */
  #reserve(tensors: number): void {
    const each = 3 + 2 * maxDims
    const ints = this.#nextInt + 384 + each * tensors
    const doubles = this.#nextDouble + 512 + each * tensors
    if (ints <= this.#ints.length && doubles <= this.#doubles.length) return
    this.#ints = grown(this.#ints, new Int32Array(new ArrayBuffer(8 * ints)))
    this.#doubles = grown(this.#doubles, new Float64Array(new ArrayBuffer(16 * doubles)))
    this.#addon.words(this.#ints, this.#doubles)
  }
}

const isExact = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

/** Writes the layout of a view, and returns the place of the next words. */
function written(words: Float64Array, at: number, offset: number, shape: Shape, strides: Shape): number {
  const rank = shape.length
  words[at] = offset
  for (let d = 0; d < rank; d++) {
    words[at + 1 + d] = shape[d] as number
    words[at + 1 + rank + d] = strides[d] as number
  }
  return at + 1 + 2 * rank
}

function grown<T extends Int32Array | Float64Array>(from: T, to: T): T {
  to.set(from)
  return to
}

function codeOf(kernel: string, dtype: DType): number {
  const code = dtypeCode[dtype]
  if (code === undefined) throw new DTypeError(kernel, `${dtype} exists on the reference device only`)
  return code
}
