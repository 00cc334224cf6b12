/** The machine's highest rates. They are measured at the start and again between samples, because they vary. */
import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism, cpus, totalmem } from 'node:os'
import type { NativeDevice } from '../lib/backend/native/device.js'

export type Level = 'L1' | 'L2' | 'L3' | 'memory'
export const levels: readonly Level[] = ['L1', 'L2', 'L3', 'memory']
const instructionSets = ['base', 'neon', 'avx2', 'avx512']

/** Bytes per second. */
export interface Bandwidth {
  readonly read: number
  /** Bytes that are read and written. */
  readonly copy: number
}

/** The rates for one number of threads. */
export interface Rates {
  /**
   * Operations per second, of which a multiply-add counts as two. bfloat16 equals float32 if the processor has no
   * bfloat16 products.
   */
  readonly float32: number
  readonly bfloat16: number
  readonly bandwidth: { readonly [L in Level]: Bandwidth }
}

export interface Caches {
  readonly L1: number
  readonly L2: number
  readonly L3: number
}

/** The description has no host name. */
export interface MachineDescription {
  readonly processor: string
  readonly cores: number
  readonly memory: number
  readonly caches: Caches
  readonly node: string
  readonly platform: string
  readonly isa: string
  readonly threads: number
  /** The peaks of float32, by instruction set and number of threads. */
  readonly peaks: readonly { readonly isa: string; readonly threads: number; readonly operations: number }[]
  readonly rates: readonly ({ readonly threads: number } & Rates)[]
}

const cacheFolder = '/sys/devices/system/cpu/cpu0/cache'

/** The bytes of the data caches that one core sees, or usual sizes if the system does not tell. */
function readCaches(): Caches {
  const sizes = { L1: 32 << 10, L2: 512 << 10, L3: 8 << 20 }
  try {
    for (const index of readdirSync(cacheFolder)) {
      if (!index.startsWith('index')) continue
      const text = (name: string) => readFileSync(`${cacheFolder}/${index}/${name}`, 'utf8').trim()
      const level = `L${text('level')}`
      if (text('type') !== 'Instruction' && level in sizes)
        sizes[level as keyof Caches] =
          Number.parseInt(text('size'), 10) * (text('size').endsWith('M') ? 1 << 20 : 1 << 10)
    }
  } catch {
    // The system is not Linux, or hides its caches.
  }
  return sizes
}

const better = (a: Bandwidth, b: Bandwidth): Bandwidth => ({
  read: Math.max(a.read, b.read),
  copy: Math.max(a.copy, b.copy),
})

/** The best of several measurements. */
export function bestRates(all: readonly Rates[]): Rates {
  return all.reduce((a, b) => ({
    float32: Math.max(a.float32, b.float32),
    bfloat16: Math.max(a.bfloat16, b.bfloat16),
    bandwidth: {
      L1: better(a.bandwidth.L1, b.bandwidth.L1),
      L2: better(a.bandwidth.L2, b.bandwidth.L2),
      L3: better(a.bandwidth.L3, b.bandwidth.L3),
      memory: better(a.bandwidth.memory, b.bandwidth.memory),
    },
  }))
}

/** Adds the rates measured since. The best measurements with the device's number of threads count. */
export function withRates(description: MachineDescription, seen: readonly Rates[]): MachineDescription {
  const { threads, rates } = description
  const better = (own: Rates) => bestRates([own, ...seen])
  return { ...description, rates: rates.map((own) => (own.threads === threads ? { threads, ...better(own) } : own)) }
}

export class Machine {
  readonly caches = readCaches()
  readonly #device: NativeDevice

  constructor(device: NativeDevice) {
    this.#device = device
  }

  /** The nearest level that holds this many bytes if all threads share them. */
  levelOf(bytes: number): Level {
    const { L1, L2, L3 } = this.caches
    const threads = this.#device.threads
    if (bytes <= threads * L1) return 'L1'
    if (bytes <= threads * L2) return 'L2'
    return bytes <= L3 ? 'L3' : 'memory'
  }

  /** Whether a working set is so large that hardly any of it stays in the caches. */
  exceedsCaches(bytes: number): boolean {
    return bytes > 4 * this.caches.L3
  }

  #bandwidth(level: Level, threads: number, seconds: number): Bandwidth {
    const { L1, L2, L3 } = this.caches
    // A working set is half of a cache, because the cache holds other things too. Arrays in memory follow STREAM's
    // rule: each array of a copy is 4 times L3.
    const workingSet = { L1: (threads * L1) / 2, L2: (threads * L2) / 2, L3: L3 / 2, memory: 8 * L3 }[level]
    return {
      read: this.#device.bandwidth('read', workingSet, { threads, seconds }),
      copy: this.#device.bandwidth('copy', workingSet, { threads, seconds }),
    }
  }

  /** Measures each figure for about `seconds`. The bandwidth of levels that are not wanted is 0. */
  measure(wanted: readonly Level[] = levels, { threads = this.#device.threads, seconds = 0.003 } = {}): Rates {
    const float32 = this.#device.multiplyAddPeak('float32', { threads, seconds })
    const bandwidth = (level: Level) =>
      wanted.includes(level) ? this.#bandwidth(level, threads, seconds) : { read: 0, copy: 0 }
    return {
      float32,
      bfloat16: Math.max(float32, this.#device.multiplyAddPeak('bfloat16', { threads, seconds })),
      bandwidth: { L1: bandwidth('L1'), L2: bandwidth('L2'), L3: bandwidth('L3'), memory: bandwidth('memory') },
    }
  }

  describe(): MachineDescription {
    const device = this.#device
    const counts = [...new Set([1, device.threads])]
    return {
      processor: cpus()[0]?.model.trim() || process.arch,
      cores: availableParallelism(),
      memory: totalmem(),
      caches: this.caches,
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
      isa: device.isa,
      threads: device.threads,
      peaks: instructionSets.flatMap((isa) =>
        counts.flatMap((threads) => {
          const operations = device.multiplyAddPeak('float32', { isa, threads, seconds: 0.02 })
          return operations > 0 ? [{ isa, threads, operations }] : []
        }),
      ),
      rates: counts.map((threads) => ({ threads, ...this.measure(levels, { threads, seconds: 0.04 }) })),
    }
  }
}
