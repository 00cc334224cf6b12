import type { Device } from '../core/device.js'
import { CudaDevice } from './cuda/device.js'
import { defaultDevice, device as find } from './devices.js'
import { NativeDevice } from './native/device.js'

/** One line about a device: what runs its kernels, the instruction set, and the number of threads. */
export function describeDevice(device: string | Device = defaultDevice()): string {
  const found = find(device)
  if (found instanceof NativeDevice) return `native kernels on the CPU: ${found.isa}, ${found.threads} threads`
  if (found instanceof CudaDevice) return `CUDA kernels: ${found.model}`
  if (found.kind === 'reference') return 'reference kernels in TypeScript: one thread, slow'
  if (found.kind === 'meta') return 'no kernels: shapes without elements'
  return found.name
}
