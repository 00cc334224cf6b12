/**
 * Runs programs on the CUDA device over the emulator's fake driver, as processes, because the variable that names the
 * driver is read only once.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, inject } from 'vitest'

export const root = fileURLToPath(new URL('../../', import.meta.url))
export const fakeDriver = inject('fakeDriver')

export type Variables = { readonly [name: string]: string }

export function start(script: string, variables: Variables, args: readonly string[] = []) {
  return spawnSync(process.execPath, [`${root}build/compiled/tests/cuda/${script}`, ...args], {
    encoding: 'utf8',
    cwd: root,
    // A process takes a few seconds of a core, which it may share with much other work.
    timeout: 240_000,
    killSignal: 'SIGKILL',
    env: { ...process.env, ...variables },
  })
}

/** Returns what the program prints. It must end well and report no fault. */
export function expectClean(script: string, variables: Variables = {}): string {
  const { status, stdout, stderr } = start(script, { FIRESTEEL_CUDA_DRIVER: fakeDriver, ...variables })
  expect(stderr).toBe('')
  expect(status).toBe(0)
  return stdout
}
