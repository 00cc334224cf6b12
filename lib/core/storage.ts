import type { Device } from './device.js'
import type { DType, TypedArray } from './dtype.js'
import { DisposedError } from './errors.js'

/** A bfloat16 copy of a storage's elements, for reading under autocast. */
export interface Shadow {
  readonly storage: Storage
  /** The original's version that the copy is of. */
  version: number
  /** Whether it was read since the original was last updated. */
  used: boolean
}

/**
 * Memory on a device, shared by all views of it. Made by `Device.allocate` only.
 *
 * `version` counts the writes that autograd must know of (see `markWritten`): a saved tensor whose storage has
 * another version at backward is an error that names `writer`, the operator that wrote last.
 */
export class Storage {
  readonly device: Device
  readonly dtype: DType
  readonly count: number
  /** The device's name for it; -1 once freed. */
  handle: number
  version = 0
  writer = ''
  /** Whether a scope may not free it: parameters, gradients, optimiser state, `keep`. */
  kept = false
  /** Whether the garbage collector frees it; else whoever made it does. */
  tracked = true
  /** The frame it was made in (see scope.ts). */
  frame: object | null = null
  /** An object of its device that must live as long as this one. */
  guard: object | null = null
  /** What autocast reads instead; null until it did. */
  shadow: Shadow | null = null
  /** Elements, on devices that keep them in JavaScript. */
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

  markWritten(op: string): void {
    this.version++
    this.writer = op
  }

  /** Throws if the memory is gone. */
  check(op: string): void {
    if (this.handle < 0)
      throw new DisposedError(
        op,
        'a tensor was used after its memory was freed by dispose(), using or the end of its scope; ' +
          'return it from the scope or wrap it in keep() to hold it longer',
      )
  }
}
