/**
 * npm run check:install: the cost of installing the package, beside others that bring native code, in one run. Each
 * goes into an empty project with an empty cache, with its install scripts. The registry on loopback has fetched each
 * package once before, so no network is measured. Prints a table. Usage: tsx scripts/package/compare.ts [--built]
 * [PACKAGE...]
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { packageOf } from '../../lib/backend/native/platforms.js'
import { builtPlatforms, packagesFolder, writeMainPackage } from './manifests.js'
import { Project } from './project.js'
import { type Registry, startRegistry } from './registry.js'
import { npmProgram } from './tools.js'

/** Programs that load a package and its binary. */
const programs: { readonly [name: string]: string } = {
  firesteel:
    "const { describeDevice } = await import('firesteel'); if (!/^native/.test(describeDevice())) throw new Error('not native')",
  sharp: "await import('sharp')",
  'onnxruntime-node': "await import('onnxruntime-node')",
  '@tensorflow/tfjs-node': "await import('@tensorflow/tfjs-node')",
}
const imports = 20

/**
 * Processor time in milliseconds, which other programs on the machine lengthen less than they lengthen the clock's
 * time.
 */
const spent =
  'const spent = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1000 }; const begun = spent()'

/** The steps after an import of firesteel: it finds the binary, and opens a device with its threads. */
const openProgram = `const { describeDevice } = await import('firesteel'); ${spent}; const open = process.dlopen; let ofSystem = 0
process.dlopen = (...args) => { const before = spent(); open.apply(process, args); ofSystem = spent() - before }
describeDevice(); console.log(spent() - begun - ofSystem); process.exit(0)`

interface Row {
  readonly name: string
  /** The reason why it could not be installed or loaded. */
  readonly failure?: string
  readonly version?: string
  readonly seconds?: number
  readonly packages?: number
  /** Packages with an install script. */
  readonly scripts?: number
  readonly packed?: number
  readonly unpacked?: number
  /** Where it loads. */
  readonly project?: Project
}

interface Installed {
  readonly version?: string
  readonly hasInstallScript?: boolean
}

/** The line of npm's or Node's output that tells what went wrong. */
export function firstErrorOf(output: string): string {
  const lines = output.split('\n').map((line) => line.replace(/^npm (error|ERR!) ?/, '').trim())
  const told = lines.filter((line) => line !== '' && !/^(npm |> |A complete log|code |path |command )/.test(line))
  const kinds = [/^\[?\w*Error\b/, /\bE[A-Z]{4,}\b/, /\berror\b|failed|cannot|not found/i]
  return kinds.map((kind) => told.find((line) => kind.test(line))).find(Boolean) ?? told[0] ?? 'it says nothing'
}

/** The bytes of the tarballs that npm fetched into a cache, from its index: lines of a hash and JSON. */
function fetchedBytes(cache: string): number {
  const index = join(cache, '_cacache/index-v5')
  const sizes = new Map<string, number>()
  for (const { name, parentPath } of readdirSync(index, { recursive: true, withFileTypes: true }).filter((at) =>
    at.isFile(),
  ))
    for (const line of readFileSync(join(parentPath, name), 'utf8').split('\n').filter(Boolean)) {
      const { key, size } = JSON.parse(line.slice(line.indexOf('\t') + 1)) as { key: string; size: number }
      if (key.endsWith('.tgz')) sizes.set(key, size)
    }
  return [...sizes.values()].reduce((sum, size) => sum + size, 0)
}

const timed = (program: string) => `${spent}; ${program}; console.log(spent() - begun); process.exit(0)`

/** The least that each program reports. They run in turns, so that all meet the same machine. */
function leastOf(programs: readonly { readonly project: Project; readonly program: string }[]): readonly number[] {
  const least = programs.map(() => Number.POSITIVE_INFINITY)
  for (let turn = 0; turn < imports; turn++)
    for (const [i, { project, program }] of programs.entries())
      least[i] = Math.min(least[i] ?? 0, Number(project.run('--input-type=module', '-e', program)))
  return least
}

function measure(work: string, registry: Registry, name: string): Row {
  /** Each project has its own folder, with npm's cache in it. */
  const own = () => mkdtempSync(join(work, 'own-'))
  const empty = (folder = own()) => new Project(folder, registry)
  const install = (project: Project, ...options: readonly string[]) =>
    project.try(
      { PATH: process.env['PATH'] ?? '' },
      npmProgram(),
      '--no-audit',
      '--no-fund',
      ...options,
      'install',
      name,
    )
  const first = install(empty())
  // The package may contain what a script wanted to fetch.
  const options = first.status === 0 ? [] : ['--ignore-scripts']
  const failure = first.status === 0 ? undefined : `without its scripts, because: ${firstErrorOf(first.output)}`
  if (failure !== undefined) install(empty(), ...options)
  const folder = own()
  const project = empty(folder)
  const began = performance.now()
  const { status, output } = install(project, ...options)
  const seconds = (performance.now() - began) / 1000
  if (status !== 0) return { name, failure: firstErrorOf(output) }
  const { packages } = JSON.parse(readFileSync(join(project.folder, 'node_modules/.package-lock.json'), 'utf8')) as {
    readonly packages: { readonly [path: string]: Installed }
  }
  const all = Object.values(packages)
  const du = spawnSync('du', ['-sk', join(project.folder, 'node_modules')], { encoding: 'utf8' }).stdout
  const row: Row = {
    name,
    version: packages[`node_modules/${name}`]?.version ?? '',
    seconds,
    packages: all.length,
    scripts: all.filter(({ hasInstallScript }) => hasInstallScript).length,
    packed: fetchedBytes(join(folder, 'npm-cache')),
    unpacked: 1024 * Number.parseInt(du, 10),
  }
  const told = failure === undefined ? [] : [failure]
  try {
    project.run('--input-type=module', '-e', timed(programs[name] ?? ''))
    return { ...row, ...(failure === undefined ? {} : { failure }), project }
  } catch (error) {
    const reason = firstErrorOf(error instanceof Error ? error.message : String(error))
    return { ...row, failure: [...told, `it does not load: ${reason}`].join('; ') }
  }
}

const titles = ['package', 'version', 'install', 'packages', 'with scripts', 'packed', 'on disk', 'import']

function cells({ name, version, seconds, packages, scripts, packed, unpacked }: Row, load?: number): readonly string[] {
  const megabytes = (bytes?: number) => (bytes === undefined ? '-' : `${(bytes / 1e6).toFixed(1)} MB`)
  return [
    name,
    version ?? '-',
    seconds === undefined ? '-' : `${seconds.toFixed(1)} s`,
    `${packages ?? '-'}`,
    `${scripts ?? '-'}`,
    megabytes(packed),
    megabytes(unpacked),
    load === undefined ? '-' : `${load.toFixed(0)} ms`,
  ]
}

async function compare(names: readonly string[], onlyBuilt: boolean): Promise<void> {
  const unknown = names.filter((name) => programs[name] === undefined)
  if (unknown.length > 0) throw new Error(`no ${unknown.join(', ')} here, only ${Object.keys(programs).join(', ')}`)
  const built = builtPlatforms(onlyBuilt)
  writeMainPackage(built)
  const work = mkdtempSync(join(tmpdir(), 'firesteel-compare-'))
  const registry = await startRegistry(work)
  try {
    for (const folder of [...built.map((platform) => packageOf(platform)), 'firesteel'])
      registry.publish(join(packagesFolder, folder))
    const rows: Row[] = []
    for (const name of names.length > 0 ? names : Object.keys(programs)) rows.push(measure(work, registry, name))
    const loading = rows.flatMap(({ name, project }) =>
      project === undefined ? [] : [{ name, project, program: timed(programs[name] ?? '') }],
    )
    const own = loading.find(({ name }) => name === 'firesteel')
    const least = leastOf([...loading, ...(own === undefined ? [] : [{ ...own, program: openProgram }])])
    const table = [titles, ...rows.map((row) => cells(row, least[loading.findIndex(({ name }) => name === row.name)]))]
    const widths = titles.map((_, i) => Math.max(...table.map((row) => row[i]?.length ?? 0)))
    for (const row of table)
      console.log(
        row.map((text, i) => (i < 2 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0))).join('  '),
      )
    for (const { name, failure } of rows) if (failure !== undefined) console.log(`${name}: ${failure}`)
    console.log(
      `import: processor time with the binary loaded, the least of ${imports} in turns, on Node ${process.versions.node}`,
    )
    if (own !== undefined)
      console.log(
        `firesteel's finding of its binary and opening of a device take ${least.at(-1)?.toFixed(1)} ms of it, beside the system's loader`,
      )
  } finally {
    await registry.stop()
    rmSync(work, { recursive: true, force: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2)
  await compare(
    args.filter((arg) => arg !== '--built'),
    args.includes('--built'),
  )
}
