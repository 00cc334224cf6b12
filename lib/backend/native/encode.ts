/**
 * Writes kernel calls into the words that the addon reads (native/addon/decoder.h says how they lie there). The arguments
 * of each kernel are taken apart once; a call then is a walk over them.
 */
import type { KernelCall, StridedView } from '../../core/device.js'
import { type DType, dtypeCodes } from '../../core/dtype.js'
import { DeviceError, DTypeError, ValueError } from '../../core/errors.js'
import type { Storage } from '../../core/storage.js'
import { type KernelSpec, kernels, type PhiloxPosition, parseArguments } from '../kernels.js'
import type { Addon } from './addon.js'
import { type NativeMemory, pendingTracked, smallCount } from './memory.js'

type Kind = 'out' | 'tensor' | 'list' | 'number' | 'philox'

interface Step {
  readonly name: string
  readonly kind: Kind
}

export interface Plan {
  readonly kernel: string
  readonly number: number
  readonly steps: readonly Step[]
}

const dtypeCode: { readonly [name: string]: number | undefined } = dtypeCodes
const maxDims = 8
const maxInt32 = 2 ** 31 - 1
/** Flags of a tensor's second word, as in the decoder. */
const denseFlag = 1 << 16
const wideFlag = 2 << 16
const ownFlag = 4 << 16
const opensFlag = 8 << 16
const joinsFlag = 16 << 16

export function makePlan(kernel: string, number: number): Plan {
  const spec = (kernels as { readonly [name: string]: KernelSpec })[kernel] as KernelSpec
  const steps = parseArguments(spec).map(({ name, role, arity }): Step => {
    if (role === 'philox') return { name, kind: 'philox' }
    if (role === 'number' || role === 'integer' || role === 'flag') return { name, kind: 'number' }
    return { name, kind: arity === 'list' ? 'list' : role === 'out' ? 'out' : 'tensor' }
  })
  return { kernel, number, steps }
}

/** The second and further storages that a call makes, and the objects that guard them. */
interface Made {
  readonly storages: Storage[]
  readonly objects: object[]
}

export class Encoder {
  readonly #addon: Addon
  readonly #memory: NativeMemory
  #ints = new Int32Array(new ArrayBuffer(4 * 512))
  #doubles = new Float64Array(new ArrayBuffer(8 * 1024))
  #nextInt = 0
  #nextDouble = 0

  constructor(addon: Addon, memory: NativeMemory) {
    this.#addon = addon
    this.#memory = memory
    addon.words(this.#ints, this.#doubles)
  }

  /** Submits a call to the addon. The storages it makes are known there from then on; where it fails they are freed. */
  call(plan: Plan, args: KernelCall, label: number): void {
    // Most calls make one storage. Lists of these would cost: V8 keeps book of what old objects say of young ones.
    let made: Storage | null = null
    let object: object | null = null
    let others: Made | null = null
    try {
      this.#ints[0] = plan.number
      this.#ints[1] = label
      this.#nextInt = 2
      this.#nextDouble = 0
      const steps = plan.steps
      for (let i = 0; i < steps.length; i++) {
        const step = steps[i] as Step
        const value = args[step.name]
        if (step.kind === 'number') this.#doubles[this.#nextDouble++] = scalar(plan.kernel, step.name, value)
        else if (step.kind === 'philox') this.#philox(value as PhiloxPosition)
        else if (step.kind === 'list') this.#list(plan, value as readonly StridedView[])
        else if (value === null) this.#ints[this.#nextInt++] = -1
        else {
          const { storage } = value as StridedView
          const state = step.kind === 'out' ? this.#memory.pending[storage.handle] : 0
          if (state === 0) this.#tensor(plan, value as StridedView, storage, 0)
          else {
            let flag = 0
            let guard: object | null = null
            if (state === pendingTracked) {
              const small = storage.count <= smallCount
              guard = small ? this.#memory.guard(storage) : storage
              flag = guard === null ? joinsFlag : small ? opensFlag : ownFlag
            }
            this.#tensor(plan, value as StridedView, storage, flag)
            if (made === null) {
              made = storage
              object = guard
            } else {
              others ??= { storages: [], objects: [] }
              others.storages.push(storage)
              if (guard !== null) others.objects.push(guard)
            }
          }
        }
      }
      if (others !== null) this.#addon.call(...(object === null ? others.objects : [object, ...others.objects]))
      else if (object !== null) this.#addon.call(object)
      else this.#addon.call()
    } catch (error) {
      // Nobody will ever see what the call should have made.
      this.#memory.closeGuard()
      if (made !== null) this.#memory.device.free(made)
      if (others !== null) for (const storage of others.storages) this.#memory.device.free(storage)
      throw error
    }
    const pending = this.#memory.pending
    if (made !== null) pending[made.handle] = 0
    if (others !== null) for (const { handle } of others.storages) pending[handle] = 0
  }

  #philox({ seed, stream, offset }: PhiloxPosition): void {
    const doubles = this.#doubles
    doubles[this.#nextDouble++] = seed
    doubles[this.#nextDouble++] = stream
    doubles[this.#nextDouble++] = offset
  }

  #list(plan: Plan, views: readonly StridedView[]): void {
    this.#reserve(views.length)
    this.#ints[this.#nextInt++] = views.length
    for (const view of views) this.#tensor(plan, view, view.storage, 0)
  }

  #tensor(plan: Plan, view: StridedView, storage: Storage, flags: number): void {
    const { shape, strides, dtype } = view
    if (storage.handle < 0) storage.check(plan.kernel)
    if (storage.device !== this.#memory.device)
      throw new DeviceError(plan.kernel, `a tensor on ${storage.device.name} in a call on ${this.#memory.device.name}`)
    const code = dtype === 'float32' ? 0 : codeOf(plan.kernel, dtype)
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
    } else this.#strided(view, word)
  }

  #strided({ offset, shape, strides }: StridedView, word: number): void {
    const values = [offset, ...shape, ...strides]
    const wide = values.some((value) => value !== (value | 0))
    this.#ints[this.#nextInt + 1] = wide ? word | wideFlag : word
    this.#nextInt += 2
    if (wide) for (const value of values) this.#doubles[this.#nextDouble++] = value
    else for (const value of values) this.#ints[this.#nextInt++] = value
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

function grown<T extends Int32Array | Float64Array>(from: T, to: T): T {
  to.set(from)
  return to
}

/** Nothing is converted here: a conversion may run the program's own code, and that a kernel, in the middle of this call. */
function scalar(kernel: string, name: string, value: unknown): number {
  if (typeof value === 'number') return value
  if (typeof value === 'boolean') return value ? 1 : 0
  throw new ValueError(kernel, `${name} is of type ${typeof value}, but must be a number`)
}

function codeOf(kernel: string, dtype: DType): number {
  const code = dtypeCode[dtype]
  if (code === undefined) throw new DTypeError(kernel, `${dtype} exists on the reference device only`)
  return code
}
