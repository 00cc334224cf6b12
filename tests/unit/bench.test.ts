/** The bench's own numbers must be right before its results are believed: intervals, bounds, drawn shapes, the page. */
import { fileURLToPath } from 'node:url'
import { device as findDevice, setDefaultDevice, trace } from 'firesteel'
import { llama } from 'firesteel/models'
import { expect, test } from 'vitest'
import { boundOf, leastTimes } from '../../bench/bound.js'
import { drawWorkloads, seedOf } from '../../bench/draw.js'
import { page } from '../../bench/html.js'
import { kernelSum } from '../../bench/kernel-times.js'
import { bestRates, Machine, type Rates } from '../../bench/machine.js'
import { Maker } from '../../bench/maker.js'
import type { Row } from '../../bench/measure.js'
import { ServedPeer } from '../../bench/served.js'
import { geometricMean, pairedRatio, signedRankInterval } from '../../bench/statistics.js'
import { builderOf, readWorkloads } from '../../bench/suite.js'
import type { Workload } from '../../bench/work.js'
import type { NativeDevice } from '../../lib/backend/native/device.js'
import type { KernelRecord } from '../../lib/core/device.js'

/** P value of the signed-rank test that `values` are symmetric about `centre`, from all choices of signs. */
function signedRankP(values: readonly number[], centre: number): number {
  const sorted = values.map((value) => value - centre).sort((a, b) => Math.abs(a) - Math.abs(b))
  const n = values.length
  const total = (n * (n + 1)) / 2
  const observed = sorted.reduce((sum, value, i) => sum + (value > 0 ? i + 1 : 0), 0)
  let extreme = 0
  for (let signs = 0; signs < 2 ** n; signs++) {
    let sum = 0
    for (let i = 0; i < n; i++) if ((signs >> i) & 1) sum += i + 1
    if (Math.min(sum, total - sum) <= Math.min(observed, total - observed)) extreme++
  }
  return extreme / 2 ** n
}

const samples = [0.31, -0.05, 0.12, 0.44, 0.09, 0.27, -0.13, 0.18, 0.22, 0.02, 0.35]

test.each([6, 7, 9, 11])('the interval of %i samples is what the signed-rank test does not reject', (count) => {
  const values = samples.slice(0, count)
  const { low, high, estimate, confidence } = signedRankInterval(values)
  expect(confidence).toBeGreaterThanOrEqual(0.95)
  expect(low).toBeLessThan(estimate)
  expect(estimate).toBeLessThan(high)
  const alpha = 1 - confidence + 1e-9
  for (const edge of [low, high]) {
    const inside = edge === low ? 1e-6 : -1e-6
    expect(signedRankP(values, edge + inside)).toBeGreaterThan(alpha)
    expect(signedRankP(values, edge - inside)).toBeLessThanOrEqual(alpha)
  }
})

test('too few samples say how little they are worth', () => {
  expect(signedRankInterval([3])).toEqual({ estimate: 3, low: 3, high: 3, confidence: 0 })
  const { low, high, confidence } = signedRankInterval([1, 2, 4])
  expect([low, high, confidence]).toEqual([1, 4, 0.75])
})

test('a ratio of pairs does not mind noise that both sides share, nor which side is asked for', () => {
  const noise = [1, 3, 1.2, 9, 1.1, 1, 2, 1.7, 1]
  const ratio = pairedRatio(
    noise.map((x) => 2 * x),
    noise,
  )
  expect(ratio?.estimate).toBeCloseTo(2, 12)
  expect((ratio?.high ?? 0) - (ratio?.low ?? 0)).toBeCloseTo(0, 12)
  const [a, b] = [samples.map(Math.exp), samples.map((x) => Math.exp(x * x))]
  const [forth, back] = [pairedRatio(a, b), pairedRatio(b, a)]
  expect((forth?.estimate ?? 0) * (back?.estimate ?? 0)).toBeCloseTo(1, 12)
  expect((forth?.low ?? 0) * (back?.high ?? 0)).toBeCloseTo(1, 12)
  expect(pairedRatio([], [1])).toBeNull()
  expect(geometricMean([1, 8, 27])).toBeCloseTo(6, 12)
})

test('a seed draws the same twelve workloads, which the library can build', () => {
  const drawn = drawWorkloads(20260131)
  expect(drawWorkloads(20260131)).toEqual(drawn)
  expect(drawWorkloads(20260201).map(({ name }) => name)).not.toEqual(drawn.map(({ name }) => name))
  expect(new Set(drawn.map(({ name }) => name)).size).toBe(12)
  for (const kind of ['matmul', 'conv2d', 'lstm', 'attention', 'layernorm', 'gelu', 'cross_entropy'])
    expect(drawn.map((w) => w.kind)).toContain(kind)
  for (const workload of drawn) expect(builderOf(workload)).toBeTypeOf('function')
  expect(seedOf(new Date(2026, 0, 31))).toBe(20260131)
})

test.each(Array.from({ length: 40 }, (_, i) => 1 + 7919 * i))('convolutions drawn from %i are whole', (seed) => {
  for (const { c, out, groups = 1, h, kernel, pad } of drawWorkloads(seed).filter(({ kind }) => kind === 'conv2d')) {
    expect(Number(c) % Number(groups)).toBe(0)
    expect(Number(out) % Number(groups)).toBe(0)
    expect(Number(h) + 2 * Number(pad)).toBeGreaterThanOrEqual(Number(kernel))
  }
})

const cpu = findDevice('cpu') as NativeDevice
const fixed = readWorkloads(fileURLToPath(new URL('../../bench/workloads.json', import.meta.url)))

function traced(workload: Workload): readonly KernelRecord[] {
  const builder = builderOf(workload)
  if (typeof builder === 'string') throw new Error(builder)
  setDefaultDevice(cpu)
  const { run } = builder(workload, new Maker(cpu))
  return trace(run, cpu).kernels
}

test.each([
  'matmul_256x768x768',
  'conv3x3_resnet_fwd',
  'conv_depthwise_fwdbwd',
  'conv1x1_fwdbwd',
  'lstm_small_fwdbwd',
  'gru_small_fwdbwd',
  'rnn_fwdbwd',
  'attention_causal_fwdbwd',
])('the trace of %s counts the operations that the workload is known to have', (name) => {
  const workload = fixed.find((w) => w.name === name) as Workload
  const operations = traced(workload).reduce((sum, { multiplyAdds }) => sum + 2 * multiplyAdds, 0)
  // Exactly, except for the diagonal of causal attention, of which the file counts half.
  expect(operations / Number(workload['flops'])).toBeCloseTo(1, name.startsWith('attention') ? 2 : 9)
})

test('the trace counts every byte once, and of a table only the rows that are picked', () => {
  const traffic = (kernel: string, records: readonly KernelRecord[]) =>
    records.flatMap((r) => (r.kernel === kernel ? [[r.readBytes, r.writtenBytes]] : []))[0]
  const gelu = traced({ name: 'g', kind: 'gelu', rows: 30, cols: 40 })
  expect(traffic('gelu', gelu)).toEqual([4800, 4800])
  expect(traffic('gelu_backward', gelu)).toEqual([9600, 4800])
  const gpt = { name: 't', kind: 'train_gpt', vocab: 500, batch: 2, t: 8, d: 16, heads: 2, layers: 1 }
  expect(traffic('embedding', traced(gpt))).toEqual([2 * 8 * 16 * 4 + 2 * 8 * 4, 2 * 8 * 16 * 4])
})

const bandwidth = { read: 10e9, copy: 20e9 }
const rates: Rates = {
  float32: 100e9,
  bfloat16: 200e9,
  bandwidth: { L1: { read: 1e12, copy: 1e12 }, L2: bandwidth, L3: bandwidth, memory: bandwidth },
}
/** A call of a matmul, with the given changes. */
function call(told: Partial<KernelRecord>): KernelRecord {
  const { readBytes = 0, writtenBytes = 0 } = told
  const none = { kernel: 'matmul', milliseconds: 2, multiplyAdds: 0, dtype: 'float32' } as const
  return { ...none, ...told, readBytes, writtenBytes, bytes: readBytes + writtenBytes }
}

test('a bound is the sum of what limits each call', () => {
  const machine = new Machine(cpu)
  const large = 64 * machine.caches.L3
  const bound = boundOf(
    [
      call({ multiplyAdds: 5e9, readBytes: 1000 }),
      call({ multiplyAdds: 5e9, dtype: 'bfloat16' }),
      call({ kernel: 'add', readBytes: 3 * large, writtenBytes: large }),
    ],
    machine,
    rates,
  )
  const traffic = (2 * large) / 20e9 + (2 * large) / 10e9
  expect(bound.seconds).toBeCloseTo(0.1 + 0.05 + traffic, 9)
  expect(bound.limit).toBe(traffic > 0.15 ? 'memory' : 'flops')
  expect(bound.workingSet).toBe(4 * large)
  expect(Object.fromEntries(bound.kernels.map(({ kernel, calls }) => [kernel, calls]))).toEqual({ matmul: 2, add: 1 })
  expect(boundOf([call({ readBytes: 64, writtenBytes: 64 })], machine, rates).limit).toBe('calls')
  expect(leastTimes([[call({})], [call({ milliseconds: 1 })]])).toEqual([call({ milliseconds: 1 })])
  expect(bestRates([rates, { ...rates, float32: 1 }])).toEqual(rates)
})

test('the machine gives something, and nothing for an instruction set that it lacks', () => {
  const one = cpu.multiplyAddPeak('float32', { threads: 1 })
  expect(one).toBeGreaterThan(0)
  expect(cpu.multiplyAddPeak('float32', { isa: 'none' })).toBe(0)
  for (const traffic of ['read', 'copy'] as const) expect(cpu.bandwidth(traffic, 1e5)).toBeGreaterThan(0)
})

test('the page holds everything, and asks for nothing', () => {
  const machine = new Machine(cpu)
  const bound = boundOf([call({ multiplyAdds: 1e8, readBytes: 1e6, writtenBytes: 1e6 })], machine, rates)
  const interval = { estimate: 2, low: 1.5, high: 20, confidence: 0.96 }
  const row: Row = {
    name: 'a <b> & c',
    backend: 'cpu',
    best: 0.004,
    torch: 0.008,
    torchTuned: null,
    openblas: null,
    checked: true,
    drawn: false,
    note: 'agrees',
    ratios: { torch: interval, torchTuned: null, openblas: null },
    bound,
    share: bound.seconds / 0.004,
    rates,
    memory: { reserved: 3e6, tensors: 2e6, growth: 4e6, torchGrowth: 5e6, torchTunedGrowth: 6e6 },
  }
  const results = {
    date: '2026-01-31T10:00:00.000Z',
    commit: null,
    seed: 1,
    repeats: 9,
    peers: 'PyTorch 2',
    peersHeldTo: 'avx2',
    machine: machine.describe(),
    rows: [row, { ...row, name: 'drawn', drawn: true, bound: null, share: null, memory: null }],
  }
  const html = page(results)
  expect(html).toContain('a &#60;b&#62; &#38; c')
  expect(html).not.toMatch(/NaN|Infinity|undefined|<script|<link|https?:|url\(|src=/)
  expect(html).toContain('PyTorch 2, both held to avx2')
  expect(html.match(/<svg/g)).toHaveLength(2)
  expect(page({ ...results, machine: null })).not.toMatch(/NaN|undefined/)
})

test('a served peer answers line by line, may have no answer, and says why it ended', async () => {
  const program = `
    process.stdin.on('data', (text) => {
      const { count } = JSON.parse(text)
      if (count === 3) { console.error('no such shape'); process.exit(4) }
      console.log('a line of a library')
      console.log(count === 2 ? 'null' : JSON.stringify({ prefill: count }))
    })`
  const peer = new ServedPeer(process.execPath, ['-e', program])
  expect(await peer.ask({ count: 1 })).toEqual({ prefill: 1 })
  expect(await peer.ask({ count: 2 })).toBeNull()
  await expect(peer.ask({ count: 3 })).rejects.toThrow(/ended with code 4: no such shape/)
  await expect(peer.ask({ count: 1 })).rejects.toThrow(/has ended/)
  peer.close()
})

test('the kernels of a token are summed by their least times', () => {
  const device = findDevice('reference')
  const model = llama({ vocabSize: 301, layers: 1, width: 8, heads: 2, inner: 8, context: 8, device })
  const seconds = kernelSum(device, model, { prompt: 2, repeats: 2 })
  expect(seconds).toBeGreaterThan(0)
  expect(seconds).toBeLessThan(60)
})
