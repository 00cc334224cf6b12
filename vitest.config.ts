import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { defineConfig, type Plugin } from 'vitest/config'

const root = fileURLToPath(new URL('./', import.meta.url))
const compiled = `${root}build/compiled/`
const folders = ['lib', 'tests/cases']
// The programs that tests start as processes, each of which would take seconds to transform the library.
const programs = ['tests/unit/cuda/*.ts', 'tests/suites/support.ts']

// The library and the cases as Node itself loads them, because Vitest takes a second longer, in each of a hundred files.
await build({
  entryPoints: [...folders.map((folder) => `${folder}/**/*.ts`), ...programs],
  absWorkingDir: root,
  outbase: '.',
  outdir: compiled,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  sourcemap: 'inline',
  sourcesContent: false,
})

const compiledFiles: Plugin = {
  name: 'compiled-files',
  enforce: 'pre',
  async resolveId(source, importer) {
    const found = await this.resolve(source, importer, { skipSelf: true })
    if (!folders.some((folder) => found?.id.startsWith(`${root}${folder}/`))) return null
    return { id: found?.id.replace(root, compiled).replace(/\.ts$/, '.js') ?? source, external: true }
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
        plugins: [compiledFiles],
        test: {
          name: 'compiled',
          include: ['tests/**/*.test.ts'],
          exclude: mocking,
          server: { deps: { external: [/\/build\/compiled\//] } },
        },
      },
      { extends: true, test: { name: 'mocking', include: mocking } },
    ],
  },
})
