/**
 * Builds dist/: declarations by the TypeScript compiler, and the code by rolldown. The code is in as few files as its
 * users allow, because opening files takes much of the time of an import. There would be two hundred without a bundler,
 * and sixty if the bundler divided the code by itself.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../', import.meta.url))

/** Names of the files that programs import, such as data/datasets/index: dist/NAME.js comes from lib/NAME.ts. */
function entries() {
  const { exports, bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  // The threads of a loader and of a tokenizer have their own files, which are not entries of the package.
  const built = [
    ...Object.values(exports).map((entry) => entry.default),
    ...Object.values(bin),
    './dist/data/worker.js',
    './dist/text/tokenizer/worker.js',
  ].filter(Boolean)
  return built.map((path) => path.replace(/^\.\/dist\/(.*)\.js$/, '$1'))
}

const source = (entry) => join(root, `lib/${entry}.ts`)

/** The entries that always load each module. */
function users(names, moduleInfo) {
  const of = new Map()
  for (const name of names) {
    const waiting = [source(name)]
    for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
      const known = of.get(id) ?? new Set()
      of.set(id, known)
      if (known.has(name)) continue
      known.add(name)
      waiting.push(...(moduleInfo(id)?.importedIds ?? []))
    }
  }
  return of
}

/** Entries whose programs need most of what the main entry loads. */
const heavy = ['models/index', 'pretrain/index', 'finetune/index', 'distributions/index', 'linalg/index']

/**
 * The file for a module, by the module's users. Modules that the main entry loads are in few files, which tell apart
 * only the kinds of their other users. All other modules are in one file for each set of users, so that no entry loads
 * a line that it does not need. Files cannot import each other in a circle, because an imported module has all the
 * users of its importer and more.
 */
function fileOf(usersOfIt) {
  if (!usersOfIt.has('index')) return [...usersOfIt].join('-').replaceAll('/index', '').replaceAll('/', '-')
  const others = [...usersOfIt].filter((name) => name !== 'index')
  const light = others.filter((name) => !heavy.includes(name))
  if (light.includes('cli/main')) return 'shared'
  if (light.length > 0) return 'base'
  return others.length > 0 ? 'nets' : 'main'
}

async function bundle(rolldown) {
  const names = entries()
  let known
  const build = await rolldown({
    cwd: root,
    input: Object.fromEntries(names.map((name) => [name, source(name)])),
    platform: 'node',
    external: (id) => !id.startsWith('.') && !isAbsolute(id),
    // Every module is in a file of `fileOf`, so entries have only their own exports.
    preserveEntrySignatures: 'allow-extension',
    transform: { target: 'node20.19' },
    // The names of modules in comments would take 5 KB of the package.
    experimental: { attachDebugInfo: 'none' },
    // A program that needs all models imports them, and one that needs a single model loads it on demand.
    checks: { ineffectiveDynamicImport: false },
  })
  await build.write({
    dir: join(root, 'dist'),
    format: 'esm',
    // Errors name classes, so class names are kept.
    keepNames: true,
    // Local names become short, because that saves a tenth of the package and 4 ms of an import. Lines and the names of
    // functions stay, so that the trace of an error and the line that Node prints can be read.
    minify: { mangle: { toplevel: false, keepNames: true }, compress: false, codegen: { removeWhitespace: false } },
    // Source maps would lead to sources that the package lacks, and take two thirds of the code's size.
    sourcemap: false,
    // Bundlers read some comments, such as webpackIgnore.
    comments: { legal: false, annotation: true, jsdoc: false },
    minifyInternalExports: false,
    chunkFileNames: '[name]-[hash].js',
    codeSplitting: {
      includeDependenciesRecursively: false,
      groups: [
        {
          debugName: 'by users',
          name(id, context) {
            known ??= users(names, (each) => context.getModuleInfo(each))
            // An entry's first actions must not run in a program that only needs a part that the entry shares.
            if (names.some((each) => source(each) === id)) return null
            const usersOfIt = known.get(id)
            return usersOfIt === undefined ? null : fileOf(usersOfIt)
          },
        },
      ],
    },
  })
  await build.close()
}

/** Returns false on failure, and null if the tools are missing, as in an installed package, which already has dist. */
export async function buildDist() {
  let compiler
  let bundler
  try {
    compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc')
    bundler = await import('rolldown')
  } catch {
    return null
  }
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  const { status } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  })
  if (status !== 0) return false
  await bundle(bundler.rolldown)
  packDeclarations()
  return true
}

/**
 * Removes the declarations that no entry of the package reaches, because nobody can import them: a third of all. Those
 * that stay are indented by tabs, which takes less of the package.
 */
function packDeclarations() {
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
    if (!file.endsWith('.d.ts')) continue
    if (!reached.has(file)) rmSync(file)
    else
      writeFileSync(
        file,
        readFileSync(file, 'utf8').replace(/^(?: {4})+/gm, (by) => '\t'.repeat(by.length / 4)),
      )
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = (await buildDist()) ? 0 : 1
