/** The bench's small workloads on the CPU and the GPU, side by side: the same losses, or an error. Prints how many there are. */
import assert from 'node:assert/strict'
import { workloads } from '../../lib/cli/workloads.js'
import { compare } from '../../lib/index.js'

const all = workloads('small')
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
