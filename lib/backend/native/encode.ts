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
import { type NativeMemory, pendingTracked } from './memory.js'

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
/** As many outputs as a kernel may have. */
const maxMade = 20
/** Word 2 of a tensor: the storage is made by this call and its object comes along. */
const trackedFlag = 1 << 16

export function makePlan(kernel: string, number: number): Plan {
  const spec = (kernels as { readonly [name: string]: KernelSpec })[kernel] as KernelSpec
  const steps = parseArguments(spec).map(({ name, role, arity }): Step => {
    if (role === 'philox') return { name, kind: 'philox' }
    if (role === 'number' || role === 'integer' || role === 'flag') return { name, kind: 'number' }
    return { name, kind: arity === 'list' ? 'list' : role === 'out' ? 'out' : 'tensor' }
  })
  return { kernel, number, steps }
}

export class Encoder {
  readonly #addon: Addon
  readonly #memory: NativeMemory
  #ints = new Int32Array(new ArrayBuffer(4 * 256))
  #doubles = new Float64Array(new ArrayBuffer(8 * 1024))
  #nextInt = 0
  #nextDouble = 0
  /** The storages that the call makes, `madeCount` of them, and those among them that the collector will free. Fixed
   * arrays: V8 gives up an array's memory when its length is set to 0. */
  readonly made: (Storage | null)[] = new Array<Storage | null>(maxMade).fill(null)
  readonly tracked: (Storage | null)[] = new Array<Storage | null>(maxMade).fill(null)
  madeCount = 0
  trackedCount = 0

  constructor(addon: Addon, memory: NativeMemory) {
    this.#addon = addon
    this.#memory = memory
    addon.words(this.#ints, this.#doubles)
  }

  encode(plan: Plan, args: KernelCall, label: number): void {
    this.madeCount = 0
    this.trackedCount = 0
    const ints = this.#ints
    ints[0] = plan.number
    ints[1] = label
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
      else this.#tensor(plan, value as StridedView, step.kind === 'out')
    }
  }

  /** The storages of the last call are no longer this encoder's business. */
  settle(): void {
    for (let i = 0; i < this.madeCount; i++) this.made[i] = null
    for (let i = 0; i < this.trackedCount; i++) this.tracked[i] = null
    this.madeCount = this.trackedCount = 0
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
    for (const view of views) this.#tensor(plan, view, false)
  }

  #tensor(plan: Plan, view: StridedView, out: boolean): void {
    const { storage, shape, strides, dtype } = view
    const handle = storage.handle
    if (handle < 0) storage.check(plan.kernel)
    if (storage.device !== this.#memory.device)
      throw new DeviceError(plan.kernel, `a tensor on ${storage.device.name} in a call on ${this.#memory.device.name}`)
    const code = dtype === 'float32' ? 0 : codeOf(plan.kernel, dtype)
    const dims = shape.length
    let word = code | (dims << 8)
    if (out && this.#memory.pending[handle] !== 0) {
      this.made[this.madeCount++] = storage
      if (this.#memory.pending[handle] === pendingTracked) {
        this.tracked[this.trackedCount++] = storage
        word |= trackedFlag
      }
    }
    const ints = this.#ints
    let at = this.#nextInt
    ints[at++] = handle
    ints[at++] = word
    this.#nextInt = at
    const doubles = this.#doubles
    at = this.#nextDouble
    doubles[at++] = view.offset
    for (let d = 0; d < dims; d++) doubles[at++] = shape[d] as number
    for (let d = 0; d < dims; d++) doubles[at++] = strides[d] as number
    this.#nextDouble = at
  }

  /** Makes room for a list; whatever else a call has fits beside it. */
  #reserve(tensors: number): void {
    const ints = this.#nextInt + 128 + 2 * tensors
    const doubles = this.#nextDouble + 512 + (1 + 2 * maxDims) * tensors
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
