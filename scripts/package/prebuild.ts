/**
 * Builds the binaries of platform packages, each with the symbols of the oldest C library on which it must run, and the
 * packages around them, into build/packages. Usage: npm run prebuild [-- PLATFORM...], by default all of
 * scripts/package/platforms.ts, and `cuda`, the CUDA library, if nvcc is installed.
 *
 * The C++ run time is linked statically and hidden. The stripped symbols stay in
 * build/prebuild/PLATFORM/firesteel.debug.node, whose addresses are those of the package's binary.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { type PackagedPlatform, packagedPlatforms } from '../../lib/backend/native/platforms.js'
import { cudaSources, hasNvcc } from '../build-cuda.mjs'
import { checkBinary } from './check-binary.js'
import { crossCompiler } from './cross-compiler.js'
import { cudaExported, cudaPlatform, exported, writeCudaPackage, writePlatformPackage } from './manifests.js'
import { targets } from './platforms.js'
import { nodeSource, writeNodeFunctions } from './windows.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const require = createRequire(import.meta.url)
const { membersOf } = require('../list-sources.cjs') as { membersOf(list: string): readonly string[] }
const folder = join(root, 'build/prebuild')

interface Job {
  readonly output: string
  readonly command: readonly string[]
}

/** Runs all tasks, as many at a time as there are cores. Throws with the output of the first that failed. */
async function runAll(jobs: readonly Job[]): Promise<void> {
  const left = [...jobs]
  const work = async () => {
    for (let job = left.shift(); job !== undefined; job = left.shift()) {
      mkdirSync(dirname(job.output), { recursive: true })
      const [program = '', ...args] = job.command
      const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
      const said: Buffer[] = []
      child.stdout.on('data', (part: Buffer) => said.push(part))
      child.stderr.on('data', (part: Buffer) => said.push(part))
      const [status] = (await once(child, 'close')) as [number | null]
      if (status === 0) continue
      left.length = 0
      throw new Error(`${job.command.join(' ')}\n${Buffer.concat(said)}`)
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, work))
}

/** The compilations of sources into a folder. */
function compilations(compiler: readonly string[], sources: readonly string[], to: string, flags: readonly string[]) {
  return sources.map((source) => {
    const output = join(to, source.replace(/\.cpp$/, '.o'))
    return { output, command: [...compiler, ...flags, '-g1', '-c', source, '-o', output] }
  })
}

const all = membersOf('flags.all')
const addonFlags = [
  '-DNAPI_VERSION=8',
  '-DBUILDING_NODE_EXTENSION', // calls of Node's functions go through pointers on Windows
  '-DNODE_ADDON_API_CPP_EXCEPTIONS',
  '-DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
  `-I${(require('node-api-headers') as { include_dir: string }).include_dir}`,
  `-I${dirname(require.resolve('node-addon-api'))}`,
]

/**
 * The kernels' objects, which g++ compiled for the build of this checkout. They can be linked with any C library,
 * because they call only a few plain functions of it.
 */
async function gxxKernels(isas: readonly string[]): Promise<readonly string[]> {
  const arch: string = process.arch
  if (arch !== 'x64') throw new Error('the kernels for x64 are those of the local build by g++, which is made on x64')
  const { CXX: _, ...env } = process.env
  const build = spawn(process.execPath, ['scripts/build-native.mjs', '--quiet'], {
    cwd: root,
    stdio: 'inherit',
    env: { ...env, FIRESTEEL_INSTRUCTION_SETS: 'all' },
  })
  const [status] = (await once(build, 'close')) as [number | null]
  if (status !== 0) throw new Error('the local build failed')
  const objects = join(root, 'build/Release/obj.target')
  return isas.flatMap((isa) => membersOf('kernels').map((path) => join(objects, isa, path.replace(/\.cpp$/, '.o'))))
}

/** The flag that strips names of local functions, which `-s` leaves in a binary for Macs. */
const localNames = ['-Wl,-x']

/** Returns the path of the binary. */
async function build(platform: PackagedPlatform, zig: string): Promise<string> {
  const { triple, isas, kernels } = targets[platform]
  const compiler = [zig, 'c++', '-target', triple]
  const own = join(folder, platform)
  const isForWindows = targets[platform].os === 'win32'
  if (isForWindows) writeNodeFunctions(own)
  const jobs = [
    ...compilations(compiler, [...membersOf('addon'), ...membersOf('core')], own, [...all, ...addonFlags]),
    ...compilations(compiler, isForWindows ? [nodeSource] : [], own, [...all, `-I${own}`]),
    ...(kernels === 'g++' ? [] : isas).flatMap((isa) =>
      compilations(compiler, membersOf('kernels'), join(own, isa), [
        ...all,
        ...membersOf('flags.kernels'),
        ...membersOf(`flags.${isa}`),
        `-DFIRESTEEL_ISA=${isa}`,
      ]),
    ),
  ]
  await runAll(jobs)
  const objects = [...jobs.map((job) => job.output), ...(kernels === 'g++' ? await gxxKernels(isas) : [])]
  const link = linker(platform, compiler, own, exported, objects)
  const binary = join(own, 'firesteel.node')
  // They run one after the other, because the first makes the C++ run time.
  await runAll([link(binary, '-s', ...(isForMacs(platform) ? localNames : []))])
  await runAll([link(join(own, 'firesteel.debug.node'))])
  return binary
}

/** Jobs that link objects, which then export these names only. */
function linker(
  platform: PackagedPlatform,
  compiler: readonly string[],
  folder: string,
  exported: readonly string[],
  objects: readonly string[],
): (output: string, ...flags: readonly string[]) => Job {
  const always = ['-shared', '-pthread', ...flagsOf[targets[platform].os](folder, exported)]
  return (output, ...flags) => ({ output, command: [...compiler, ...always, ...flags, ...objects, '-o', output] })
}

const isForMacs = (platform: PackagedPlatform) => targets[platform].os === 'darwin'

/**
 * Functions of Node are looked for in the program that loads the binary. Its names are hidden by the compiler alone,
 * because this linker takes no list of them.
 */
const forMacs = ['-Wl,-undefined,dynamic_lookup', '-Wl,-install_name,@rpath/firesteel.node']

/** Only names that their sources declare as exported are, and Node's functions are looked for by the binary itself. */
const forWindows: readonly string[] = []

const flagsOf = { linux: forLinux, darwin: () => forMacs, win32: () => forWindows } as const

function forLinux(folder: string, exported: readonly string[]): readonly string[] {
  const exports = join(folder, 'exports.map')
  writeFileSync(exports, `{ global: ${exported.map((name) => `${name};`).join(' ')} local: *; };\n`)
  return [`-Wl,--version-script=${exports}`, '-Wl,-z,relro,-z,now']
}

const cuda = 'cuda'
/** The bytes that the CUDA library may have where it is compressed as a package is. */
const mostOfCuda = 10e6

/** Builds the CUDA library, whose kernels nvcc has compiled; the path of the binary. */
async function buildCudaLibrary(zig: string): Promise<string> {
  const { sources, assembly, flags } = await cudaSources()
  const compiler = [zig, 'c++', '-target', targets[cudaPlatform].triple]
  const own = join(folder, `cuda-${cudaPlatform}`)
  const jobs: Job[] = [...sources, assembly].map((source) => {
    const output = join(own, `${basename(source)}.o`)
    return { output, command: [...compiler, ...(source === assembly ? [] : flags), '-c', source, '-o', output] }
  })
  await runAll(jobs)
  const objects = jobs.map((job) => job.output)
  const binary = join(own, 'firesteel_cuda.so')
  await runAll([linker(cudaPlatform, compiler, own, cudaExported, objects)(binary, '-s')])
  const compressed = gzipSync(readFileSync(binary)).length
  if (compressed > mostOfCuda)
    throw new Error(`${binary} has ${compressed} bytes where it is compressed, and may have ${mostOfCuda}`)
  return binary
}

type Wanted = PackagedPlatform | typeof cuda

function wanted(names: readonly string[]): readonly Wanted[] {
  const known: readonly Wanted[] = [...packagedPlatforms, cuda]
  const unknown = names.filter((name) => !known.some((each) => each === name))
  if (unknown.length > 0) throw new Error(`there is no platform ${unknown.join(', ')}; known are ${known.join(', ')}`)
  if (names.length > 0) return known.filter((each) => names.includes(each))
  if (hasNvcc()) return known
  console.log(`${cuda}: left out, because there is no nvcc`)
  return packagedPlatforms
}

try {
  const platforms = wanted(process.argv.slice(2))
  const zig = crossCompiler()
  for (const platform of platforms) {
    const started = performance.now()
    const isCuda = platform === cuda
    const binary = await (isCuda ? buildCudaLibrary(zig) : build(platform, zig))
    const facts = isCuda ? checkBinary(binary, cudaPlatform, cudaExported) : checkBinary(binary, platform, exported)
    if (isCuda) writeCudaPackage(binary)
    else writePlatformPackage(platform, binary)
    const megabytes = (readFileSync(binary).length / 1e6).toFixed(2)
    const seconds = ((performance.now() - started) / 1000).toFixed(0)
    console.log(`${platform}: ${megabytes} MB, ${facts}; ${seconds} s`)
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
