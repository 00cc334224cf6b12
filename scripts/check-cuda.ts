/**
 * Packs everything that a machine with a GPU needs to check and to time the library, because it has neither Node nor a
 * network: Node itself, the library, the addon, the CUDA library with its kernels, golden cases, parity, and the bench.
 * The machine must have Python, and the C and C++ libraries of this one or later ones (glibc 2.34 and GCC 12, if Debian 12
 * builds it).
 *
 * Usage: npm run check:cuda [-- FOLDER] [--no-kernels]; FOLDER is build/check-cuda by default. Then, on that machine:
 * python3 FOLDER/run.py. --no-kernels does not start nvcc, so that the check can be tried with the emulated driver.
 * Fails if the archive, FOLDER.tar.gz, would be larger than 60 MB.
 */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { isBuiltin } from 'node:module'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { buildCuda } from './build-cuda.mjs'

const root = fileURLToPath(new URL('../', import.meta.url))
const most = 60e6
const programs = ['tests/cuda/*.ts', 'tests/suites/support.ts', 'bench/cuda-process.ts', 'bench/gpus.ts']

function run(command: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr}`)
}

/** Compiles the library and the programs, file by file. */
async function compile(folder: string): Promise<void> {
  await build({
    entryPoints: ['lib/**/*.ts', 'tests/cases/**/*.ts', 'tests/goldens/**/*.ts', ...programs],
    absWorkingDir: root,
    outbase: '.',
    outdir: folder,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    logLevel: 'error',
  })
}

/** The packages that programs of run.py import as they start. What they import later is for work that no check does. */
async function importedBy(folder: string): Promise<string[]> {
  const text = readFileSync(`${root}scripts/check-cuda/run.py`, 'utf8')
  const { metafile } = await build({
    entryPoints: [...new Set(text.match(/(?:tests|bench)\/[\w/-]+\.js/g))],
    absWorkingDir: folder,
    bundle: true,
    write: false,
    metafile: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    outdir: '.',
    logLevel: 'error',
  })
  const imports = Object.values(metafile.inputs).flatMap((input) => input.imports)
  const names = imports
    .filter(({ kind, external }) => external && kind === 'import-statement')
    .map(({ path }) => /^(@[^/]+\/)?[^/]+/.exec(path)?.[0] as string)
  return [...new Set(names)].filter((name) => name !== 'firesteel' && !isBuiltin(name))
}

/** Copies a package with those that it depends on. */
function copyPackage(name: string, folder: string): void {
  const to = join(folder, 'node_modules', name)
  if (existsSync(to)) return
  copy(`${root}node_modules/${name}`, to)
  const { dependencies = {} } = JSON.parse(readFileSync(join(to, 'package.json'), 'utf8'))
  for (const each of Object.keys(dependencies)) copyPackage(each, folder)
}

/** Copies existing files, and throws if a required one is missing. */
function copy(from: string, to: string): void {
  if (!existsSync(from)) throw new Error(`${from} is missing; \`npm install\` builds it`)
  mkdirSync(dirname(to), { recursive: true })
  cpSync(from, to, { recursive: true })
}

/**
 * Packs everything into a folder and its archive. Returns the archive's size in bytes, and whether it has kernels for
 * GPUs.
 */
async function pack(
  folder: string,
  kernels: boolean,
): Promise<{ readonly bytes: number; readonly withKernels: boolean }> {
  const built = await buildCuda({ kernels })
  if (built === null) throw new Error('no C++ compiler found: install g++ or clang++, or name one in CXX')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  await compile(folder)
  for (const name of await importedBy(folder)) copyPackage(name, folder)
  // The library finds its addon beside the manifest with its name, and programs import the library by that name.
  const manifest = { name: 'firesteel', version: '0.0.0', type: 'module', exports: { '.': './lib/index.js' } }
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  for (const name of ['firesteel.node', 'firesteel_cuda.so'])
    copy(`${root}build/Release/${name}`, join(folder, 'build/Release', name))
  for (const name of ['basic', 'breadth', 'volumes'])
    copy(`${root}tests/goldens/data/${name}`, join(folder, 'tests/goldens/data', name))
  copy(`${root}tests/cases`, join(folder, 'tests/cases'))
  copyFileSync(`${root}bench/peers/torch_cuda.py`, join(folder, 'torch_cuda.py'))
  copyFileSync(`${root}scripts/check-cuda/run.py`, join(folder, 'run.py'))
  copyFileSync(process.execPath, join(folder, 'node'))
  chmodSync(join(folder, 'node'), 0o755)
  // Symbols that no run needs are removed.
  spawnSync('strip', [join(folder, 'node')])
  const archive = `${folder}.tar.gz`
  run('tar', ['-C', dirname(folder), '-czf', archive, basename(folder)])
  const { size } = statSync(archive)
  if (size > most) throw new Error(`${archive} has ${size} bytes, and may have ${most}`)
  return { bytes: size, withKernels: built.withKernels }
}

const given = process.argv.slice(2)
const kernels = !given.includes('--no-kernels')
const [named, ...others] = given.filter((argument) => argument !== '--no-kernels')
if (others.length > 0 || named?.startsWith('-')) throw new Error('usage: npm run check:cuda [-- FOLDER] [--no-kernels]')
const folder = resolve(named ?? `${root}build/check-cuda`)
const { bytes, withKernels } = await pack(folder, kernels)
console.log(`${folder}.tar.gz: ${(bytes / 1e6).toFixed(1)} MB${withKernels ? '' : ', without kernels of GPUs'}`)
console.log(`On the machine with the GPU: tar -xzf ${basename(folder)}.tar.gz && python3 ${basename(folder)}/run.py`)
