/**
 * The accounts of a native device's storages: handles, bytes, the garbage collector and the end of memory.
 *
 * A synchronous training loop never returns to the event loop, where finalizers run, so garbage is collected here. When
 * live bytes or storages pass a soft limit, a minor collection (0.1 ms) runs and the addon polls its weak references. A
 * storage that survives twice is old, and is polled only after a major collection. That is rare: it happens above a
 * second limit, and before an allocation that would not fit. Soft limits below 128 MB would promote a step's tensors
 * while they are alive.
 *
 * A storage that is announced here counts as taken, even if its kernel still waits in the queue and has touched
 * nothing. The error must come early, because the system refuses memory only by killing the process. The addon checks
 * as well, because it alone knows the kernels' scratch space and the holes between blocks; its errors are late ones.
 *
 * A weak reference costs more than a small kernel, so small storages share one. Each holds the guard that was open when
 * it was made, and all of them are freed when the last is gone. A small tensor can keep at most 15 KB alive that way.
 */
import type { Device } from '../../core/device.js'
import { OutOfMemoryError, ValueError } from '../../core/errors.js'
import { heapLeft } from '../../core/host.js'
import type { Storage } from '../../core/storage.js'
import type { Addon } from './addon.js'
import { formatBytes } from './bytes.js'
import { type Collector, makeCollector } from './collector.js'
import { Holders, noteworthyBytes } from './holders.js'

/** The most elements of a storage that shares its guard, and the number of storages that share one. */
export const smallCount = 256
export const guardShare = 16

/** A guard: the object that several small storages hold. */
class Guard {}

const softBytes = 256e6
const softCount = 50_000
/**
 * The machine is asked again after this many new bytes, and after this share of the remaining memory. Others take
 * memory too, such as the JavaScript heap. An answer costs 0.1 ms.
 */
const grant = 2 ** 30
const grantShare = 1 / 4
/**
 * The bytes of the JavaScript heap that are left for things other than tensors, because a full heap ends the process.
 */
const heapReserve = 64e6
/** The advice at the end of memory. */
export const makeRoomAdvice = 'free tensors (scope, using, dispose) or use a smaller batch'

/** Values of `NativeMemory.pending`, the fate of a storage that no kernel has made yet. */
export const pendingUntracked = 1
export const pendingTracked = 2
/** The storage will never be made, because memory ended in the middle of its operator. */
const abandoned = 3

/** The part of the room that may be taken before the machine is asked again, if a caller wants `bytes` now. */
function granted(room: number, bytes: number): number {
  return Math.min(room, bytes + Math.min(grant, Math.max(0, room - bytes) * grantShare))
}

export class NativeMemory {
  readonly device: Device
  readonly #addon: Addon
  /** The collector, made at the first collection, because that takes two milliseconds. */
  #collector: Collector | null = null
  readonly #holders = new Holders()

  /** The bytes by handle, which the addon reads when it makes a storage. */
  #sizes = new Float64Array(0)
  /** The handles that `poll` found dead, or that `releaseAll` is to free. */
  dead = new Int32Array(0)
  /** The state by handle: not 0 while no kernel has made the storage. */
  pending = new Uint8Array(0)
  readonly #freeHandles: number[] = []
  #nextHandle = 0

  /** The guard that small storages join, and the number of storages that may still join. */
  #guard: Guard | null = null
  #guardRoom = 0

  bytes = 0
  /** The highest `bytes` since the queue was last seen empty, because queued calls may still need that much. */
  #crest = 0
  count = 0
  peak = 0
  #limitBytes = softBytes
  #limitCount = softCount
  #majorBytes = 2 * softBytes
  #majorCount = 2 * softCount
  /** The bytes that may be allocated before the machine is asked again. */
  #headroom = 0
  /**
   * The same for arrays, which cannot use the allocator's cache. It holds only while the crest is unchanged, because
   * the allocator may have taken its growth from the system.
   */
  #arrayRoom = 0
  #arrayCrest = 0
  /** The bytes of small arrays for which the machine has not been asked. */
  #unasked = 0

  constructor(device: Device, addon: Addon) {
    this.device = device
    this.#addon = addon
    this.#grow()
  }

  /** A handle for a storage of `bytes`, which the next kernel call or upload makes. */
  allocate(bytes: number, tracked: boolean, op: string): number {
    // Negative numbers, fractions and NaN reach `makeRoom` too, which refuses them before they are counted.
    if (
      !(bytes >= 0 && bytes <= this.#headroom && Math.floor(bytes) === bytes) ||
      this.bytes > this.#limitBytes ||
      this.count > this.#limitCount
    )
      this.#prepare(bytes, op)
    this.#headroom -= bytes
    const held = this.bytes + bytes
    this.bytes = held
    this.count++
    if (held > this.#crest || held > this.peak) this.#rise(held)
    const handle = this.#freeHandles.pop() ?? this.#newHandle()
    this.#sizes[handle] = bytes
    if (bytes >= noteworthyBytes) this.#holders.note(handle, bytes, op)
    this.pending[handle] = tracked ? pendingTracked : pendingUntracked
    return handle
  }

  // Rare work is in a separate function, because V8 inlines only small functions.

  #prepare(bytes: number, op: string): void {
    if (!(bytes >= 0 && bytes <= this.#headroom && Math.floor(bytes) === bytes)) this.makeRoom(bytes, op)
    if (this.bytes > this.#limitBytes || this.count > this.#limitCount) this.#collect(op)
  }

  #newHandle(): number {
    const handle = this.#nextHandle++
    if (handle >= this.#sizes.length) this.#grow()
    return handle
  }

  #rise(held: number): void {
    this.peak = Math.max(this.peak, held)
    this.#crest = Math.max(this.#crest, held)
  }

  /** Frees a handle that the addon does not know, or has released. */
  forget(handle: number): void {
    const bytes = this.#sizes[handle] as number
    if (this.pending[handle] !== abandoned) this.count--
    this.pending[handle] = 0
    this.bytes -= bytes
    this.#headroom += bytes
    if (bytes >= noteworthyBytes) this.#holders.forget(handle)
    this.#freeHandles.push(handle)
  }

  /** Marks a storage that no kernel has made yet, so that the garbage collector may free it once it is made. */
  trackPending(handle: number): void {
    if (this.pending[handle] === pendingUntracked) this.pending[handle] = pendingTracked
  }

  /** Gives a small storage a guard. Returns a new guard for the addon, or null if the storage joins the last one. */
  guard(storage: Storage): object | null {
    if (this.#guardRoom > 0) {
      this.#guardRoom--
      storage.guard = this.#guard
      return null
    }
    const guard = new Guard()
    this.#guard = storage.guard = guard
    this.#guardRoom = guardShare - 1
    return guard
  }

  /** Closes the guard, so that the next small storage opens a new one. */
  closeGuard(): void {
    this.#guard = null
    this.#guardRoom = 0
  }

  /**
   * Gives up the storages that an operator had announced before it met the end of memory. Its kernel will never run,
   * the addon does not know these storages, and nothing would ever free them. Their handles become free again only if
   * their owner frees them.
   */
  #abandonPending(): void {
    for (let handle = 0; handle < this.#nextHandle; handle++) {
      const state = this.pending[handle]
      if (state !== pendingUntracked && state !== pendingTracked) continue
      const bytes = this.#sizes[handle] as number
      this.pending[handle] = abandoned
      this.#sizes[handle] = 0
      this.#holders.forget(handle)
      this.bytes -= bytes
      this.#headroom += bytes
      this.count--
    }
  }

  #grow(): void {
    const length = Math.max(1024, 2 * this.#sizes.length)
    const sizes = new Float64Array(new ArrayBuffer(8 * length))
    sizes.set(this.#sizes)
    const pending = new Uint8Array(length)
    pending.set(this.pending)
    const dead = new Int32Array(new ArrayBuffer(4 * length))
    this.#addon.handles(sizes, dead)
    this.#sizes = sizes
    this.pending = pending
    this.dead = dead
  }

  #garbage(): Collector {
    this.#collector ??= makeCollector(this.#addon)
    return this.#collector
  }

  #poll(major: boolean): void {
    const count = this.#addon.poll(major)
    for (let i = 0; i < count; i++) this.forget(this.dead[i] as number)
  }

  #collect(op: string): void {
    this.closeGuard()
    this.#garbage().minor()
    this.#poll(false)
    if (this.bytes > this.#majorBytes || this.count > this.#majorCount) this.#collectAll()
    if (this.count > this.#limitCount) this.#checkHeap(op)
    this.#limitBytes = this.bytes + softBytes
    this.#limitCount = this.count + softCount
  }

  #collectAll(): void {
    this.closeGuard()
    this.#garbage().major()
    this.#poll(true)
    this.#majorBytes = Math.max(2 * softBytes, 1.5 * this.bytes + softBytes)
    this.#majorCount = Math.max(2 * softCount, 1.5 * this.count + softCount)
  }

  /** Checks the JavaScript heap, which many small tensors fill before the memory of their elements. */
  #checkHeap(op: string): void {
    if (heapLeft() < heapReserve) {
      this.#collectAll()
      if (heapLeft() < heapReserve)
        throw new OutOfMemoryError(
          op,
          `the JavaScript heap is nearly full: ${this.count} tensors with ${formatBytes(this.bytes)} are alive; free some ` +
            '(scope, using, dispose), put their elements into fewer tensors, or start Node with a larger --max-old-space-size',
        )
    }
    if (this.#addon.availableBytes() === 0) this.makeRoom(1, op)
  }

  /** Throws OutOfMemoryError if a tensor of `bytes` does not fit, and ValueError if that is not a number of bytes. */
  makeRoom(bytes: number, op: string): void {
    if (!(bytes >= 0 && Math.floor(bytes) === bytes)) {
      this.#abandonPending()
      throw new ValueError(op, `a tensor cannot have ${bytes} bytes; its sizes must be non-negative integers`)
    }
    if (this.#fits(bytes)) return
    this.#collectAll()
    this.#addon.flush()
    this.#crest = this.bytes
    if (this.#fits(bytes)) return
    // The memory of arrays that the first collection found is returned by the time of a second one.
    this.#collectAll()
    if (this.#fits(bytes)) return
    throw this.#full(bytes, op)
  }

  #full(bytes: number, op: string): OutOfMemoryError {
    this.#abandonPending()
    return new OutOfMemoryError(
      op,
      `${formatBytes(bytes)} do not fit: ${this.describeHeld()}, and ${formatBytes(this.#addon.availableBytes())} are left ` +
        `to this process; ${makeRoomAdvice}`,
    )
  }

  /**
   * Throws OutOfMemoryError if an array of `bytes` does not fit in the system's remaining memory. Unlike a tensor, an
   * array exists before the entries of the queue have run, and it cannot use the allocator's cache.
   */
  makeRoomForArray(bytes: number, op: string): void {
    this.#unasked += bytes
    // Small arrays are added up, and the machine is asked for all of them at once.
    if (this.#unasked < noteworthyBytes) return
    const wanted = bytes < noteworthyBytes ? this.#unasked : bytes
    this.#unasked = 0
    if (this.mayCopy(wanted)) return
    this.#addon.finish()
    this.#crest = this.bytes
    if (this.mayCopy(wanted)) return
    this.#addon.flush()
    if (this.mayCopy(wanted)) return
    // The memory of arrays is returned by the time of a second collection, like that of tensors.
    for (let i = 0; i < 2; i++) {
      this.#collectAll()
      this.#addon.flush()
      this.#crest = this.bytes
      if (this.mayCopy(wanted)) return
    }
    throw this.#full(wanted, op)
  }

  /** Whether the system has `bytes` at this moment. They then count as taken until it is asked again. */
  mayCopy(bytes: number): boolean {
    const grown = Math.max(0, this.#crest - this.#arrayCrest)
    if (!(bytes + grown <= this.#arrayRoom)) {
      this.#look(bytes)
      if (!(bytes <= this.#arrayRoom)) return false
    }
    this.#arrayRoom -= bytes
    this.#headroom -= bytes
    return true
  }

  /** The text about held memory, such as `4.50 GB are held by 3 tensors (4.50 GB in 3 results of zeros)`. */
  describeHeld(): string {
    const largest = this.#holders.describe()
    const own = `${formatBytes(this.bytes)} are held by ${this.count} tensors${largest === '' ? '' : ` (${largest})`}`
    return own + this.#describeOthers()
  }

  /** The text about a GPU's memory that others have taken; empty for a device without its own memory. */
  #describeOthers(): string {
    const total = this.#addon.totalBytes?.() ?? 0
    if (total === 0) return ''
    const others = Math.max(0, total - this.#addon.availableBytes() - this.#addon.reservedBytes())
    return `, and of the GPU's ${formatBytes(total)} other processes and the driver hold ${formatBytes(others)}`
  }

  /** Asks again for the remaining memory: what the system gives, and what the allocator keeps beyond the live bytes. */
  #look(bytes: number): { readonly room: number; readonly available: number } {
    // The order matters: bytes reserved in between must be missing from both numbers rather than counted in both.
    const reserved = this.#addon.reservedBytes()
    const available = this.#addon.availableBytes()
    const room = available + reserved - this.bytes
    this.#headroom = granted(room, bytes)
    // Queued calls may still take memory from the system that the allocator does not have.
    this.#arrayRoom = granted(available - Math.max(0, this.#crest - reserved), bytes)
    this.#arrayCrest = this.#crest
    return { room, available }
  }

  #fits(bytes: number): boolean {
    const { room, available } = this.#look(bytes)
    // The allocator's blocks may have the wrong sizes. Only after a flush does the system have all of the memory.
    return bytes <= room && bytes <= available
  }
}
