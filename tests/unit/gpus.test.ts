/** The predictions for GPUs, and the proof that the peer's program knows all of our workloads. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { findGpu, launchSeconds, nodeSeconds, predict } from '../../bench/gpus.js'
import { sizes, workloads } from '../../lib/cli/workloads.js'
import type { KernelRecord } from '../../lib/core/device.js'

const gpu = { name: 'round', float32: 1e12, bfloat16: 1e13, bandwidth: 1e11 }

const record = (multiplyAdds: number, bytes: number, dtype: 'float32' | 'bfloat16' = 'float32'): KernelRecord => ({
  ...{ kernel: 'matmul', milliseconds: 0, readBytes: bytes, writtenBytes: 0 },
  ...{ multiplyAdds, bytes, dtype },
})

test.each([
  ['CUDA kernels: NVIDIA H200 (sm_90)', 'H200'],
  ['NVIDIA H100 80GB HBM3', 'H100'],
  ['NVIDIA H100 PCIe', 'H100 PCIe'],
  ['NVIDIA A100-SXM4-40GB', 'A100-SXM4-40GB'],
  ['NVIDIA A100-SXM4-80GB', 'A100'],
  ['NVIDIA L4', 'L4'],
  ['NVIDIA L40S', 'L40S'],
  ['NVIDIA L40', undefined],
  ['NVIDIA A1000', undefined],
  ['Tesla T4', 'T4'],
  ['emulator (sm_90)', undefined],
])('%s is the data sheet of %s', (driverName, name) => {
  expect(findGpu(driverName)?.name).toBe(name)
})

test('a kernel takes its launch, its arithmetic or its memory, whichever is longest', () => {
  // These bytes and multiply-adds take as long as a launch.
  const bytes = launchSeconds * gpu.bandwidth
  const work = (launchSeconds * gpu.float32) / 2
  const milliseconds = 1000 * launchSeconds
  expect(predict([record(0, 0.9 * bytes)], gpu)).toMatchObject({ milliseconds, limit: 'launches' })
  expect(predict([record(0, bytes)], gpu)).toMatchObject({ milliseconds, limit: 'launches' })
  expect(predict([record(0, 1.1 * bytes)], gpu).limit).toBe('memory')
  expect(predict([record(2 * work, 1.5 * bytes)], gpu)).toMatchObject({ limit: 'arithmetic' })
  expect(predict([record(2 * work, 1.5 * bytes)], gpu).milliseconds).toBeCloseTo(2 * milliseconds, 9)
  // Tensor cores are ten times faster here, so memory is the limit.
  expect(predict([record(2 * work, 1.5 * bytes, 'bfloat16')], gpu)).toMatchObject({ limit: 'memory', launches: 1 })
  expect(predict([record(0, 0), record(0, 3 * bytes)], gpu).milliseconds).toBeCloseTo(4 * milliseconds, 9)
})

test('tf32 multiplies at half the rate of bfloat16, but not in attention, and nodes of a graph start sooner', () => {
  const work = record(launchSeconds * gpu.bfloat16, 0)
  const of = (options: object, kernel = 'matmul') => predict([{ ...work, kernel }], gpu, options).milliseconds
  expect(of({ tf32: true })).toBeCloseTo(4000 * launchSeconds, 9)
  expect(of({ tf32: true }, 'attention_forward')).toBeCloseTo(of({}), 9)
  expect(of({})).toBeCloseTo(20_000 * launchSeconds, 9)
  expect(predict([record(0, 0)], gpu, { isGraph: true })).toMatchObject({
    milliseconds: 1000 * nodeSeconds,
    limit: 'launches',
  })
})

test("PyTorch's program makes every kind, with the names of its sizes", () => {
  const program = readFileSync(fileURLToPath(new URL('../../bench/peers/torch_cuda.py', import.meta.url)), 'utf8')
  for (const size of sizes)
    for (const workload of workloads(size)) {
      const parameters = new RegExp(`^def ${workload.kind}\\((.*)\\):$`, 'm').exec(program)?.[1]?.split(', ')
      expect(parameters?.toSorted(), workload.kind).toEqual(Object.keys(workload.sizes).toSorted())
    }
})
