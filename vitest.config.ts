import { defineConfig } from 'vitest/config'

export default defineConfig({
  // The bench imports the library by its name.
  resolve: { tsconfigPaths: true },
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
