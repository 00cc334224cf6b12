/**
 * The CUDA device: the addon's queue, whose entries run through the CUDA library (native/cuda/library.h). Neither
 * toolkit nor driver is needed to install the package or to ask for the device; if they are missing, the error says so.
 */
import { withCapture } from '../../core/capture.js'
import type { Device, KernelCall, KernelKey } from '../../core/device.js'
import { DeviceError, InternalError, shown, ValueError } from '../../core/errors.js'
import { nodeModule } from '../../core/host.js'
import { packageRoot } from '../../core/package-root.js'
import type { CudaAddon } from '../native/addon.js'
import { loadedNative, QueueDevice } from '../native/device.js'
import { requireHere } from '../native/loader.js'
import { platformName } from '../native/platforms.js'
import type { Recording } from './recording.js'

const { existsSync } = nodeModule('node:fs')
const { join } = nodeModule('node:path')

export class CudaDevice extends QueueDevice {
  /** The GPU's name and architecture. */
  readonly model: string
  /** The path of the CUDA library. */
  readonly path: string
  readonly #addon: CudaAddon
  #recording: Recording | null = null

  constructor(name: string, addon: CudaAddon, path: string) {
    super(name, 'cuda', addon)
    this.model = addon.model
    this.path = path
    this.#addon = addon
    opened.push(this)
    this.takePrecision()
  }

  /** Multiplies float32 as `setFloat32MatmulPrecision` says, from the next call on. */
  takePrecision(): void {
    this.#addon.allowTf32(precision === 'high')
  }

  /** The launches of kernels and of graphs so far. */
  get launches(): number {
    return this.#addon.launches()
  }

  override run(kernel: KernelKey, args: KernelCall): boolean {
    const ran = super.run(kernel, args)
    if (ran) this.#recording?.noteCall(kernel.name, args)
    return ran
  }

  /**
   * Captures what the function calls, and gives the graph's number. Throws what the function throws, and the errors of
   * its calls; then there is no graph.
   */
  capture(recording: Recording, fn: () => void): number {
    this.throwPending()
    const failed = this.#addon.beginCapture()
    if (failed !== '') throw new InternalError('captureGraph', failed)
    let graph: number | string = ''
    try {
      try {
        this.#recording = recording
        withCapture(recording, () => recording.watch(fn))
      } finally {
        this.#recording = null
        graph = this.#addon.endCapture()
      }
      this.throwPending()
      if (typeof graph === 'string') throw new InternalError('captureGraph', graph)
      return graph
    } catch (error) {
      if (typeof graph === 'number') this.#addon.dropGraph(graph)
      recording.cancel()
      throw error
    }
  }

  /**
   * Runs the calls of a graph anew, in order with all others, with these numbers (native/cuda/library.h). Without any
   * they have those of the last time.
   */
  replay(graph: number, values: Float64Array): void {
    const failed = this.#addon.replay(graph, values)
    if (failed !== '') throw new InternalError('replay', failed)
  }

  dropGraph(graph: number): void {
    this.#addon.dropGraph(graph)
  }

  protected override missingKernel(kernel: string): Error {
    return new DeviceError(kernel, `${this.name} has no kernel '${kernel}' yet; move the tensors with .to('cpu')`)
  }
}

/** The way in which GPUs multiply matrices of float32: in float32, or with factors rounded to tf32. */
export type Float32MatmulPrecision = 'highest' | 'high'

let precision: Float32MatmulPrecision = 'highest'
/** The thread's GPUs. */
const opened: CudaDevice[] = []

/**
 * Chooses how GPUs multiply matrices of float32, in all later calls of this thread. 'highest', the initial value, keeps
 * factors in float32. 'high' lets GPUs from Ampere on multiply on their tensor cores, several times as fast. Factors
 * are then rounded to tf32, which has 10 bits of fraction instead of 23. Sums are float32. It holds for products of
 * matrices and whatever consists of them: linear layers, convolutions, recurrent layers, and their gradients. Products
 * of up to 16 rows, or of rows that are no multiple of 4 numbers, and attention stay in float32, and so do other
 * devices. Throws ValueError for another precision; PyTorch's 'medium' is bfloat16, for which `autocast` is there.
 */
export function setFloat32MatmulPrecision(wanted: Float32MatmulPrecision): void {
  if (wanted !== 'highest' && wanted !== 'high')
    throw new ValueError(
      'setFloat32MatmulPrecision',
      `precision is ${shown(wanted)}, but must be 'highest' (float32) or 'high' (tf32); for bfloat16 use autocast`,
    )
  precision = wanted
  for (const device of opened) device.takePrecision()
}

/** The precision that `setFloat32MatmulPrecision` has chosen. */
export function getFloat32MatmulPrecision(): Float32MatmulPrecision {
  return precision
}

/** The path of the library: a build of this checkout first, then a package's. */
function findLibrary(): string | null {
  const root = packageRoot()
  const built = root === null ? null : join(root, 'build/Release/firesteel_cuda.so')
  if (built !== null && existsSync(built)) return built
  try {
    return requireHere().resolve(`@firesteel/cuda-${platformName()}`)
  } catch {
    return null
  }
}

/**
 * GPU `index`, or the reason why there is none. FIRESTEEL_CUDA_DRIVER names a driver library other than libcuda.so.1.
 */
export function createCudaDevice(index = 0): Device | { readonly unavailable: string } {
  const native = loadedNative()
  if ('unavailable' in native) return native
  const path = findLibrary()
  if (path === null)
    return {
      unavailable:
        `there is no CUDA library: neither build/Release nor the package @firesteel/cuda-${platformName()} has one; ` +
        '`node scripts/build-cuda.mjs` builds it if a C++ compiler and nvcc are installed',
    }
  try {
    return new CudaDevice(`cuda:${index}`, native.module.openCuda(path, index), path)
  } catch (error) {
    return { unavailable: error instanceof Error ? error.message : String(error) }
  }
}
