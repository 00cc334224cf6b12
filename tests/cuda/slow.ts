/**
 * Reads behind a kernel that ends only when this thread lets it. FIRESTEEL_EMULATOR_GATE names a file, and nothing on
 * the device runs until it exists. A read that waited on this thread would wait forever. The argument is the text of
 * the file.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import { InternalError, tensor } from '../../lib/index.js'

const verdict = process.argv[2] as string
const gate = process.env['FIRESTEEL_EMULATOR_GATE'] as string
const events: string[] = []

const x = tensor([1, 2, 3], { device: 'cuda' })
const bias = tensor([1], { device: 'cuda' })
let large = bias.expand([2_000_000]).add(0)
const reads: Promise<{ readonly [element: number]: number }>[] = []
const values: { readonly [name: string]: number[] } = { small: [], middle: [], large: [] }
function read(name: string, from: { data(): Promise<{ readonly [element: number]: number }> }, element: number): void {
  const data = from.data()
  reads.push(data)
  data.then(
    (array) => {
      events.push(name)
      values[name]?.push(array[element] as number)
    },
    () => undefined,
  )
}
// These reads are too large for the memory through which copies go, so that the executor takes some of them. There is
// work before, between and after them.
for (let i = 0; i < 4; i++) {
  read('small', x.add(i), 2)
  if (i % 2 === 1) read('large', large, 1_999_999)
  read('middle', bias.expand([600_000]).add(i), 599_999)
  large = large.add(1)
}
events.push('submitted')
await nextTurn()
events.push('turn')
await pause(1)
events.push('timer')
assert.deepEqual(events, ['submitted', 'turn', 'timer'])

writeFileSync(gate, verdict)
const settled = await Promise.allSettled(reads)
if (verdict === 'fail') {
  for (const read of settled) assert.ok(read.status === 'rejected' && read.reason instanceof InternalError)
  const reasons = settled.map((read) => String((read as PromiseRejectedResult).reason))
  assert.ok(
    reasons.some((reason) => reason.includes('the GPU failed: emulated failure (719)')),
    reasons.join('\n'),
  )
} else {
  assert.ok(settled.every((read) => read.status === 'fulfilled'))
  for (const list of Object.values(values)) list.sort()
  assert.deepEqual(values, { small: [3, 4, 5, 6], middle: [1, 2, 3, 4], large: [2, 4] })
}
