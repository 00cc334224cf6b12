/**
 * Graphs of the GPU. Replayed forward and backward passes must give the bits of called ones, whatever takes memory
 * meanwhile. Faults in the data must be reported, and calls that a graph may not hold refused. Anything else is an
 * error.
 */
import assert from 'node:assert/strict'
import { device } from '../../lib/backend/devices.js'
import * as f from '../../lib/index.js'

const gpu = device('cuda') as f.Device & { readonly launches: number }
const on = { device: gpu }
const { nn, optim } = f
const steps = 3

let state = 7
const numbers = (count: number) =>
  Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  })
const batches = Array.from({ length: steps }, (_, i) => ({
  x: numbers(6 * 5),
  target: Int32Array.from({ length: 6 }, (_, row) => (row + i) % 3),
}))

/** The losses and the last weights of a training. `prepare` turns the pass into the step. */
function train(prepare: (pass: () => void, zeroGrad: () => void) => () => void): number[] {
  f.manualSeed(3)
  const model = new nn.Sequential(
    new nn.Linear(5, 8, on),
    new nn.LayerNorm(8, on),
    new nn.GELU(),
    new nn.Linear(8, 3, on),
  )
  const optimizer = new optim.AdamW(model.parameters(), { lr: 0.1 })
  const x = f.zeros([6, 5], on)
  const target = f.zeros([6], { ...on, dtype: 'int32' })
  const kept: { loss: f.Tensor | null } = { loss: null }
  const step = prepare(
    () => {
      f.scope(() => {
        const loss = f.crossEntropy(model.forward(x), target)
        loss.backward()
        kept.loss = f.keep(loss.detach())
      })
    },
    () => optimizer.zeroGrad(),
  )
  const losses = batches.map((batch) => {
    f.noGrad(() => {
      x.copy_(f.fromTypedArray(batch.x, [6, 5], on))
      target.copy_(f.fromTypedArray(batch.target, [6], on))
    })
    step()
    const loss = (kept.loss as f.Tensor).item() as number
    optimizer.step()
    return loss
  })
  return [...losses, ...[...model.parameters()].flatMap((parameter) => [...parameter.dataSync()])]
}

let [called, replayed] = [0, 0]
const launchesOf = (run: () => void) => {
  const before = gpu.launches
  run()
  return gpu.launches - before
}
const eager = train((pass, zeroGrad) => () => {
  zeroGrad()
  called = launchesOf(pass)
})
const graphs: f.CudaGraph[] = []
const garbage: f.Tensor[] = []
const captured = train((pass) => {
  let graph: f.CudaGraph | null = null
  return () => {
    if (graph === null) graphs.push((graph = f.captureGraph(pass)))
    else replayed = launchesOf(() => graph?.replay())
    // Tensors that take memory now must not get the graph's.
    for (const count of [3, 8, 18, 24, 40, 48, 64]) garbage.push(f.full([count], Number.NaN, on))
  }
})
assert.deepEqual(captured, eager)
assert.ok(captured.every(Number.isFinite), 'a loss or a weight is not finite')
assert.equal(new Set(captured.slice(0, steps)).size, steps, 'a replay read the batch before')
assert.ok(called > 10, `a pass is ${called} launches`)
assert.equal(replayed, 1)
for (const tensor of garbage)
  assert.ok(tensor.dataSync().every(Number.isNaN), "a replay wrote into a stranger's memory")

// A graph is disposed of only once.
const [graph] = graphs as [f.CudaGraph]
graph.dispose()
graph.dispose()
assert.throws(() => graph.replay(), f.ValueError)

// A tensor that a captured call reads may be disposed of, because nobody else gets its memory.
const read = f.full([1000], 2, on)
const result: { sum: f.Tensor | null } = { sum: null }
const held = f.captureGraph(() => {
  result.sum = read.mul(3).sum()
})
assert.equal((result.sum as f.Tensor).item(), 6000)
read.dispose()
const strangers = [1000, 1000, 1000].map((count) => f.full([count], 5, on))
held.replay()
assert.equal((result.sum as f.Tensor).item(), 6000)
// The memory becomes free when the graph is disposed of.
held.dispose()
const { reservedBytes } = gpu.memory()
assert.equal(f.zeros([1000], on).sum().item(), 0)
assert.equal(gpu.memory().reservedBytes, reservedBytes)
for (const stranger of strangers) assert.equal(stranger.sum().item(), 5000)

// Scratch memory belongs to the graph too. Here it holds sums of two parts of the depth.
const [left, right] = [f.full([17, 600], 1, on), f.full([600, 12], 1, on)]
const product: { out: f.Tensor | null } = { out: null }
const multiplying = f.captureGraph(() => {
  product.out = f.matmul(left, right)
})
const others = Array.from({ length: 4 }, () => f.full([2 * 17 * 12], Number.NaN, on))
multiplying.replay()
assert.ok((product.out as f.Tensor).dataSync().every((value) => value === 600))
for (const other of others) assert.ok(other.dataSync().every(Number.isNaN), 'a replay wrote into memory of others')
multiplying.dispose()

// A fault that depends on the data is reported after each replay that finds it, by the captured call.
const rows = f.zeros([4, 2], on)
const index = f.tensor([0, 3], { ...on, dtype: 'int32' })
const chosen: { rows: f.Tensor | null } = { rows: null }
const choosing = f.captureGraph(() => {
  chosen.rows = f.indexSelect(rows, 0, index)
})
for (const [wrong, told] of [
  [4, /index 4/],
  [1, null],
  [9, /index 9/],
] as const) {
  f.noGrad(() => index.copy_(f.tensor([0, wrong], { ...on, dtype: 'int32' })))
  choosing.replay()
  const look = () => (chosen.rows as f.Tensor).dataSync()
  if (told === null) look()
  else assert.throws(look, (error) => error instanceof f.IndexOutOfRangeError && /^\[indexSelect\]/.test(error.message))
}
choosing.dispose()

// Calls that a graph may not hold are refused, and the device then goes on.
const x = f.full([300], 1, on)
for (const [refused, told] of [
  [() => void x.sum().item(), /a read waits for calls that are only captured; call it outside of captureGraph/],
  [() => void x.mul(f.tensor([2], on)), /numbers of the program would be the same at each replay/],
] as const)
  assert.throws(
    () => f.captureGraph(refused),
    (error) => error instanceof f.ValueError && told.test(error.message),
    String(told),
  )
assert.throws(
  () =>
    f.captureGraph(() => {
      throw new RangeError('mine')
    }),
  RangeError,
)
await assert.rejects(async () => f.captureGraph((async () => undefined) as never), f.ValueError)
assert.throws(() => f.captureGraph(() => undefined, 'cpu'), /\[captureGraph\] 'cpu' has no graphs/)
assert.equal(x.sum().item(), 300)
