import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { defineConfig, type Plugin } from 'vitest/config'

const root = fileURLToPath(new URL('./', import.meta.url))
const compiled = `${root}build/lib`

// The library as Node itself loads it, because Vitest takes a second longer, in each of a hundred files.
await build({
  entryPoints: ['lib/**/*.ts'],
  absWorkingDir: root,
  outbase: 'lib',
  outdir: compiled,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  sourcemap: 'inline',
  sourcesContent: false,
})

const compiledLibrary: Plugin = {
  name: 'compiled-library',
  enforce: 'pre',
  async resolveId(source, importer) {
    const found = await this.resolve(source, importer, { skipSelf: true })
    if (!found?.id.startsWith(`${root}lib/`)) return null
    return { id: found.id.replace(`${root}lib`, compiled).replace(/\.ts$/, '.js'), external: true }
  },
}

/** Tests that put something of their own in the place of a module of the library, which Vitest can only where it loads it. */
const mocking = ['tests/unit/atomic.test.ts', 'tests/unit/safetensors.test.ts']

export default defineConfig({
  // The bench imports the library by its name.
  resolve: { tsconfigPaths: true },
  test: {
    setupFiles: ['tests/setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // One process a file: the native device belongs to its process, and so do threads, traces and memory.
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        plugins: [compiledLibrary],
        test: { name: 'compiled', include: ['tests/**/*.test.ts'], exclude: mocking },
      },
      { extends: true, test: { name: 'mocking', include: mocking } },
    ],
  },
})
