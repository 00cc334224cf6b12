/**
 * Breaks kernels on purpose, one place at a time, and demands that the emulator's tests notice. It removes a barrier or
 * the commit of a copy, shifts an index by one, or widens a bound by one. It works in a copy of native/, and rebuilds
 * only what changed.
 *
 * Usage: npm run mutants:cuda [-- --only WORDS] [--most COUNT] [--least SHARE] --only files whose name has these words
 * in it --most so many mutants at most, spread evenly over all; default: all --least the share that must be noticed;
 * default 0.9 Prints the file and line of each mutant that no test noticed, and the share of noticed ones; fails if the
 * share is below the least. Mutants that do not compile are counted apart.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { build } from 'esbuild'
import { buildCuda } from './build-cuda.mjs'

export type MutantKind = 'barrier' | 'index' | 'bound'

export interface Mutant {
  readonly kind: MutantKind
  /** The line's number, from 1. */
  readonly line: number
  /** The whole file with the fault. */
  readonly text: string
}

const mutations: readonly (readonly [MutantKind, RegExp, string])[] = [
  ['barrier', /\b(__syncthreads|__syncwarp|commit_copies)\(\);/, ';'],
  // An element that is read or written. In a declaration the type comes before the name.
  ['index', /(?<!(?:\b(?!return\b|else\b)\w+|SHARED\b.*|DEVICE\b.*) )(\b\w+)\[([^[\]]+)\]/, '$1[$2 + 1]'],
  ['bound', /((?:for|if|while) \(.*[^<]) < /, '$1 <= '],
]

/** The faults that can be put into a file, one for each line and kind. Comments are left alone. */
export function mutantsOf(text: string): Mutant[] {
  const lines = text.split('\n')
  return lines.flatMap((line, i) =>
    line.trimStart().startsWith('//')
      ? []
      : mutations.flatMap(([kind, pattern, replacement]) => {
          const mutated = line.replace(pattern, replacement)
          if (mutated === line) return []
          return [{ kind, line: i + 1, text: lines.with(i, mutated).join('\n') }]
        }),
  )
}

/** This many of the items, spread evenly. */
export function spread<T>(items: readonly T[], most: number): T[] {
  if (items.length <= most) return [...items]
  return Array.from({ length: most }, (_, i) => items[Math.floor((i * items.length) / most)] as T)
}

const root = fileURLToPath(new URL('../', import.meta.url))

/** The checks of each file of kernels: programs of tests/cuda with their arguments. */
function checksOf(file: string): readonly (readonly string[])[] {
  const family = file.replace(/(_\w+)?\.cu$/, '')
  if (family === 'elementwise') return [['kernels.js']]
  if (family === 'recurrent') return [['recurrent.js'], ['cases.js', family]]
  if (family === 'loss') return [['head.js'], ['ctc.js'], ['cases.js', family]]
  if (family === 'blocks') return [['blocks.js']]
  if (file === 'matmul_wgmma.cu') return [['products.js'], ['cases.js', 'matmul']]
  return family === 'matmul' ? [['products.js'], ['blocks.js'], ['cases.js', 'matmul']] : [['cases.js', family]]
}

/**
 * Whether a driver with these kernels is noticed: by an error, by a fault that the emulator reports, or because it
 * never ends.
 */
function isNoticed(driver: string, file: string): boolean {
  const checked = { FIRESTEEL_EMULATOR_CHECK: '1', FIRESTEEL_EMULATOR_ORDER: 'reverse' }
  // Only Hopper runs the kernels of warpgroups.
  const capability = file.endsWith('_wgmma.cu') ? '90' : '80'
  return [checked, {}].some((variables) =>
    checksOf(file).some(([program, ...args]) => {
      const env = {
        ...process.env,
        FIRESTEEL_CUDA_DRIVER: driver,
        FIRESTEEL_EMULATOR_CAPABILITY: capability,
        ...variables,
      }
      const command = [`${root}build/compiled/tests/cuda/${program}`, ...args]
      return (
        spawnSync(process.execPath, command, { env, stdio: 'ignore', timeout: 300_000, killSignal: 'SIGKILL' })
          .status !== 0
      )
    }),
  )
}

async function main(): Promise<boolean> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({ options: { only: text, most: text, least: text } })
  const { only = '', most = 'Infinity', least = '0.9' } = values
  if (!(Number(most) >= 1 && Number(least) >= 0 && Number(least) <= 1))
    throw new Error('--most is a number of at least 1, --least a share from 0 to 1')
  const files = readdirSync(`${root}native/cuda`).filter((name) => name.endsWith('.cu') && name.includes(only))
  const all = files.flatMap((file) =>
    mutantsOf(readFileSync(`${root}native/cuda/${file}`, 'utf8')).map((mutant) => ({ file, mutant })),
  )
  const chosen = spread(all, Number(most))
  if (chosen.length === 0) throw new Error(`no file of native/cuda with '${only}' in its name can be broken`)
  await buildCuda({ kernels: false })
  await build({
    entryPoints: ['lib/**/*.ts', 'tests/cases/**/*.ts', 'tests/cuda/*.ts', 'tests/suites/support.ts'],
    absWorkingDir: root,
    outbase: '.',
    outdir: 'build/compiled',
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
  })
  const scratch = mkdtempSync(join(tmpdir(), 'firesteel-mutants-'))
  try {
    // Times are copied too, so that only broken files are built again.
    for (const part of [
      'native',
      'scripts/build-cuda.mjs',
      'build/cuda',
      'build/Release/libfakecuda.so',
      'build/Release/firesteel_cuda.so',
    ])
      cpSync(root + part, join(scratch, part), { recursive: true, preserveTimestamps: true })
    const driver = join(scratch, 'build/Release/libfakecuda.so')
    const rebuild = () =>
      spawnSync(process.execPath, [join(scratch, 'scripts/build-cuda.mjs'), '--no-kernels', '--quiet'], {
        stdio: 'ignore',
      })
    // The copy is first built without a fault, so that the tests notice the faults and not the build.
    for (const file of files)
      writeFileSync(join(scratch, 'native/cuda', file), `${readFileSync(`${root}native/cuda/${file}`, 'utf8')}\n`)
    if (rebuild().status !== 0) throw new Error('the kernels do not compile without a fault in them')
    for (const file of files)
      if (isNoticed(driver, file)) throw new Error(`the checks of ${file} fail without a fault in it`)
    let [noticed, broken] = [0, 0]
    let last = ''
    for (const { file, mutant } of chosen) {
      if (last !== file && last !== '') cpSync(`${root}native/cuda/${last}`, join(scratch, 'native/cuda', last))
      last = file
      writeFileSync(join(scratch, 'native/cuda', file), mutant.text)
      if (rebuild().status !== 0) broken++
      else if (isNoticed(driver, file)) noticed++
      else console.log(`nobody noticed: ${mutant.kind}, native/cuda/${file}:${mutant.line}`)
    }
    const tried = chosen.length - broken
    const share = tried === 0 ? 0 : noticed / tried
    console.log(
      `${noticed} of ${tried} mutants were noticed (${(100 * share).toFixed(1)}%), ${broken} do not compile, ` +
        `${all.length - chosen.length} were left out`,
    )
    return share >= Number(least)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = (await main()) ? 0 : 1
