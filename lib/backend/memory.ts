import type { Device, DeviceMemory } from '../core/device.js'
import { defaultDevice, device as find } from './devices.js'

export interface Memory extends DeviceMemory {
  readonly device: string
}

/**
 * Live tensors and bytes of a device (the default one), its peak, and what its allocator keeps for reuse. Tensors of
 * 'meta' take no bytes; `planned` says how many they would take elsewhere.
 */
export function memory(device: string | Device = defaultDevice()): Memory {
  const found = find(device)
  return { device: found.name, ...found.memory() }
}

/** Lets the peak begin again from what is live now. */
export function resetPeakMemory(device: string | Device = defaultDevice()): void {
  find(device).resetPeak()
}
