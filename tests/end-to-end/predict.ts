/**
 * Compares the predicted with the measured peak memory of training steps, on twelve configurations: `npx tsx
 * tests/end-to-end/predict.ts`. Prints a table and ends with 'N passed, N failed'. A difference of more than a tenth is
 * a failure.
 */
import { manualSeed } from '../../lib/index.js'
import { compare, configurations } from './configurations.js'

const allowed = 0.1
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`

let failed = 0
const all = configurations()
const line = (name: string, ...rest: readonly string[]) =>
  process.stdout.write(`${name.padEnd(42)}${rest.map((text) => text.padStart(12)).join('')}\n`)
line('', 'predicted', 'measured', 'difference', 'reserved')
for (const configuration of all) {
  manualSeed(0)
  const { predicted, measured, reserved } = await compare(configuration)
  const difference = predicted.total / measured - 1
  if (Math.abs(difference) > allowed) failed++
  line(
    configuration.name,
    megabytes(predicted.total),
    megabytes(measured),
    `${(100 * difference).toFixed(2)} %`,
    megabytes(reserved),
  )
}
process.stdout.write(`${all.length - failed} passed, ${failed} failed\n`)
process.exitCode = failed === 0 ? 0 : 1
