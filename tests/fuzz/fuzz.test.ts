/**
 * The fuzzers, each in its own process, so that a crash or a hang is a failed test. Each takes a number of calls or
 * files, not of seconds, so that a fast machine judges a change by the same ones as a slow machine. FIRESTEEL_FUZZ_TIMES
 * (1 by default, about five seconds) multiplies the numbers, and FIRESTEEL_FUZZ_SEED sets the seed. The default seed is
 * 1, so that a change is judged by its own faults. `FIRESTEEL_FUZZ_SEED=random` looks for new ones, and prints the seed.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const times = Number(process.env['FIRESTEEL_FUZZ_TIMES'] || 1)
/** A fuzzer of so many seconds hangs, even on a busy machine. */
const limit = 120 + 60 * times
const chosen = process.env['FIRESTEEL_FUZZ_SEED'] || '1'
const seed = chosen === 'random' ? Date.now() % 1e9 : Number(chosen)

function run(script: string, count: number): void {
  const folder = mkdtempSync(join(tmpdir(), 'firesteel-fuzz-'))
  const file = join(folder, 'last')
  writeFileSync(file, ' '.repeat(1000))
  const path = fileURLToPath(new URL(script, import.meta.url))
  const args = ['--import', 'tsx', path, String(seed), 'Infinity', file, String(count * times)]
  const { stdout, stderr, status, signal } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: 1000 * limit,
    killSignal: 'SIGKILL',
  })
  const last = readFileSync(file, 'utf8').trim().replace(/ {3,}/g, '; ')
  rmSync(folder, { recursive: true })
  process.stdout.write(`${script}: ${stdout.trim()}\n`)
  const how = signal === 'SIGKILL' ? 'it hung' : `it ended with ${status ?? signal}`
  expect(status, `seed ${seed}: ${how}; last: ${last}\n${stderr}`).toBe(0)
}

const milliseconds = 1000 * (limit + 30)

it(
  'the addon refuses or runs whatever words it is given, and writes nowhere else',
  () => run('kernels.ts', 30_000),
  milliseconds,
)
it('the public functions refuse wrong arguments in their own words', () => run('api.ts', 12_000), milliseconds)
it(
  'files that somebody mutated give what they hold, or an error that names them',
  () => run('files.ts', 500),
  milliseconds,
)
it(
  'files of rows that somebody mutated give their rows, or an error that names them',
  () => run('readers.ts', 800),
  milliseconds,
)
it(
  'files of weights that somebody mutated give tensors, or an error that names them',
  () => run('formats.ts', 220),
  milliseconds,
)
