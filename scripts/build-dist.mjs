/**
 * Builds dist/: declarations by the TypeScript compiler, and the code by esbuild in as few files as there are entries and what
 * they share, because opening two hundred files takes most of the time of an import.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../', import.meta.url))

/** dist/a/b.js is made of lib/a/b.ts. */
function entries() {
  const { exports, bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  // The threads of a loader have a file of their own, which is no entry of the package.
  const built = [
    ...Object.values(exports).map((entry) => entry.default),
    ...Object.values(bin),
    './dist/data/worker.js',
  ].filter(Boolean)
  return built.map((path) => join(root, path.replace(/^\.\/dist\//, 'lib/').replace(/\.js$/, '.ts')))
}

/** False where it failed; null where the tools are missing, as in an installed package, which brings dist along. */
export async function buildDist() {
  let compiler
  let esbuild
  try {
    compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc')
    esbuild = await import('esbuild')
  } catch {
    return null
  }
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  const { status } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  })
  if (status !== 0) return false
  const { errors } = await esbuild.build({
    entryPoints: entries(),
    outdir: join(root, 'dist'),
    outbase: join(root, 'lib'),
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    packages: 'external',
    // Errors name classes.
    keepNames: true,
    // Spaces weigh a tenth of the package. Lines stay short, so that those of a stack say where.
    minifyWhitespace: true,
    lineLimit: 120,
    // No maps: they would lead to sources that the package does not bring, and weigh two thirds of the code.
    sourcemap: false,
  })
  removeUnreached()
  return errors.length === 0
}

/** Removes declarations that no entry of the package leads to, because nobody can import them: a third of all. */
function removeUnreached() {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const waiting = Object.values(exports).flatMap(({ types }) => (types === undefined ? [] : [join(root, types)]))
  const reached = new Set()
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (reached.has(file)) continue
    reached.add(file)
    for (const [, name] of readFileSync(file, 'utf8').matchAll(/(?:from|import|import\() ?['"](\.[^'"]+)\.js['"]/g))
      waiting.push(join(dirname(file), `${name}.d.ts`))
  }
  for (const name of readdirSync(join(root, 'dist'), { recursive: true })) {
    const file = join(root, 'dist', name)
    if (file.endsWith('.d.ts') && !reached.has(file)) rmSync(file)
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = (await buildDist()) ? 0 : 1
