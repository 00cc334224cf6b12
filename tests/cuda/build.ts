/**
 * Builds the emulator's driver before the tests of CUDA. Needs a C++ compiler on x86-64, but no GPU, toolkit or driver.
 */
import type { TestProject } from 'vitest/node'
import { buildCuda } from '../../scripts/build-cuda.mjs'

declare module 'vitest' {
  interface ProvidedContext {
    readonly fakeDriver: string
  }
}

export async function setup(project: TestProject): Promise<void> {
  const built = await buildCuda({ kernels: false, faults: true })
  if (!built?.fakeDriver) throw new Error('these tests need a C++ compiler on x86-64')
  project.provide('fakeDriver', built.fakeDriver)
}
