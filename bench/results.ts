/** The results that a run saves. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { MachineDescription } from './machine.js'
import type { Row } from './measure.js'

const folder = fileURLToPath(new URL('./results/', import.meta.url))

export interface Results {
  /** ISO 8601, UTC. */
  readonly date: string
  /** The first digits of the commit, with a plus if files differ from it. Null outside a checkout. */
  readonly commit: string | null
  readonly seed: number | null
  readonly repeats: number
  /** Such as `PyTorch 2.13.0+cpu, numpy 2.4.6`. Null without peers. */
  readonly peers: string | null
  /** The instruction set to which FIRESTEEL_ISA limited library and peers. Null: each took the best there is. */
  readonly peersHeldTo: string | null
  readonly machine: MachineDescription | null
  readonly rows: readonly Row[]
}

function output(program: string, args: readonly string[]): string | null {
  const { status, stdout } = spawnSync(program, args, {
    encoding: 'utf8',
    cwd: fileURLToPath(new URL('.', import.meta.url)),
  })
  return status === 0 ? stdout.trim() : null
}

export function currentCommit(): string | null {
  const commit = output('git', ['rev-parse', '--short=12', 'HEAD'])
  return commit === null ? null : commit + (output('git', ['status', '--porcelain', '--untracked-files=no']) ? '+' : '')
}

export function peerVersions(python: string): string | null {
  const program = 'import torch, numpy; print(f"PyTorch {torch.__version__}, numpy {numpy.__version__}")'
  return output(python, ['-c', program])
}

export function writeJson(path: string, results: object): void {
  writeFileSync(path, `${JSON.stringify(results, null, 2)}\n`)
}

/**
 * Saves under the day, the instruction set and the number of threads. A second run on the same day replaces the first.
 */
export function save(results: Results): string {
  mkdirSync(folder, { recursive: true })
  const { machine, date } = results
  const name = [date.slice(0, 10), ...(machine === null ? [] : [machine.isa, `${machine.threads}-threads`])].join('-')
  const path = `${folder}${name}.json`
  writeJson(path, results)
  return path
}
