import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    setupFiles: ['tests/setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // One process a file: the native device belongs to its process, and so do threads, traces and memory.
    pool: 'forks',
    maxWorkers: 2,
  },
})
