/**
 * Two GPUs of 100 MB, of which other processes hold 60. Each computes, tensors move between them, and errors name the
 * memory that there is.
 */
import assert from 'node:assert/strict'
import { device } from '../../lib/backend/devices.js'
import { DeviceError, OutOfMemoryError, setDefaultDevice, tensor, zeros } from '../../lib/index.js'

const [first, second] = [device('cuda:0'), device('cuda:1')]
assert.equal(device('cuda'), first)
assert.throws(
  () => device('cuda:2'),
  /no GPU 2; the NVIDIA driver finds 2 among those that CUDA_VISIBLE_DEVICES names \('3,MIG-7'\), and counts from 0/,
)

const x = tensor([1, 2, 3], { device: first })
const y = tensor([10, 20, 30], { device: second })
// The GPUs take turns, so that each call finds the other's context.
for (let i = 0; i < 3; i++) {
  assert.deepEqual([...x.add(i).dataSync()], [1 + i, 2 + i, 3 + i])
  assert.deepEqual([...(await y.add(i).data())], [10 + i, 20 + i, 30 + i])
}
assert.deepEqual([...x.to('cuda:1').add(y).dataSync()], [11, 22, 33])
assert.throws(() => x.add(y), DeviceError)
setDefaultDevice('cuda:1')
assert.equal(zeros([1]).device, second)

assert.throws(
  () => zeros([12_500_000]),
  (error) => {
    assert.ok(error instanceof OutOfMemoryError, String(error))
    assert.match(error.message, /, and of the GPU's 100(\.0+)? MB other processes and the driver hold 60(\.0+)? MB,/)
    return true
  },
)
