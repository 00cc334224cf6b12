import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { type BuildOptions, build, type OutputFile } from 'esbuild'
import { defineConfig, type Plugin, type TestUserConfig } from 'vitest/config'

const root = fileURLToPath(new URL('./', import.meta.url))
const output = `${root}build/compiled/`
const folders = ['lib', 'tests/cases']
// The programs that tests start as processes, each of which would take seconds to transform the library.
const programs = ['tests/cuda/*.ts', 'tests/suites/support.ts', 'tests/unit/load-peak.ts']

const settings = {
  write: false,
  absWorkingDir: root,
  outbase: '.',
  outdir: output,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  sourcemap: 'inline',
  sourcesContent: false,
} satisfies BuildOptions

/** Writes the files that have changed, each at once, because the tests of another run may be loading them. */
function write({ outputFiles }: { readonly outputFiles: readonly OutputFile[] }): void {
  for (const { path, contents } of outputFiles) {
    if (existsSync(path) && readFileSync(path).equals(contents)) continue
    mkdirSync(dirname(path), { recursive: true })
    const whole = `${path}.${process.pid}`
    writeFileSync(whole, contents)
    renameSync(whole, path)
  }
}

// Node itself loads the library and the cases, because Vitest would take a second longer in each of a hundred files.
write(await build({ ...settings, entryPoints: [...folders.map((folder) => `${folder}/**/*.ts`), ...programs] }))

const { paths } = JSON.parse(readFileSync(`${root}tsconfig.json`, 'utf8')).compilerOptions as {
  readonly paths: { readonly [name: string]: readonly [path: string] }
}
// The examples on the compiled library; their data is where their sources are.
const examples = await build({
  ...settings,
  entryPoints: ['examples/*.ts'],
  bundle: true,
  packages: 'external',
  plugins: [
    {
      name: 'examples',
      setup({ onLoad, onResolve }) {
        onResolve({ filter: /^firesteel(\/|$)/ }, ({ path }) => ({
          path: paths[path]?.[0].replace(/^\.\/(.*)\.ts$/, `${output}$1.js`) ?? path,
          external: true,
        }))
        onLoad({ filter: /\/examples\/[^/]*\.ts$/ }, ({ path }) => ({
          contents: readFileSync(path, 'utf8').replaceAll('import.meta.url', `'${pathToFileURL(path)}'`),
          loader: 'ts',
        }))
      },
    },
  ],
})
write(examples)

const compiledFiles: Plugin = {
  name: 'compiled-files',
  enforce: 'pre',
  async resolveId(source, importer) {
    const found = await this.resolve(source, importer, { skipSelf: true })
    if (!folders.some((folder) => found?.id.startsWith(`${root}${folder}/`))) return null
    return { id: found?.id.replace(root, output).replace(/\.ts$/, '.js') ?? source, external: true }
  },
}

/**
 * Tests that need a process of their own, because they change its state (limits of memory and files, environment
 * variables, signals), count what it holds, or need one that has just started.
 */
const apart = [
  'tests/end-to-end/*.test.ts',
  'tests/guards/*.test.ts',
  'tests/unit/{browser,cli-pull,files,large-files,large-logits,loading,native-device,room,search,settings,strategies-trace}.test.ts',
]

/** The CUDA device on its emulator, which takes a minute and a compiler: `npm run test:cuda`. */
const cuda = ['tests/cuda/*.test.ts']

/** Tests that replace a module of the library. Vitest can do that only if it loads the library itself. */
const mocking = ['tests/unit/atomic.test.ts', 'tests/unit/safetensors.test.ts']

const compiled = (name: string, test: TestUserConfig) => ({
  extends: true as const,
  plugins: [compiledFiles],
  test: { name, server: { deps: { external: [/\/build\/compiled\//] } }, ...test },
})

export default defineConfig({
  // The bench imports the library by its name.
  resolve: { tsconfigPaths: true },
  test: {
    setupFiles: ['tests/setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Processes and not threads, because the native device belongs to its process.
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      // Most files share two processes, because loading the library anew takes as long as many a file's tests.
      compiled('shared', {
        include: ['tests/**/*.test.ts'],
        exclude: [...apart, ...mocking, ...cuda],
        isolate: false,
        setupFiles: ['tests/shared.ts'],
      }),
      compiled('apart', { include: apart }),
      compiled('cuda', { include: cuda, globalSetup: ['tests/cuda/build.ts'] }),
      { extends: true, test: { name: 'mocking', include: mocking } },
    ],
  },
})
