/** Tensors on the GPU: there and back, computed and differentiated, and what is missing, said. Ends with an error else. */
import assert from 'node:assert/strict'
import { device } from '../../../lib/backend/devices.js'
import { DeviceError, DTypeError, nn, optim, tensor, zeros } from '../../../lib/index.js'
import { cat } from '../../../lib/ops/index.js'

const gpu = device('cuda')
assert.equal(gpu.name, 'cuda:0')
assert.equal(gpu.kind, 'cuda')
assert.throws(() => device('cuda:1'), /there is no GPU 1; the driver finds 1/)

const x = tensor([
  [1, -2, 3],
  [4, 5, -6],
]).to('cuda')
const row = tensor([10, 20, 30]).to('cuda')
assert.equal(x.device, gpu)
assert.deepEqual([...x.mul(row).relu().dataSync()], [10, 0, 90, 40, 100, 0])
assert.deepEqual([...(await x.transpose(0, 1).data())], [1, 4, -2, 5, 3, -6])
assert.deepEqual([...x.transpose(0, 1).add(1).to('cpu').dataSync()], [2, 5, -1, 6, 4, -5])
assert.deepEqual(
  [
    ...cat([x, row.view([1, 3])])
      .narrow(0, 1, 2)
      .dataSync(),
  ],
  [4, 5, -6, 10, 20, 30],
)
assert.deepEqual([...zeros([3], { device: 'cuda' }).add(row).to('int32').dataSync()], [10, 20, 30])

// Optimisers have no kernels here, so that their updates run operator by operator.
const trained = (on: string) => {
  const weight = new nn.Parameter(tensor([1, 2, 3], { device: on }))
  for (const optimizer of [
    new optim.AdamW([weight], { lr: 0.1, amsgrad: true }),
    new optim.SGD([weight], { lr: 0.1, momentum: 0.9, weightDecay: 0.1 }),
  ])
    for (let step = 0; step < 3; step++) {
      weight.grad = tensor([1, -2, 0.5], { device: on })
      optimizer.step()
    }
  return [...weight.dataSync()].map((value) => value.toFixed(4))
}
assert.deepEqual(trained('cuda'), trained('cpu'))

// A read larger than what is copied at once waits on another thread: timers run meanwhile, and the order is kept.
const large = zeros([300_000], { device: 'cuda' })
let turns = 0
const timer = setInterval(() => turns++, 0)
let sum = large
for (let i = 0; i < 20; i++) sum = sum.add(1)
const read = sum.data()
const later = sum.add(1).data()
assert.equal((await read)[299_999], 20)
assert.equal((await later)[0], 21)
clearInterval(timer)
assert.ok(turns > 0, 'the event loop stood still')

const p = tensor([0.5, -1, 2], { device: 'cuda', requiresGrad: true })
p.mul(p)
  .exp()
  .backward({ gradient: tensor([1, 1, 2], { device: 'cuda' }) })
const gradient = p.grad?.dataSync() ?? []
for (const [i, v] of [0.5, -1, 2].entries()) {
  const expected = (i === 2 ? 2 : 1) * 2 * v * Math.exp(v * v)
  assert.ok(Math.abs((gradient[i] as number) - expected) < 1e-5 * Math.abs(expected))
}

// A gradient that is summed over what was broadcast.
const bias = tensor([1, 2, 3], { device: 'cuda', requiresGrad: true })
x.mul(bias).sum().backward()
assert.deepEqual([...(bias.grad?.dataSync() ?? [])], [5, 3, -3])

assert.throws(
  () => x.matmul(row.view([3, 1])),
  (error) =>
    error instanceof DeviceError && /cuda:0 has no kernel 'matmul'|lacks the kernels matmul/.test(error.message),
)
assert.throws(() => x.to('bfloat16'), DTypeError)
assert.throws(() => x.add(tensor([1, 2, 3]).to('cpu')), DeviceError)
x.dispose()
assert.throws(() => x.add(1), /freed/)
