/** The short form of run.ts, on the Node that runs the tests: memory stays bounded, and processes end. */
import { describe, expect, it } from 'vitest'
import { unavailable } from '../../lib/index.js'
import { endings, runEnding } from './endings.js'
import { loops, runEventLoop, runLoop, runTrainers } from './measure.js'
import { thisNode } from './nodes.js'

describe.skipIf(unavailable('cpu') !== null && process.env['FIRESTEEL_REQUIRE'] !== 'native')('whole processes', () => {
  for (const name of loops)
    it(`hold their memory: ${name}`, () => {
      const { faults, figures } = runLoop(thisNode, name, 500)
      expect(faults, figures).toEqual([])
    }, 60_000)

  // Over so few turns, other work on the machine does not affect both processes alike, and V8's own heap still grows to
  // its size. run.ts has the narrow bounds.
  it('train beside a large heap', async () => {
    const { faults, figures } = await runTrainers(thisNode, 6, 100, { ratio: 2, growth: 1.15 })
    expect(faults, figures).toEqual([])
  }, 60_000)

  // The bound is twice the promised one, because other work takes the cores away for longer than the Trainer does.
  it('train beside other work of the event loop', () => {
    const { faults, figures } = runEventLoop(thisNode, 2, 60)
    process.stdout.write(`event loop: ${figures}\n`)
    expect(faults, figures).toEqual([])
  }, 60_000)

  for (const name of endings)
    it(`end: ${name}`, () => {
      const { faults, figures } = runEnding(thisNode, name)
      expect(faults, figures).toEqual([])
    }, 120_000)
})
