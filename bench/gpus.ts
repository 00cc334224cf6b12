/** Figures from the data sheets of GPUs, and the time that they predict for a workload before it has been measured. */
import type { KernelRecord } from '../lib/core/device.js'

/** A GPU, by NVIDIA's data sheets. Rates are dense ones, without sparsity. */
export interface Gpu {
  readonly name: string
  /**
   * Operations per second, of which a multiply-add counts as two: float32 outside tensor cores, and bfloat16 on them (0
   * if there are none).
   */
  readonly float32: number
  readonly bfloat16: number
  /** Bytes per second of its memory. */
  readonly bandwidth: number
}

const gpu = (name: string, float32: number, bfloat16: number, bandwidth: number): Gpu => ({
  name,
  float32: float32 * 1e12,
  bfloat16: bfloat16 * 1e12,
  bandwidth: bandwidth * 1e9,
})

/** More specific names come first, because the first one that is part of the driver's name is taken. */
const gpus: readonly Gpu[] = [
  gpu('B200', 75, 2250, 8000),
  gpu('H200', 67, 989, 4800),
  gpu('H100 PCIe', 51, 756, 2000),
  gpu('H100', 67, 989, 3350),
  gpu('A100-SXM4-40GB', 19.5, 312, 1555),
  gpu('A100', 19.5, 312, 2039),
  gpu('L40S', 91.6, 362, 864),
  gpu('L4', 30.3, 121, 300),
  gpu('A10', 31.2, 125, 600),
  gpu('T4', 8.1, 0, 320),
  gpu('RTX 5090', 104.8, 209.5, 1792),
  gpu('RTX 4090', 82.6, 165.2, 1008),
]

/** The GPU whose name is part of the driver's, or null if the list has none. */
export function findGpu(driverName: string): Gpu | null {
  const words = ` ${driverName} `
  return (
    gpus.find(({ name }) => {
      const at = words.indexOf(name)
      // L4 must not match L40.
      return at > 0 && !/[0-9A-Za-z]/.test((words[at - 1] as string) + (words[at + name.length] as string))
    }) ?? null
  )
}

/** The least time between the beginnings of two kernels, however little the first one does. */
export const launchSeconds = 4e-6

export interface Prediction {
  readonly milliseconds: number
  /** The part that takes the longest. */
  readonly limit: 'arithmetic' | 'memory' | 'launches'
  readonly launches: number
}

/** The least time between the beginnings of two kernels of a graph. */
export const nodeSeconds = 1.5e-6

interface PredictOptions {
  /** Whether float32 matrices are multiplied in tf32. Attention is not. Default false. */
  readonly tf32?: boolean
  /** Whether all kernels are launched at once, as a graph. Default false. */
  readonly isGraph?: boolean
}

/**
 * The least time of a step. Each kernel takes as long as its multiply-adds at the peak, or its bytes at the bandwidth,
 * whichever is longer, but never less than a launch. Kernels do not overlap.
 */
export function predict(records: readonly KernelRecord[], gpu: Gpu, options: PredictOptions = {}): Prediction {
  const { tf32 = false, isGraph = false } = options
  const least = isGraph ? nodeSeconds : launchSeconds
  const parts = { arithmetic: 0, memory: 0, launches: 0 }
  for (const { kernel, multiplyAdds, bytes, dtype } of records) {
    // Tensor cores multiply tf32 at half the rate of bfloat16.
    const low = dtype === 'bfloat16' ? 1 : tf32 && !kernel.startsWith('attention') ? 0.5 : 0
    const peak = Math.max(gpu.float32, low * gpu.bfloat16)
    const arithmetic = (2 * multiplyAdds) / peak
    const memory = bytes / gpu.bandwidth
    const most = Math.max(arithmetic, memory, least)
    parts[most === least ? 'launches' : arithmetic >= memory ? 'arithmetic' : 'memory'] += most
  }
  const [[limit]] = Object.entries(parts).sort(([, a], [, b]) => b - a) as [[Prediction['limit'], number]]
  return {
    milliseconds: 1000 * (parts.arithmetic + parts.memory + parts.launches),
    limit,
    launches: records.length,
  }
}
