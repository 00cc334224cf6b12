/**
 * Tensors on the GPU: moved there and back, computed, differentiated, and errors that name what is missing. Anything
 * else is an error.
 */
import assert from 'node:assert/strict'
import { device } from '../../lib/backend/devices.js'
import { DeviceError, DTypeError, IndexOutOfRangeError, nn, optim, tensor, ValueError, zeros } from '../../lib/index.js'
import { cat } from '../../lib/ops/index.js'
import { sequenceMask } from '../../lib/ops/recurrent/lengths.js'

const gpu = device('cuda')
assert.equal(gpu.name, 'cuda:0')
assert.equal(gpu.kind, 'cuda')
assert.throws(() => device('cuda:1'), /there is no GPU 1; the NVIDIA driver finds 1, and counts from 0/)

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

// A read that is larger than one copy waits on another thread. Timers run meanwhile, and the order is kept.
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

// A gradient that is summed over a broadcast dimension.
const bias = tensor([1, 2, 3], { device: 'cuda', requiresGrad: true })
x.mul(bias).sum().backward()
assert.deepEqual([...(bias.grad?.dataSync() ?? [])], [5, 3, -3])

assert.throws(
  () => gpu.run({ name: 'nothing', number: -1 }, {}),
  (error) => error instanceof DeviceError && /cuda:0 has no kernel 'nothing'/.test(error.message),
)

// A fault that a kernel finds in its data is reported at the next read, as the operator's error, and the device goes
// on.
const ids = tensor([0, 7, -1], { dtype: 'int32', device: 'cuda' })
const wrong = /\[indexSelect\] index 7 at position 1 is out of range for dimension 0 of size 2; allowed are 0 to 1/
const selected = x.indexSelect(0, ids)
assert.throws(
  () => selected.dataSync(),
  (error) => error instanceof IndexOutOfRangeError && wrong.test(error.message),
)
await assert.rejects(x.indexSelect(0, ids).data(), IndexOutOfRangeError)
assert.throws(
  () =>
    x
      .to('int32')
      .mul(2 ** 30)
      .sum()
      .item(),
  ValueError,
)
assert.deepEqual([...x.indexSelect(0, tensor([1], { dtype: 'int32', device: 'cuda' })).dataSync()], [4, 5, -6])
assert.throws(
  () =>
    tensor([7, 5], { dtype: 'int32', device: 'cuda' })
      .remainder(tensor([2, 0], { dtype: 'int32', device: 'cuda' }))
      .dataSync(),
  (error) => error instanceof ValueError && /\[remainder\] an int32 is divided by 0; convert/.test(error.message),
)
const lengths = tensor([2, 5], { dtype: 'int32', device: 'cuda' })
assert.throws(
  () => sequenceMask(lengths, 4).dataSync(),
  (error) =>
    error instanceof ValueError && /the length of sequence 1 is 5, but must be from 1 to 4/.test(error.message),
)
assert.throws(() => x.to('float64'), DTypeError)
assert.throws(() => x.add(tensor([1, 2, 3]).to('cpu')), DeviceError)
x.dispose()
assert.throws(() => x.add(1), /freed/)
