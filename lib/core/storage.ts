import type { Device } from './device.js'
import type { DType, TypedArray } from './dtype.js'
import { DisposedError } from './errors.js'

/** A bfloat16 copy of a storage's elements, for reading under autocast. */
export interface Shadow {
  readonly storage: Storage
  /** The version of the original that was copied. */
  version: number
  /** Whether it was read since the original was last updated. */
  used: boolean
}

/**
 * Who frees a storage.
 * - 'collector': the garbage collector, when the program holds no tensor over it.
 * - 'model': the collector too, but the storage is expected to live on: parameters, buffers, optimiser state, tensors
 *   given to `keep`.
 * - a frame (scope.ts): the scope or backward step that made it, when it ends.
 * - 'pass': the backward pass, after its last use there.
 */
export type Owner = 'collector' | 'model' | 'pass' | Frame

/** The storages made during a scope, or during one step of a backward pass. */
export interface Frame {
  readonly parent: Frame | null
  readonly storages: Storage[]
}

/**
 * Memory on a device, shared by all views of it. Made by `Device.allocate` only.
 *
 * `version` counts the writes that autograd must know of (see `markWritten`). If a saved tensor's storage has another
 * version at backward, the error names `writer`, the operator that wrote last.
 */
export class Storage {
  readonly device: Device
  readonly dtype: DType
  readonly count: number
  /** The device's name for it; -1 once freed. */
  handle: number
  version = 0
  writer = ''
  /** Who frees it. Changed by `adopt`, by scope.ts and by a backward pass only. */
  owner: Owner = 'collector'
  /**
   * Whether the program may hold this storage although the library made it for itself: a gradient that was read or
   * shown to a hook.
   */
  seen = false
  /** An object of its device that must live as long as this one. */
  guard: object | null = null
  /** The copy that autocast reads instead; null until its first read. */
  shadow: Shadow | null = null
  /** The elements, on devices that keep them in JavaScript. */
  data: TypedArray | null = null

  constructor(device: Device, dtype: DType, count: number, handle: number) {
    this.device = device
    this.dtype = dtype
    this.count = count
    this.handle = handle
  }

  get freed(): boolean {
    return this.handle < 0
  }

  /**
   * Hands the storage to the garbage collector, unless the collector already owns it. No scope or backward pass frees
   * it from then on.
   */
  adopt(): void {
    if (this.owner === 'collector' || this.owner === 'model') return
    this.owner = 'collector'
    this.device.track(this)
  }

  markWritten(op: string): void {
    this.version++
    this.writer = op
  }

  /** Throws if the memory is gone. `name` is that of the tensor in the error. */
  check(op: string, name = 'a tensor'): void {
    if (this.handle < 0)
      throw new DisposedError(
        op,
        `${name} was used after its memory was freed by dispose(), using or the end of its scope; ` +
          'return it from the scope or wrap it in keep() to hold it longer',
      )
  }
}
