import type { Device, DeviceMemory } from '../core/device.js'
import { defaultDevice, device as find } from './devices.js'

export interface Memory extends DeviceMemory {
  readonly device: string
}

/**
 * The live tensors and bytes of a device (by default the default device), its peak, and the bytes that its allocator
 * keeps for reuse. Tensors on 'meta' take no bytes; `planned` says how many they would take elsewhere.
 */
export function memory(device: string | Device = defaultDevice()): Memory {
  const found = find(device)
  return { device: found.name, ...found.memory() }
}

/** Restarts the peak from the bytes that are live now. */
export function resetPeakMemory(device: string | Device = defaultDevice()): void {
  find(device).resetPeak()
}
