/** Writes kernel calls into the words that the addon reads (native/addon/decoder.h says how they lie there). */
import type { KernelCall, StridedView } from '../../core/device.js'
import { type DType, dtypeCodes } from '../../core/dtype.js'
import { DeviceError, DTypeError, formatShape, kindOf, ValueError } from '../../core/errors.js'
import { isDense, type Shape } from '../../core/shape.js'
import type { Storage } from '../../core/storage.js'
import type { CallWriter } from '../call.js'
import { longestIntegers, type PhiloxPosition } from '../table/grammar.js'
import type { Addon } from './addon.js'
import { type NativeMemory, pendingTracked, smallCount } from './memory.js'

/** A kernel as the addon knows it. */
export interface Plan {
  readonly kernel: string
  /** Its place in `Addon.kernels`. */
  readonly number: number
  write(to: CallWriter, args: KernelCall): void
}

const dtypeCode: { readonly [name: string]: number | undefined } = dtypeCodes
const maxDims = 8
/** As many outputs as a kernel may have, and more. */
const maxMade = 16
const maxInt32 = 2 ** 31 - 1
/** Flags of a tensor's second word, as in the decoder. */
const denseFlag = 1 << 16
const wideFlag = 2 << 16
const ownFlag = 4 << 16
const opensFlag = 8 << 16
const joinsFlag = 16 << 16

/** The storages that a call was to make. */
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
  /**
   * Whether a call is being written: a getter of a tensor, which is the program's own code, may ask for another
   * meanwhile.
   */
  #writing = false
  /** Whether an argument that must be dense is not. */
  #scattered = false
  /** Handles that the call makes. Numbers, for V8 keeps book of what old objects say of young ones. */
  readonly #made = new Int32Array(maxMade)
  #madeCount = 0
  /** Objects that guard them and that the addon has not seen; few calls have any. */
  readonly #guards: object[] = []

  constructor(addon: Addon, memory: NativeMemory) {
    this.#addon = addon
    this.#memory = memory
    addon.words(this.#ints, this.#doubles)
  }

  /**
   * Submits a call to the addon; the storages it makes are known there from then on. False, and nothing has happened,
   * where an argument that must be dense is not. Where the call fails, what it was to make is freed.
   */
  call(plan: Plan, args: KernelCall, label: number): boolean {
    if (this.#writing) throw this.#reentered(plan, args)
    this.#writing = true
    this.#kernel = plan.kernel
    this.#ints[0] = plan.number
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

  /** Frees what a call that failed should have made: nobody will ever see it. */
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

  /**
   * The storages that guards were given to did not come to be; those that joined them must not be taken for guarded.
   */
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

  /** The flag of a result that the call has to make. */
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
   * Nothing is converted here: a conversion may run the program's own code, and that a kernel, in the middle of this
   * call.
   */
  number(name: string, value: number | boolean): void {
    if (typeof value === 'number') this.#doubles[this.#nextDouble++] = value
    else if (typeof value === 'boolean') this.#doubles[this.#nextDouble++] = value ? 1 : 0
    else throw new ValueError(this.#kernel, `${name} is of type ${typeof value}, but must be a number`)
  }

  /** The addon refuses what is no safe integer. */
  integers(name: string, values: readonly number[]): void {
    if (!Array.isArray(values) || values.length > longestIntegers)
      throw new ValueError(
        this.#kernel,
        `${name} is ${Array.isArray(values) ? `of ${values.length} integers` : kindOf(values)}, but must be an array of at ` +
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
      throw new DeviceError(this.#kernel, `a tensor on ${storage.device.name} in a call on ${this.#memory.device.name}`)
    const code = dtype === 'float32' ? 0 : codeOf(this.#kernel, dtype)
    const word = code | (shape.length << 8) | flags
    const ints = this.#ints
    const at = this.#nextInt
    ints[at] = storage.handle
    // By far most tensors are all of a storage, and small.
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

  #strided({ offset, sizes: shape, steps: strides }: StridedView, word: number, dense: boolean): void {
    if (dense && !isDense(shape, strides)) this.#scattered = true
    if (!(isExact(offset) && shape.every(isExact) && strides.every(Number.isSafeInteger)))
      throw new ValueError(
        this.#kernel,
        `sizes ${formatShape(shape)} have strides ${formatShape(strides)} and the offset ${offset}, but all must be integers below ` +
          '2^53, sizes and offset not negative; use smaller sizes',
      )
    const wide = !(fits(offset) && shape.every(fits) && strides.every(fits))
    this.#ints[this.#nextInt + 1] = wide ? word | wideFlag : word
    this.#nextInt += 2
    if (wide) this.#nextDouble = written(this.#doubles, this.#nextDouble, offset, shape, strides)
    else this.#nextInt = written(this.#ints, this.#nextInt, offset, shape, strides)
  }

  /** Makes room for a list; whatever else a call has fits beside it. */
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

const fits = (value: number): boolean => value === (value | 0)

/** Writes where the elements of a view lie; where the next words go. */
function written(words: Int32Array | Float64Array, at: number, offset: number, shape: Shape, strides: Shape): number {
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
