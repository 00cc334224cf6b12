/** Takes 1,200 steps that leave 2 MB of garbage each, in a loop without awaits, on a GPU of 900 MB. */
import assert from 'node:assert/strict'
import { device } from '../../lib/backend/devices.js'
import { OutOfMemoryError, ones, zeros } from '../../lib/index.js'

const gpu = device('cuda')
const x = ones([1000], { device: 'cuda' })
let most = 0
for (let step = 0; step < 1200; step++) {
  // The tensors are filled mostly by the driver, because the emulator takes long for the elements of kernels.
  const large = zeros([500_000], { device: 'cuda' })
  const y = large.narrow(0, 499_000, 1000).add(x.add(step)).neg()
  if (step % 400 === 399) assert.equal(y.narrow(0, 7, 1).item(), -1 - step)
  most = Math.max(most, gpu.memory().bytes)
}
assert.ok(most < 600e6, `${most} bytes were held`)
assert.ok(gpu.memory().peakBytes >= most)

assert.throws(() => zeros([300_000_000], { device: 'cuda' }), OutOfMemoryError)
assert.equal(x.narrow(0, 0, 1).item(), 1)
