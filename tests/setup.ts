/**
 * Runs before every test file. Unexpected output and warnings fail the test, and random cases are the same in each run.
 */
import { format } from 'node:util'
import fc from 'fast-check'
import { afterAll, afterEach, beforeEach } from 'vitest'

const seen: string[] = []
const onWarning = (warning: Error) => void seen.push(`warning: ${warning.name}: ${warning.message}`)

process.on('warning', onWarning)
for (const method of ['log', 'info', 'warn', 'error', 'debug', 'trace'] as const)
  console[method] = (...args: readonly unknown[]) => void seen.push(`console.${method}: ${format(...args)}`)

/** The output and the warnings so far. Taking them keeps them from failing the test. */
export function takeOutput(): readonly string[] {
  return seen.splice(0)
}

beforeEach(() => {
  fc.configureGlobal({ seed: Number(process.env['FIRESTEEL_TEST_SEED'] ?? 20260), numRuns: 30 })
})

afterEach(async () => {
  // Warnings are emitted in a later turn.
  await new Promise((resolve) => setImmediate(resolve))
  const output = takeOutput()
  if (output.length > 0) throw new Error(`the test printed or warned:\n${output.join('\n')}`)
})

// The next file of the process adds its own listener.
afterAll(() => void process.off('warning', onWarning))
