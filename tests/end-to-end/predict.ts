/**
 * Compares the predicted with the measured peak memory of training steps, on fifteen configurations: `npx tsx
 * tests/end-to-end/predict.ts`. Prints a table and ends with 'N passed, N failed'. A difference of more than a tenth is
 * a failure, of the tensors or of the process.
 *
 * The process of a configuration is predicted as what it had before the training, plus the tensors. Measured over
 * tensors alone it grows by more, above all if they are few: by the allocator's blocks and the kernels' scratch space
 * (some megabytes), and by the pages of code that runs for the first time.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { manualSeed } from '../../lib/index.js'
import { compare, configurations } from './configurations.js'

const allowed = 0.1
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`
const percent = (difference: number) => `${(100 * difference).toFixed(2)} %`

interface Process {
  readonly before: number
  readonly predicted: number
  readonly peak: number
}

/** Memory of this process, by its name in Linux's status, in bytes. */
function statusOf(name: 'VmRSS' | 'VmHWM'): number {
  const [, kibibytes] = new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  return 1024 * Number(kibibytes)
}

/** Runs one configuration in a process of its own, because a peak is that of the whole life of a process. */
function processOf(place: number): Process {
  const child = [...process.execArgv, fileURLToPath(import.meta.url), String(place)]
  const { stdout, stderr, status } = spawnSync(process.execPath, child, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`the process of configuration ${place} failed: ${stderr}`)
  return JSON.parse(stdout) as Process
}

const all = configurations()
const only = process.argv[2]
if (only === undefined) {
  let failed = 0
  const line = (name: string, ...rest: readonly string[]) =>
    process.stdout.write(`${name.padEnd(42)}${rest.map((text) => text.padStart(12)).join('')}\n`)
  line('', 'predicted', 'measured', 'difference', 'reserved', 'process', 'measured', 'difference')
  for (const [place, configuration] of all.entries()) {
    manualSeed(0)
    const { predicted, measured, reserved } = await compare(configuration)
    const difference = predicted.total / measured - 1
    const { before, predicted: tensors, peak } = processOf(place)
    const ofProcess = (before + tensors) / peak - 1
    if (Math.abs(difference) > allowed || Math.abs(ofProcess) > allowed) failed++
    line(
      configuration.name,
      megabytes(predicted.total),
      megabytes(measured),
      percent(difference),
      megabytes(reserved),
      megabytes(before + tensors),
      megabytes(peak),
      percent(ofProcess),
    )
  }
  process.stdout.write(`${all.length - failed} passed, ${failed} failed\n`)
  process.exitCode = failed === 0 ? 0 : 1
} else {
  manualSeed(0)
  const before = statusOf('VmRSS')
  const { predicted } = await compare(all[Number(only)] as (typeof all)[number])
  process.stdout.write(JSON.stringify({ before, predicted: predicted.total, peak: statusOf('VmHWM') }))
}
