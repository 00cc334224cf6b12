/** The tests of calls with hostile arguments. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import type { PublicCall } from '../cases/sound.js'
import { takeOutput } from '../setup.js'
import { faultsOf } from './attempt.js'

/**
 * Makes a test for each name, which makes each argument and each option of its calls wrong in turn, and one test that
 * counts the calls.
 */
export function guardCalls(calls: readonly PublicCall[], atLeast: number): void {
  const grouped = new Map<string, PublicCall[]>()
  for (const entry of calls) {
    const [name = ''] = entry.names
    grouped.set(name, [...(grouped.get(name) ?? []), entry])
  }
  const tried = { count: 0 }

  describe('with hostile arguments', () => {
    // Stacks are off, because nobody reads those of a hundred thousand refusals.
    const { stackTraceLimit } = Error
    beforeAll(() => {
      Error.stackTraceLimit = 0
    })
    afterAll(() => {
      Error.stackTraceLimit = stackTraceLimit
    })

    it.each([...grouped])('%s names itself in every refusal', async (_, entries) => {
      const faults: string[] = []
      for (const entry of entries) faults.push(...(await faultsOf(entry, tried)))
      // Warnings are emitted in a later turn.
      await new Promise((resolve) => setImmediate(resolve))
      takeOutput()
      expect(faults).toEqual([])
    })

    it(`more than ${atLeast} calls were tried`, () => expect(tried.count).toBeGreaterThan(atLeast))

    it('the device computes as before', () => expect(f.tensor([1, 2, 3]).add(1).sum().item()).toBe(9))
  })
}
