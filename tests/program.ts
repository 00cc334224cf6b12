/** Programs of the tests, each with the library in one file, because tsx takes a second and a half to load it. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildSync } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Within the package, because the library looks for its addon and its threads from its own package on. */
let folder: string | null = null
const files = new Map<string, string>()

function ownFolder(): string {
  const programs = join(root, 'build', 'programs')
  mkdirSync(programs, { recursive: true })
  const made = mkdtempSync(join(programs, 'of-'))
  process.on('exit', () => rmSync(made, { recursive: true, force: true }))
  return made
}

/**
 * Bundles a program, and returns the path of the file for `node`. The file lasts as long as this process. Threads of
 * loaders and tokenizers come from dist.
 */
export function bundled(program: URL): string {
  const made = files.get(program.href)
  if (made !== undefined) return made
  folder ??= ownFolder()
  const outfile = join(folder, basename(program.pathname).replace(/\.m?[jt]s$/, '.mjs'))
  buildSync({
    entryPoints: [fileURLToPath(program)],
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    keepNames: true, // errors name classes
  })
  files.set(program.href, outfile)
  return outfile
}
