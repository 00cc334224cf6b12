/**
 * The fuzzers, each in its own process, so that a crash or a hang is a failed test. FIRESTEEL_FUZZ_SECONDS (5 for all
 * of them by default) sets the time, and FIRESTEEL_FUZZ_SEED the seed. The default seed is 1, so that a change is
 * judged by its own faults. `FIRESTEEL_FUZZ_SEED=random` looks for new ones, and prints the seed.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const seconds = Number(process.env['FIRESTEEL_FUZZ_SECONDS'] || 5)
const chosen = process.env['FIRESTEEL_FUZZ_SEED'] || '1'
const seed = chosen === 'random' ? Date.now() % 1e9 : Number(chosen)

function run(script: string, share: number): void {
  const folder = mkdtempSync(join(tmpdir(), 'firesteel-fuzz-'))
  const file = join(folder, 'last')
  writeFileSync(file, ' '.repeat(1000))
  const path = fileURLToPath(new URL(script, import.meta.url))
  const args = ['--import', 'tsx', path, String(seed), String(seconds * share), file]
  const { stdout, stderr, status, signal } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: 1000 * (seconds * share + 90),
    killSignal: 'SIGKILL',
  })
  const last = readFileSync(file, 'utf8').trim().replace(/ {3,}/g, '; ')
  rmSync(folder, { recursive: true })
  process.stdout.write(`${script}: ${stdout.trim()}\n`)
  const how = signal === 'SIGKILL' ? 'it hung' : `it ended with ${status ?? signal}`
  expect(status, `seed ${seed}: ${how}; last: ${last}\n${stderr}`).toBe(0)
}

const limit = 1000 * (seconds + 120)

it('the addon refuses or runs whatever words it is given, and writes nowhere else', () => run('kernels.ts', 0.4), limit)
it('the public functions refuse wrong arguments in their own words', () => run('api.ts', 0.4), limit)
it('files that somebody mutated give what they hold, or an error that names them', () => run('files.ts', 0.2), limit)
it(
  'files of rows that somebody mutated give their rows, or an error that names them',
  () => run('readers.ts', 0.2),
  limit,
)
it(
  'files of weights that somebody mutated give tensors, or an error that names them',
  () => run('formats.ts', 0.1),
  limit,
)
