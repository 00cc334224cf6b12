/**
 * Compares the bench's small workloads on the CPU and the GPU. Different losses, or more launches for a step than
 * before, are an error. Prints the number of workloads.
 */
import assert from 'node:assert/strict'
import { CudaDevice } from '../../lib/backend/cuda/device.js'
import { workloads } from '../../lib/cli/workloads.js'
import { compare, device as findDevice, scope } from '../../lib/index.js'

const gpu = findDevice('cuda') as CudaDevice
assert.ok(gpu instanceof CudaDevice)
const all = workloads('small')
/**
 * The most launches for a step, in the order of the workloads. Each launch waits 4 us for the previous one, so that
 * more of them are slower.
 */
const mostLaunches = [1, 9, 23, 8, 14, 18, 68]
assert.equal(all.length, mostLaunches.length)
for (const [i, { name, make }] of all.entries()) {
  const step = make(gpu)
  scope(() => void step())
  const before = gpu.launches
  scope(() => void step())
  const launches = gpu.launches - before
  assert.ok(launches <= (mostLaunches[i] as number), `${name} takes ${launches} launches, and took ${mostLaunches[i]}`)
}
for (const { name, make, trains } of all) {
  const { rows } = await compare(['cpu', 'cuda'], make, { losses: trains ? 3 : 0, seconds: 0 })
  for (const row of rows) {
    assert.equal(row.missing, null, name)
    if (row.missing !== null || !trains) continue
    assert.ok((row.losses[2] as number) < (row.losses[0] as number), `${name} does not learn: ${row.losses.join(', ')}`)
    assert.ok((row.difference as number) < 1e-5, `${name} differs by ${row.difference}`)
  }
}
console.log(`${all.length} workloads`)
