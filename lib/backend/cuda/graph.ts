/** Sequences of calls that a GPU runs at once: CUDA graphs. */
import type { Device } from '../../core/device.js'
import { DeviceError, ValueError } from '../../core/errors.js'
import { checkFinished, checkFunction } from '../../core/synchronous.js'
import { deviceFor } from '../devices.js'
import { CudaDevice } from './device.js'
import { Recording } from './recording.js'

/** A captured sequence of calls, which `captureGraph` makes. */
export class CudaGraph {
  readonly #device: CudaDevice
  #graph: { readonly number: number; readonly recording: Recording } | null

  /** @internal */
  constructor(device: CudaDevice, number: number, recording: Recording) {
    this.#device = device
    this.#graph = { number, recording }
  }

  /**
   * Runs the calls again, after all earlier calls, and does not wait. They read what their tensors hold at that moment,
   * and draw the next random numbers of their generators. They take the next step of their optimisers, with the options
   * that these have at that moment. Throws ValueError after `dispose`, and if an optimiser's parameters or states were
   * replaced meanwhile; nothing has changed then.
   */
  replay(): void {
    if (this.#graph === null) throw new ValueError('replay', 'the graph was disposed; capture another one')
    const { number, recording } = this.#graph
    this.#device.throwPending()
    this.#device.replay(number, recording.renew())
  }

  /** Frees the memory that only the graph holds. Tensors that the program still holds keep theirs. */
  dispose(): void {
    if (this.#graph !== null) this.#device.dropGraph(this.#graph.number)
    this.#graph = null
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

/**
 * Captures the calls of a synchronous function on a GPU as a graph, and runs it once. Each `replay()` runs the same
 * calls on the same memory with a single launch, which saves the launches of many small kernels. Before a replay, write
 * the next batch into the tensors that the function reads, by `copy_`; after it, read the results. A graph may hold a
 * forward and a backward pass. Each replay overwrites gradients that did not exist before the capture, and adds to the
 * others.
 *
 * A graph may also hold a whole training step, with dropout, `clipGradNorm` and `optimizer.step()`:
 *
 *     const graph = captureGraph(() => {
 *       optimizer.zeroGrad()
 *       scope(() => crossEntropy(model.forward(x), target).backward())
 *       optim.clipGradNorm(model.parameters(), 1)
 *       optimizer.step()
 *     })
 *
 * A replay gives the bits that the function itself would give. Steps of optimisers have the next number, and the
 * options of that moment, such as `lr`. Random numbers go on in their generators. An optimiser whose state is not there
 * yet must take a step before. Everything else of the program does not run again: a schedule steps between two replays,
 * and all other numbers and shapes are as they were captured. It refuses tensors made of the program's numbers, reads,
 * which would wait, and generators that the function makes or seeds. It also refuses optimisers without a kernel
 * (`Muon`, `Adafactor`, `Rprop`, `ASGD`, a program's own). The memory that the calls touch belongs to the graph until
 * `dispose()`. Throws ValueError for a call that is refused, DeviceError if the device is no GPU, and what `fn` throws.
 */
export function captureGraph(fn: () => void, on: string | Device = 'cuda'): CudaGraph {
  checkFunction('captureGraph', fn)
  const device = deviceFor('captureGraph', on)
  if (!(device instanceof CudaDevice))
    throw new DeviceError(
      'captureGraph',
      `'${device.name}' has no graphs; only GPUs have them: name one, such as 'cuda:0'`,
    )
  const recording = new Recording(device)
  const number = device.capture(recording, () => checkFinished('captureGraph', fn()))
  device.replay(number, new Float64Array())
  return new CudaGraph(device, number, recording)
}
