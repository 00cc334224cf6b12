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
 * Who frees a storage.
 * - 'collector': the garbage collector, when the program holds no tensor over it.
 * - 'model': the collector too, but it is expected to live on: parameters, buffers, the state of optimisers, what `keep` was given.
 * - a frame (scope.ts): the scope or the step of a backward pass that it was made in, at its end.
 * - 'pass': the backward pass, after its last use there.
 */
export type Owner = 'collector' | 'model' | 'pass' | Frame

/** The storages that are made while a scope or one step of a backward pass runs. */
export interface Frame {
  readonly parent: Frame | null
  readonly storages: Storage[]
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
  /** Who frees it. Changed by `adopt`, by scope.ts and by a backward pass only. */
  owner: Owner = 'collector'
  /** Whether the program may hold it, though the library made it for itself: a gradient that was read or shown to a hook. */
  seen = false
  /** An object of its device that must live as long as this one. */
  guard: object | null = null
  /** The copy that autocast reads instead; null until autocast has read it. */
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

  /** Hands it to the garbage collector, unless that has it already: no scope and no backward pass frees it any more. */
  adopt(): void {
    if (this.owner === 'collector' || this.owner === 'model') return
    this.owner = 'collector'
    this.device.track(this)
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
