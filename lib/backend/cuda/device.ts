/**
 * The CUDA device: the addon's queue, whose entries run through the CUDA library (native/cuda/library.h). Neither
 * toolkit nor driver is needed to install the package or to ask for the device; if they are missing, the error says so.
 */
import type { Device } from '../../core/device.js'
import { DeviceError } from '../../core/errors.js'
import { nodeModule } from '../../core/host.js'
import { packageRoot } from '../../core/package-root.js'
import type { CudaAddon } from '../native/addon.js'
import { loadedNative, QueueDevice } from '../native/device.js'
import { requireHere } from '../native/loader.js'
import { platformName } from '../native/platforms.js'

const { existsSync } = nodeModule('node:fs')
const { join } = nodeModule('node:path')

export class CudaDevice extends QueueDevice {
  /** The GPU's name and architecture. */
  readonly model: string
  /** The path of the CUDA library. */
  readonly path: string

  constructor(name: string, addon: CudaAddon, path: string) {
    super(name, 'cuda', addon)
    this.model = addon.model
    this.path = path
  }

  protected override missingKernel(kernel: string): Error {
    return new DeviceError(kernel, `${this.name} has no kernel '${kernel}' yet; move the tensors with .to('cpu')`)
  }
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
        '`node scripts/build-cuda.mjs` builds it where a C++ compiler and nvcc are',
    }
  try {
    return new CudaDevice(`cuda:${index}`, native.module.openCuda(path, index), path)
  } catch (error) {
    return { unavailable: error instanceof Error ? error.message : String(error) }
  }
}
