/** The devices of this thread, each made when it is first asked for, and the default device. */
import type { Device } from '../core/device.js'
import { DeviceError, kindOf } from '../core/errors.js'
import { warn } from '../core/host.js'
import { createCudaDevice } from './cuda/device.js'
import { createMetaDevice } from './meta/device.js'
import { createNativeDevice, loadedNative } from './native/device.js'
import { paragraph } from './native/report.js'
import { createReferenceDevice } from './reference/device.js'
import { readSettings, type Settings } from './settings.js'

type Made = Device | { readonly unavailable: string }

const made = new Map<string, Made>()
let chosen: Device | null = null
let settings: Settings | null = null

/** The settings of the environment, which must be valid before any device is made. */
function environment(): Settings {
  settings ??= readSettings()
  return settings
}

function make(name: string): Made {
  if (name === 'reference') return createReferenceDevice()
  if (name === 'cpu') return createNativeDevice()
  if (name === 'meta') return createMetaDevice()
  const gpu = /^cuda:(\d+)$/.exec(name)
  if (gpu) return createCudaDevice(Number(gpu[1]))
  return { unavailable: `there is no device of that name; known are reference, cpu, cuda:0, meta` }
}

function lookUp(name: string): Made {
  const key = name === 'cuda' ? 'cuda:0' : name
  let found = made.get(key)
  if (found === undefined) {
    environment()
    found = make(key)
    made.set(key, found)
  }
  return found
}

/** `device` for a function that the program calls by the name `op`. */
export function deviceFor(op: string, name: string | Device): Device {
  if (typeof name !== 'string') {
    if (typeof (name as Partial<Device> | null | undefined)?.allocate === 'function') return name
    throw new DeviceError(op, `there is no device ${kindOf(name)}; name one: 'cpu', 'reference', 'cuda:0' or 'meta'`)
  }
  const found = lookUp(name)
  if ('unavailable' in found) throw new DeviceError(op, `'${name}' is not available: ${found.unavailable}`)
  return found
}

/**
 * The device of a name: 'cpu' (native kernels), 'reference', 'cuda' or 'cuda:0', or 'meta', whose tensors have shapes
 * but no elements. Throws DeviceError with the reason.
 */
export function device(name: string | Device): Device {
  return deviceFor('device', name)
}

/** The reason why a device is not available, or null if it is. */
export function unavailable(name: string): string | null {
  const found = lookUp(name)
  return 'unavailable' in found ? found.unavailable : null
}

/**
 * The device of new tensors: native kernels, or the reference if no binary fits. FIRESTEEL_DEVICE names another. Throws
 * DeviceError if the named device is not available.
 */
export function defaultDevice(): Device {
  if (chosen === null) {
    const { device: named, isa } = environment()
    if (named !== null) chosen = device(named)
    else {
      const native = lookUp('cpu')
      if ('unavailable' in native) {
        // A program that names an instruction set does not want the reference.
        if (isa !== null) throw new DeviceError('device', `'cpu' is not available: ${native.unavailable}`)
        chosen = device('reference')
      } else chosen = native
      const told = paragraph(loadedNative())
      if (told !== null) warn(told, { type: 'FiresteelWarning' })
    }
  }
  return chosen
}

/** Sets the device of new tensors. Throws DeviceError for a device that is unknown or not available. */
export function setDefaultDevice(name: string | Device): void {
  chosen = deviceFor('setDefaultDevice', name)
}

/** Runs a synchronous function with another default device. */
export function withDefaultDevice<R>(device: Device, fn: () => R): R {
  const before = chosen
  chosen = device
  try {
    return fn()
  } finally {
    chosen = before
  }
}
