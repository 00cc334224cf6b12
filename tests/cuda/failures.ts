/**
 * A GPU that fails: no memory, no launch, an illegal address. Each must be a typed error, the process must survive, and
 * what still works must go on. The failure begins and ends between calls, when the device is idle. The argument says
 * what fails.
 */
import assert from 'node:assert/strict'
import { device } from '../../lib/backend/devices.js'
import { InternalError, nn, OutOfMemoryError, ones, type Tensor, tensor } from '../../lib/index.js'

const gpu = device('cuda')
const x = tensor([1, 2, 3], { device: 'cuda' })
const model = new nn.Sequential(new nn.Linear(600, 600, { device: 'cuda' }))
model.forward(ones([1, 600], { device: 'cuda' }))
const sumOf = (y: Tensor) => y.sum().item()

function begin(what: string): void {
  gpu.synchronize()
  process.env['FIRESTEEL_EMULATOR_FAIL'] = what
}

/** Ends the failure, after its errors were reported. */
function end(): void {
  try {
    gpu.synchronize()
  } finally {
    delete process.env['FIRESTEEL_EMULATOR_FAIL']
  }
}

const what = process.argv[2] as string
assert.equal(sumOf(x.add(1)), 9)
begin(what)
if (what === 'allocate') {
  // These are more than the unused blocks, so the driver is asked.
  const error = thrownBy(() => sumOf(ones([100_000], { device: 'cuda' }).add(1)))
  assert.ok(error instanceof OutOfMemoryError, String(error))
  // The error names the module that holds the memory.
  assert.match(error.message, /are held by \d+ tensors \(.* in the parameter 0\.weight\)/)
  end()
  assert.equal(sumOf(ones([100_000], { device: 'cuda' }).add(1)), 200_000)
} else if (what === 'launch') {
  const error = thrownBy(() => sumOf(x.mul(2)))
  assert.ok(error instanceof InternalError, String(error))
  assert.match(error.message, /^\[affine\] affine_float32: too many resources requested for launch \(701\)/)
  end()
  assert.equal(sumOf(x.mul(2)), 12)
} else {
  const error = thrownBy(() => sumOf(x.mul(2)))
  assert.ok(error instanceof InternalError, String(error))
  assert.match(error.message, /the GPU failed: an illegal memory access was encountered \(700\)/)
  delete process.env['FIRESTEEL_EMULATOR_FAIL']
  // The device is lost, and says so at every call.
  assert.throws(() => sumOf(x.mul(2)), /illegal memory access/)
  await assert.rejects(x.data(), /illegal memory access/)
}
assert.equal(tensor([1, 2]).to('cpu').sum().item(), 3)
console.log(`${what}: told`)

function thrownBy(run: () => unknown): Error {
  try {
    run()
  } catch (error) {
    return error as Error
  }
  throw new Error(`nothing failed where ${what} did`)
}
