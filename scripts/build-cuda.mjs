/**
 * Builds the CUDA library and the fake driver into build/Release, as far as they are out of date:
 *
 *   firesteel_cuda.so  the host side, by a C++ compiler alone, around the kernels that nvcc compiled, if there is nvcc
 *   libfakecuda.so     the driver's functions, and the same kernels on the emulator (x86-64 only). With
 *                      FIRESTEEL_EMULATOR_CHECK=1 it checks them for races and stray accesses
 *
 * Usage: node scripts/build-cuda.mjs [--no-kernels] [--faults] [--check] [--quiet]
 *   --no-kernels  does not start nvcc (some minutes); kernels that it compiled before are used
 *   --faults      also build/cuda/faults, kernels with faults for the emulator to tell
 *   --check       instead compiles the kernels and fails on spills, stack frames and C75xx warnings
 * FIRESTEEL_CUDA_TARGETS names the targets, as in 80,90; each is a multiple of ten of a compute capability.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'

const script = fileURLToPath(import.meta.url)
const root = fileURLToPath(new URL('../', import.meta.url))
const native = `${root}native/`
const objects = `${root}build/cuda/`
const release = `${root}build/Release/`
const library = `${release}firesteel_cuda.so`
const faultySource = `${native}emulator/tests/faults.cu`
const fakeDriver = `${release}libfakecuda.so`

// Code for a target also runs on later GPUs of the same generation, and PTX serves the generations after it. The
// kernels use nothing newer than 80, except those of warpgroups, so PTX of 80 could become code for all later targets,
// but this takes more time than compiling for each.
const targets = (process.env.FIRESTEEL_CUDA_TARGETS ?? '75,80,90,100,120').split(',')
// Only targets that differ are listed: 100 has the registers and the instructions of 90 and 120.
const checkedTargets = (process.env.FIRESTEEL_CUDA_TARGETS ?? '75,80,90,120').split(',')
const virtualTarget = (target) => Math.min(Number(target), 80)
const kernelFlags = ['-std=c++17', '-fmad=false', '--Werror=all-warnings']
const hostFlags = [
  '-std=c++20',
  '-O2',
  '-fPIC',
  '-fvisibility=hidden',
  '-ffp-contract=off',
  '-Wall',
  '-Wextra',
  '-Werror',
]

function works(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0
}

/** The C++ compiler to call, as a command with its first arguments, or null. */
function findCompiler() {
  const named = process.env.CXX
  if (named) return named.split(' ')
  const compiler = ['g++', 'clang++', 'c++'].find(works)
  if (compiler === undefined) return null
  return works('ccache') ? ['ccache', compiler] : [compiler]
}

function files(folder, ending) {
  return readdirSync(native + folder)
    .filter((name) => name.endsWith(ending))
    .map((name) => `${native}${folder}/${name}`)
}

const headers = () => ['cuda', 'emulator', 'core', 'generated'].flatMap((folder) => files(folder, '.h'))
const kernelSources = () => files('cuda', '.cu')

function isNewer(path, sources) {
  if (!existsSync(path)) return false
  const made = statSync(path).mtimeMs
  return sources.every((source) => statSync(source).mtimeMs <= made)
}

class BuildError extends Error {}

/** Runs a command in the checkout. Paths are then the same in every checkout, as ccache needs them. */
function run(command, args) {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, CCACHE_SLOPPINESS: 'pch_defines,time_macros' }
    const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let text = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (part) => {
        text += part
      })
    const fail = (why) => reject(new BuildError(`${[command, ...args].join(' ')}\n${why}`))
    child.on('error', (error) => fail(error.message))
    child.on('close', (status) => (status === 0 ? resolve(text) : fail(text)))
  })
}

/** Runs tasks, as many at once as there are cores, but at most four, because each compiler takes memory. */
async function runAll(tasks) {
  const results = []
  const waiting = tasks.entries()
  const work = async () => {
    for (const [i, task] of waiting) results[i] = await task()
  }
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), 4) }, work))
  return results
}

const relative = (path) => (path.startsWith(root) ? path.slice(root.length) : path)
const nameOf = (source) => source.slice(native.length).replaceAll('/', '-')

/**
 * Precompiles the standard headers of most sources, which take a compiler longer than the sources themselves. Returns
 * the flags that include them.
 */
async function precompile(compiler, name, headers, flags) {
  const header = `${objects}${name}.h`
  const text = headers.map((header) => `#include <${header}>\n`).join('')
  if (!existsSync(header) || readFileSync(header, 'utf8') !== text) writeFileSync(header, text)
  // clang names them differently, and such files are few.
  if (!compiler.at(-1).includes('g++')) return []
  const output = `${header}.gch`
  if (!isNewer(output, [header, script]))
    await run(compiler[0], [
      ...compiler.slice(1),
      ...flags,
      '-x',
      'c++-header',
      '-c',
      relative(header),
      '-o',
      relative(output),
    ])
  return ['-fpch-preprocess', '-include', relative(header)]
}

async function compile(compiler, source, flags) {
  const object = `${objects}${nameOf(source)}.o`
  if (!isNewer(object, [source, script, ...headers()]))
    await run(compiler[0], [...compiler.slice(1), ...flags, '-c', relative(source), '-o', relative(object)])
  return object
}

async function link(compiler, output, parts) {
  if (!isNewer(output, parts))
    await run(compiler.at(-1), ['-shared', '-o', relative(output), ...parts.map(relative), '-ldl', '-pthread'])
}

// The instructions of warpgroups are in code for exactly 90a. Its other code only says that it must not be launched.
const isForWarpgroups = (source) => source.endsWith('_wgmma.cu')

const codeFor = (targets, source) =>
  targets.map((target) =>
    target === '90' && isForWarpgroups(source)
      ? '-gencode=arch=compute_90a,code=sm_90a'
      : `-gencode=arch=compute_${virtualTarget(target)},code=sm_${target}`,
  )

/** Binaries for all targets, one for each .cu file; none without nvcc. */
async function kernelBinaries(withKernels) {
  const ptx = virtualTarget(targets.at(-1))
  const binaries = kernelSources().map((source) => ({
    source,
    binary: `${objects}${nameOf(source)}-${targets.join('-')}.fatbin`,
  }))
  const stale = binaries.filter(({ source, binary }) => !isNewer(binary, [source, ...headers()]))
  if (stale.length > 0 && !(withKernels && works('nvcc'))) return []
  const flags = [...kernelFlags, '-fatbin', '-compress-mode=size']
  flags.push(`-gencode=arch=compute_${ptx},code=compute_${ptx}`)
  await runAll(
    stale.map(
      ({ source, binary }) =>
        () =>
          run('nvcc', [...flags, ...codeFor(targets, source), source, '-o', binary]),
    ),
  )
  return binaries.map(({ binary }) => binary)
}

/** Writes the binaries and their table, which native/cuda/device.cpp reads, as assembly. Returns its path. */
function table(binaries) {
  const source = `${objects}modules.S`
  const entries = binaries.map((_, i) => `.quad module_${i}\n`).join('')
  const data = binaries.map((binary, i) => `.balign 64\nmodule_${i}:\n.incbin "${binary}"\n.byte 0\n`).join('')
  const text = `.section .data.rel.ro,"aw"
.balign 8
.globl firesteel_cuda_modules
.hidden firesteel_cuda_modules
firesteel_cuda_modules:
${entries}.quad 0
.section .rodata
${data}.section .note.GNU-stack,"",%progbits
`
  if (!existsSync(source) || readFileSync(source, 'utf8') !== text) writeFileSync(source, text)
  return source
}

async function embed(compiler, binaries) {
  const source = table(binaries)
  const object = `${objects}modules.o`
  if (!isNewer(object, [source, ...binaries])) await run(compiler.at(-1), ['-c', source, '-o', object])
  return object
}

// The headers that most files include.
const hostHeaders = [
  'algorithm',
  'atomic',
  'bit',
  'condition_variable',
  'cmath',
  'deque',
  'limits',
  'map',
  'memory',
  'mutex',
]
hostHeaders.push('set', 'span', 'string', 'string_view', 'thread', 'unordered_map', 'vector')
const kernelHeaders = ['algorithm', 'functional', 'map', 'math.h', 'stdint.h', 'string', 'tuple', 'utility', 'vector']

// O1 is enough, because kernels of tests run for less time than they compile. The emulator has its own functions for
// the sanitizer's calls (check.cpp). They cost little if nothing is checked, so one build serves both.
const emulatedFlags = [...hostFlags, '-O1', '-fsanitize=thread', '-Wno-unknown-pragmas']

/** Whether the kernels of GPUs can be compiled here. */
export const hasNvcc = () => works('nvcc')

/**
 * The sources of the library, for scripts that compile it for other machines. One of them holds the kernels for all
 * targets.
 */
export async function cudaSources() {
  mkdirSync(objects, { recursive: true })
  const binaries = await kernelBinaries(true)
  if (binaries.length === 0) throw new BuildError('there is no nvcc: the CUDA toolkit 13 compiles the kernels of GPUs')
  return { sources: files('cuda', '.cpp'), assembly: table(binaries), flags: hostFlags }
}

/**
 * Builds what is out of date. Returns null without a C++ compiler, else whether the library holds kernels, and the fake
 * driver's path or null. Throws an error with the compiler's words.
 */
export async function buildCuda({ kernels = true, faults = false } = {}) {
  const compiler = findCompiler()
  if (compiler === null) return null
  mkdirSync(objects, { recursive: true })
  mkdirSync(release, { recursive: true })
  const binaries = await kernelBinaries(kernels)
  const withKernels = binaries.length > 0
  const emulates = process.arch === 'x64'
  const emulated = emulates ? kernelSources() : []
  if (emulates && faults) emulated.push(faultySource)
  const emulator = emulates ? files('emulator', '.cpp') : []
  const [host, kernel] = await runAll([
    () => precompile(compiler, 'host', hostHeaders, hostFlags),
    () => (emulates ? precompile(compiler, 'kernels', kernelHeaders, emulatedFlags) : []),
  ])
  // The longest tasks come first, so that no core waits for one of them at the end.
  const sources = [...emulated, ...emulator, ...files('cuda', '.cpp')].sort(
    (a, b) => statSync(b).size - statSync(a).size,
  )
  const made = await runAll(
    sources.map((source) => async () => {
      const flags = emulated.includes(source) ? [...emulatedFlags, ...kernel, '-x', 'c++'] : [...hostFlags, ...host]
      return [source, await compile(compiler, source, flags)]
    }),
  )
  const objectOf = new Map(made)
  const parts = (list) => list.map((source) => objectOf.get(source))
  const links = [
    async () => link(compiler, library, [...parts(files('cuda', '.cpp')), await embed(compiler, binaries)]),
  ]
  if (emulates) links.push(() => link(compiler, fakeDriver, parts([...emulator, ...kernelSources()])))
  if (emulates && faults) links.push(() => linkFaults(compiler, parts([...emulator, faultySource])))
  await runAll(links)
  return { withKernels, fakeDriver: emulates ? fakeDriver : null }
}

/** The emulator's own test: kernels with faults. */
async function linkFaults(compiler, parts) {
  const output = `${objects}faults`
  if (!isNewer(output, parts))
    await run(compiler.at(-1), ['-o', relative(output), ...parts.map(relative), '-ldl', '-pthread'])
}

/** The faults in ptxas's report on a file's entries. */
function faultsOf(name, report) {
  const faults = []
  const seen = new Map(checkedTargets.map((target) => [`sm_${target}`, { entries: 0, registers: 0 }]))
  let [target, entry] = ['?', '?']
  for (const line of report.split('\n')) {
    const compiling = /Compiling entry function '(\w+)' for '(\w+?)a?'/.exec(line)
    if (compiling) [, entry, target] = compiling
    const used = /Used (\d+) registers/.exec(line)
    const counts = seen.get(target)
    if (used && counts) {
      counts.entries++
      counts.registers = Math.max(counts.registers, Number(used[1]))
    }
    const stack = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line)
    if (stack?.slice(1).some((bytes) => bytes !== '0')) faults.push(`${target} ${entry}: ${line.trim()}`)
    if (/C75\d\d/.test(line)) faults.push(`${target} ${entry}: ${line.trim()}`)
  }
  for (const [target, { entries, registers }] of seen) {
    console.log(`${target} ${name}: ${entries} entries, at most ${registers} registers`)
    if (entries === 0) faults.push(`${target} ${name}: ptxas reported no entry`)
  }
  return faults
}

async function checkKernels() {
  mkdirSync(objects, { recursive: true })
  // The longest tasks come first, so that no core waits for one of them at the end.
  const sources = kernelSources().sort((a, b) => statSync(b).size - statSync(a).size)
  const flags = [...kernelFlags, '-fatbin', '-Xptxas=-v']
  const faults = await runAll(
    sources.map((source) => async () => {
      const name = source.slice(native.length)
      return faultsOf(
        name,
        await run('nvcc', [
          ...flags,
          ...codeFor(checkedTargets, source),
          source,
          '-o',
          `${objects}${nameOf(source)}.check`,
        ]),
      )
    }),
  )
  for (const fault of faults.flat()) console.error(fault)
  return faults.flat().length === 0
}

async function main(options) {
  if (options.includes('--check')) {
    if (works('nvcc')) return await checkKernels()
    console.log('no nvcc: the kernels are not checked')
    return true
  }
  const built = await buildCuda({ kernels: !options.includes('--no-kernels'), faults: options.includes('--faults') })
  if (built === null) {
    console.error('no C++ compiler found: install g++ or clang++, or name one in CXX')
    return false
  }
  if (!options.includes('--quiet'))
    console.log(
      `build/Release/firesteel_cuda.so, ${built.withKernels ? `kernels for ${targets.join(', ')}` : 'without kernels'}`,
    )
  return true
}

if (process.argv[1] === script) {
  try {
    process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1
  } catch (error) {
    if (!(error instanceof BuildError)) throw error
    console.error(error.message)
    process.exitCode = 1
  }
}
