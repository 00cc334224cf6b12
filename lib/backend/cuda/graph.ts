/** Sequences of calls that a GPU runs at once: CUDA graphs. */
import type { Device } from '../../core/device.js'
import { DeviceError, ValueError } from '../../core/errors.js'
import { checkFinished, checkFunction } from '../../core/synchronous.js'
import { deviceFor } from '../devices.js'
import { CudaDevice } from './device.js'

/** A captured sequence of calls, which `captureGraph` makes. */
export class CudaGraph {
  readonly #device: CudaDevice
  #number: number | null

  /** @internal */
  constructor(device: CudaDevice, number: number) {
    this.#device = device
    this.#number = number
  }

  /**
   * Runs the calls again, after all earlier calls, and does not wait. They read what their tensors hold then,
   * and write the same results as at the first time. Throws ValueError after `dispose`.
   */
  replay(): void {
    if (this.#number === null) throw new ValueError('replay', 'the graph was disposed; capture another one')
    this.#device.replay(this.#number)
  }

  /** Frees the memory that only the graph holds. Tensors that the program still holds keep theirs. */
  dispose(): void {
    if (this.#number !== null) this.#device.dropGraph(this.#number)
    this.#number = null
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

/**
 * Captures the calls of a synchronous function on a GPU as a graph, and runs it once. Each `replay()` runs the same calls
 * on the same memory by one launch, where small kernels would wait for their own: write the next batch into the tensors
 * that the function reads, by `copy_`, and read the results that it left. So a graph may hold a forward and a backward
 * pass; gradients that did not exist before are then written anew by each replay, and others are added to.
 *
 * A replay repeats the captured calls with the captured shapes and numbers, because the program itself does not run
 * again. Calls whose numbers vary are therefore refused: steps of optimisers, dropout and random numbers, tensors made of
 * the program's numbers, and reads, which would wait. Call them between two replays. The memory that the calls touch belongs to the
 * graph until `dispose()`. Throws ValueError for a call that is refused, DeviceError if the device is no GPU, and what
 * `fn` throws.
 */
export function captureGraph(fn: () => void, on: string | Device = 'cuda'): CudaGraph {
  checkFunction('captureGraph', fn)
  const device = deviceFor('captureGraph', on)
  if (!(device instanceof CudaDevice))
    throw new DeviceError('captureGraph', `'${device.name}' has no graphs, which only GPUs have; name one, as 'cuda:0'`)
  const number = device.capture(() => checkFinished('captureGraph', fn()))
  device.replay(number)
  return new CudaGraph(device, number)
}
