/**
 * The machine's bound on the speed of a workload. A kernel call takes at least as long as its multiply-adds take at
 * their peak. It also takes at least as long as its bytes take at the bandwidth of the nearest cache that would hold
 * all of its tensors. The bound is the sum of the longer of these two times over all calls. The bound assumes that
 * calls do not overlap and that none can be left out, so a fusion that saves a call lowers it. A convolution counts as
 * a direct one, so another algorithm may beat its bound.
 */
import type { KernelRecord } from '../lib/core/device.js'
import type { Level, Machine, Rates } from './machine.js'

export type Limit = 'flops' | Level

/** All calls of one kernel in one call of a workload. */
export interface KernelSum {
  readonly kernel: string
  readonly calls: number
  /** Measured, one call at a time. */
  readonly seconds: number
  readonly bound: number
  readonly bytes: number
  readonly multiplyAdds: number
  readonly limit: Limit
}

export interface Bound {
  readonly seconds: number
  /**
   * The limit of the largest part. It is 'calls' if the machine has so little to do that only the path to it counts.
   */
  readonly limit: Limit | 'calls'
  /** The bytes that the largest call touches. */
  readonly workingSet: number
  readonly kernels: readonly KernelSum[]
}

/** If calls need less than this each, their bound says nothing. */
const leastCallSeconds = 2e-7

function callBound(record: KernelRecord, machine: Machine, rates: Rates): { seconds: number; limit: Limit } {
  const { bytes, readBytes, writtenBytes, multiplyAdds, dtype } = record
  const level = machine.levelOf(bytes)
  const { read, copy } = rates.bandwidth[level]
  const arithmetic = (2 * multiplyAdds) / (dtype === 'bfloat16' ? rates.bfloat16 : rates.float32)
  // Bytes that are written cost as much as in a copy. Bytes that are read beyond those cost as much as in a read.
  const paired = Math.min(readBytes, writtenBytes)
  const traffic = (paired + writtenBytes) / copy + (readBytes - paired) / read
  return arithmetic >= traffic ? { seconds: arithmetic, limit: 'flops' } : { seconds: traffic, limit: level }
}

function largest(parts: ReadonlyMap<Limit, number>): Limit {
  return ([...parts].sort(([, a], [, b]) => b - a)[0] as [Limit, number])[0]
}

function sumOf(kernel: string, records: readonly KernelRecord[], machine: Machine, rates: Rates): KernelSum {
  const parts = new Map<Limit, number>()
  const sum = { seconds: 0, bound: 0, bytes: 0, multiplyAdds: 0 }
  for (const record of records) {
    const { seconds, limit } = callBound(record, machine, rates)
    parts.set(limit, (parts.get(limit) ?? 0) + seconds)
    sum.bound += seconds
    sum.seconds += record.milliseconds / 1000
    sum.bytes += record.bytes
    sum.multiplyAdds += record.multiplyAdds
  }
  return { kernel, calls: records.length, ...sum, limit: largest(parts) }
}

export function boundOf(records: readonly KernelRecord[], machine: Machine, rates: Rates): Bound {
  const byKernel = new Map<string, KernelRecord[]>()
  for (const record of records) {
    const list = byKernel.get(record.kernel)
    if (list === undefined) byKernel.set(record.kernel, [record])
    else list.push(record)
  }
  const kernels = [...byKernel].map(([kernel, list]) => sumOf(kernel, list, machine, rates))
  const parts = new Map<Limit, number>()
  for (const { bound, limit } of kernels) parts.set(limit, (parts.get(limit) ?? 0) + bound)
  const seconds = kernels.reduce((sum, { bound }) => sum + bound, 0)
  return {
    seconds,
    limit: records.length === 0 || seconds / records.length < leastCallSeconds ? 'calls' : largest(parts),
    workingSet: records.reduce((most, { bytes }) => Math.max(most, bytes), 0),
    kernels: kernels.sort((a, b) => b.bound - a.bound),
  }
}

/** Joins traces of the same calls into one, with the least time of each call. */
export function leastTimes(traces: readonly (readonly KernelRecord[])[]): readonly KernelRecord[] {
  const [first = [], ...others] = traces
  return first.map((record, i) => ({
    ...record,
    milliseconds: others.reduce((least, trace) => {
      const other = trace[i]
      return other?.kernel === record.kernel ? Math.min(least, other.milliseconds) : least
    }, record.milliseconds),
  }))
}
