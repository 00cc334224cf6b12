import type { Device, KernelRecord } from '../core/device.js'
import { ValueError } from '../core/errors.js'
import { printed } from '../core/host.js'
import { defaultDevice, device as find } from './devices.js'

/** A trace: the kernels that ran, in order, and their sums by name. */
export class Trace<R> {
  readonly result: R
  readonly kernels: readonly KernelRecord[]

  constructor(result: R, kernels: readonly KernelRecord[]) {
    this.result = result
    this.kernels = kernels
  }

  /** The number of times that a kernel ran. */
  count(kernel: string): number {
    return this.kernels.filter((record) => record.kernel === kernel).length
  }

  /** The number of kernels that only moved memory. */
  get copies(): number {
    return this.count('copy') + this.count('copy_into')
  }

  get milliseconds(): number {
    return this.kernels.reduce((sum, record) => sum + record.milliseconds, 0)
  }

  get bytes(): number {
    return this.kernels.reduce((sum, record) => sum + record.bytes, 0)
  }

  /** A table by kernel, with the most expensive first. */
  toString(): string {
    const rows = new Map<string, { calls: number; milliseconds: number; bytes: number }>()
    for (const { kernel, milliseconds, bytes } of this.kernels) {
      const row = rows.get(kernel) ?? { calls: 0, milliseconds: 0, bytes: 0 }
      rows.set(kernel, {
        calls: row.calls + 1,
        milliseconds: row.milliseconds + milliseconds,
        bytes: row.bytes + bytes,
      })
    }
    const line = (name: string, calls: string, ms: string, mb: string) =>
      `${name.padEnd(26)}${calls.padStart(7)}${ms.padStart(12)}${mb.padStart(12)}`
    const sorted = [...rows].sort(([, a], [, b]) => b.milliseconds - a.milliseconds)
    return [
      line('kernel', 'calls', 'ms', 'MB'),
      ...sorted.map(([name, row]) =>
        line(name, String(row.calls), row.milliseconds.toFixed(3), (row.bytes / 1e6).toFixed(2)),
      ),
      line('total', String(this.kernels.length), this.milliseconds.toFixed(3), (this.bytes / 1e6).toFixed(2)),
      `${this.copies} copies`,
    ].join('\n')
  }

  [printed](): string {
    return this.toString()
  }
}

/** The devices with a trace in progress. */
const traced = new WeakSet<Device>()

/**
 * Runs a synchronous function, and lists the kernels it called with the time and the bytes of each. Kernels run one by
 * one meanwhile, so that each time is the kernel's own. Throws ValueError if a trace of the device is already running.
 */
export function trace<R>(fn: () => R, device: string | Device = defaultDevice()): Trace<R> {
  if (typeof fn !== 'function') throw new ValueError('trace', `needs a function to run, but got ${typeof fn}`)
  const target = find(device)
  if (traced.has(target))
    throw new ValueError(
      'trace',
      `a trace of ${target.name} is running already, and would miss what an inner one records`,
    )
  traced.add(target)
  const recording = target.startTrace()
  let stopped: readonly KernelRecord[] | null = null
  try {
    const result = fn()
    stopped = recording.stop()
    return new Trace(result, stopped)
  } finally {
    traced.delete(target)
    if (stopped === null) recording.stop()
  }
}
