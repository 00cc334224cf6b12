/**
 * Builds the CUDA library and the fake driver into build/Release, what is out of date only:
 *
 *   firesteel_cuda.so  the host side, by a C++ compiler alone, around the kernels that nvcc compiled, if there is nvcc
 *   libfakecuda.so     the driver's functions and the same kernels over the emulator (x86-64 only)
 *
 * Usage: node scripts/build-cuda.mjs [--no-kernels] [--checked] [--check] [--quiet]
 *   --no-kernels  does not start nvcc (some minutes); kernels that it compiled before are used
 *   --checked     also libfakecuda-checked.so, whose kernels are checked for races and stray accesses, and build/cuda/faults
 *   --check       instead compiles the kernels and fails on spills, stack frames and C75xx warnings
 * FIRESTEEL_CUDA_TARGETS names the targets, as in 80,90; each is a multiple of ten of a compute capability.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../', import.meta.url))
const native = `${root}native/`
const objects = `${root}build/cuda/`
const release = `${root}build/Release/`
const library = `${release}firesteel_cuda.so`
const fakeDriver = `${release}libfakecuda.so`
const checkedDriver = `${release}libfakecuda-checked.so`

// Code of a target runs on later ones of the same generation; PTX serves what comes after. The kernels use nothing that
// came after 80, so that PTX of 80 becomes code of all later targets: it takes more time to make than the code.
const targets = (process.env.FIRESTEEL_CUDA_TARGETS ?? '75,80,90,100,120').split(',')
// Those that differ: 100 has the registers and the instructions of 90 and 120.
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

/** The C++ compiler to call, as a command and its first arguments, or null. */
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

function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status === 0) return stdout + stderr
  throw new BuildError(`${[command, ...args].join(' ')}\n${error ? error.message : stdout + stderr}`)
}

function compile(compiler, source, flags, suffix = '') {
  const object = `${objects}${source.slice(native.length).replaceAll('/', '-')}${suffix}.o`
  if (!isNewer(object, [source, ...headers()]))
    run(compiler[0], [...compiler.slice(1), ...hostFlags, ...flags, '-c', source, '-o', object])
  return object
}

function link(compiler, output, parts) {
  if (!isNewer(output, parts)) run(compiler.at(-1), ['-shared', '-o', output, ...parts, '-ldl', '-pthread'])
}

const codeFor = (targets) => targets.map((target) => `-gencode=arch=compute_${virtualTarget(target)},code=sm_${target}`)

/** Binaries for all targets, one of each .cu file; none without nvcc. */
function kernelBinaries(withKernels) {
  const ptx = virtualTarget(targets.at(-1))
  const binaries = kernelSources().map((source) => ({
    source,
    binary: `${objects}${source.slice(native.length).replaceAll('/', '-')}-${targets.join('-')}.fatbin`,
  }))
  const stale = binaries.filter(({ source, binary }) => !isNewer(binary, [source, ...headers()]))
  if (stale.length > 0 && !(withKernels && works('nvcc'))) return []
  for (const { source, binary } of stale)
    run('nvcc', [
      ...kernelFlags,
      '-fatbin',
      '-compress-mode=size',
      ...codeFor(targets),
      `-gencode=arch=compute_${ptx},code=compute_${ptx}`,
      source,
      '-o',
      binary,
    ])
  return binaries.map(({ binary }) => binary)
}

/** Assembles the binaries and the table of them that native/cuda/device.cpp reads. */
function embed(compiler, binaries) {
  const source = `${objects}modules.S`
  const table = binaries.map((_, i) => `.quad module_${i}\n`).join('')
  const data = binaries.map((binary, i) => `.balign 64\nmodule_${i}:\n.incbin "${binary}"\n.byte 0\n`).join('')
  const text = `.section .data.rel.ro,"aw"
.balign 8
.globl firesteel_cuda_modules
.hidden firesteel_cuda_modules
firesteel_cuda_modules:
${table}.quad 0
.section .rodata
${data}.section .note.GNU-stack,"",%progbits
`
  if (!existsSync(source) || readFileSync(source, 'utf8') !== text) writeFileSync(source, text)
  const object = `${objects}modules.o`
  if (!isNewer(object, [source, ...binaries])) run(compiler.at(-1), ['-c', source, '-o', object])
  return object
}

function buildLibrary(compiler, withKernels) {
  const binaries = kernelBinaries(withKernels)
  const parts = files('cuda', '.cpp').map((source) => compile(compiler, source, []))
  link(compiler, library, [...parts, embed(compiler, binaries)])
  return binaries.length > 0
}

function buildFakeDriver(compiler, output, kernelFlags, suffix) {
  // O1, because kernels of tests run for less time than they compile.
  const emulated = ['-x', 'c++', '-O1', '-Wno-unknown-pragmas', ...kernelFlags]
  const kernels = kernelSources().map((source) => compile(compiler, source, emulated, suffix))
  const emulator = files('emulator', '.cpp').map((source) => compile(compiler, source, []))
  link(compiler, output, [...emulator, ...kernels])
}

/** The emulator's own test: kernels with faults. */
function buildFaults(compiler) {
  const flags = ['-x', 'c++', '-Wno-unknown-pragmas', '-fsanitize=thread']
  const object = compile(compiler, `${native}emulator/tests/faults.cu`, flags)
  const parts = [...files('emulator', '.cpp').map((source) => compile(compiler, source, [])), object]
  const output = `${objects}faults`
  if (!isNewer(output, parts)) run(compiler.at(-1), ['-o', output, ...parts, '-ldl', '-pthread'])
}

/**
 * Builds what is out of date. Null without a C++ compiler, else whether the library holds kernels, and the fake driver's
 * path or null. Throws with the compiler's words.
 */
export function buildCuda({ kernels = true, checked = false } = {}) {
  const compiler = findCompiler()
  if (compiler === null) return null
  mkdirSync(objects, { recursive: true })
  mkdirSync(release, { recursive: true })
  const withKernels = buildLibrary(compiler, kernels)
  if (process.arch !== 'x64') return { withKernels, fakeDriver: null }
  buildFakeDriver(compiler, fakeDriver, [], '')
  if (checked) {
    buildFakeDriver(compiler, checkedDriver, ['-fsanitize=thread'], '.checked')
    buildFaults(compiler)
  }
  return { withKernels, fakeDriver }
}

function start(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
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

/** The faults among what ptxas says of a file's entries. */
function faultsOf(name, report) {
  const faults = []
  const seen = new Map(checkedTargets.map((target) => [`sm_${target}`, { entries: 0, registers: 0 }]))
  let [target, entry] = ['?', '?']
  for (const line of report.split('\n')) {
    const compiling = /Compiling entry function '(\w+)' for '(\w+)'/.exec(line)
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
  // The longest first, so that no core waits for it in the end.
  const waiting = kernelSources().sort((a, b) => statSync(b).size - statSync(a).size)
  const faults = []
  const work = async () => {
    for (let source = waiting.shift(); source !== undefined; source = waiting.shift()) {
      const name = source.slice(native.length)
      const output = `${objects}${name.replaceAll('/', '-')}.check`
      const flags = [...kernelFlags, '-fatbin', '-Xptxas=-v', ...codeFor(checkedTargets)]
      faults.push(...faultsOf(name, await start('nvcc', [...flags, source, '-o', output])))
    }
  }
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), 4) }, work))
  for (const fault of faults) console.error(fault)
  return faults.length === 0
}

async function main(options) {
  if (options.includes('--check')) {
    if (works('nvcc')) return await checkKernels()
    console.log('no nvcc: the kernels are not checked')
    return true
  }
  const built = buildCuda({ kernels: !options.includes('--no-kernels'), checked: options.includes('--checked') })
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

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1
  } catch (error) {
    if (!(error instanceof BuildError)) throw error
    console.error(error.message)
    process.exitCode = 1
  }
}
