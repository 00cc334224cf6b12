/**
 * Finds and opens the addon's binary, and explains failures. The package of this platform comes first, then a build of
 * this checkout. If neither works, the reference backend serves, and the reasons are told once (see report.ts).
 */
import { inNode, nodeModule } from '../../core/host.js'
import { late } from '../../core/late.js'
import { packageRoot } from '../../core/package-root.js'
import { readSettings } from '../settings.js'
import { kernelNames } from '../table/index.js'
import { surroundings, whyAbsent } from './absence.js'
import type { AddonModule, CpuAddon } from './addon.js'
import { packageOf, platformName } from './platforms.js'
import { whyRefused } from './refusal.js'

const withoutNode = "native kernels need Node, and this program runs elsewhere, as in a browser; use 'reference'"

/** A binary that was tried. */
export interface Attempt {
  /** The source, such as `the package @firesteel/linux-x64`. */
  readonly source: string
  readonly path: string | null
  /** The reason why it does not work and the remedy; null if it works. */
  readonly failure: string | null
}

export type Loaded = { readonly attempts: readonly Attempt[] } & (
  | { readonly module: AddonModule; readonly addon: CpuAddon; readonly path: string }
  | { readonly unavailable: string }
)

const { existsSync, readFileSync } = nodeModule('node:fs')
const { dirname, join } = nodeModule('node:path')

/** This package's folder, which takes several looks at the disk. */
const ownRoot = late(() => packageRoot())

let ownRequire: NodeJS.Require | null = null

/** Node's `require` for this file, or for the current folder if a bundler left no path. */
export function requireHere(): NodeJS.Require {
  ownRequire ??= nodeModule('node:module').createRequire(import.meta.url ?? join(process.cwd(), 'index.js'))
  return ownRequire
}

/** The paths of builds by node-gyp and by cmake-js. */
const builds = ['build/Release/firesteel.node', 'build/cmake/Release/firesteel.node']

/** A binary that exists, or the reason why it does not. */
type Candidate = { readonly source: string } & ({ readonly path: string } | { readonly absent: () => string })

/**
 * Throws unless the binary's package has this package's version. They differ only if something other than an installer
 * put it there.
 */
function checkVersion(path: string): void {
  const versionIn = (folder: string) =>
    (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version?: unknown }).version
  const root = ownRoot()
  if (root === null) return
  const [theirs, ours] = [versionIn(dirname(path)), versionIn(root)]
  if (theirs !== ours)
    throw new Error(`it has version ${theirs}, but firesteel has ${ours}; install both again, together`)
}

/**
 * The place where installers put a package: a folder node_modules beside or above this one. Null if it is elsewhere, as
 * in Yarn's archives.
 */
function installedBinary(name: string): string | null {
  const root = ownRoot()
  if (root === null) return null
  for (let folder = root; ; folder = dirname(folder)) {
    const path = join(folder, 'node_modules', name, 'firesteel.node')
    if (existsSync(path)) return path
    if (folder === dirname(folder)) return null
  }
}

function packaged(platform: string): Candidate {
  const name = packageOf(platform)
  const source = `the package ${name}`
  try {
    // The usual places are tried first, because Node's own search would take longer than everything else.
    return { source, path: installedBinary(name) ?? requireHere().resolve(name) }
  } catch {
    return { source, absent: () => whyAbsent(surroundings(platform, ownRoot(), requireHere().resolve)) }
  }
}

function built(): readonly Candidate[] {
  const source = 'the local build'
  const root = ownRoot()
  if (root === null) return []
  const there = builds.map((build) => join(root, build)).filter((path) => existsSync(path))
  if (there.length > 0) return there.map((path) => ({ source, path }))
  const absent = () =>
    `${join(root, 'build')} has none; in a clone of the repository with a C++ compiler \`npm run build:native\` makes it`
  return [{ source, absent }]
}

/** One after the other, because looking for a build would take time where the package is there. */
function* candidates(): Generator<Candidate> {
  yield packaged(platformName())
  yield* built()
}

function open(source: string, path: string) {
  const { isa: wanted, threads } = readSettings()
  if (source !== 'the local build') checkVersion(path)
  const module = load(path)
  let addon: CpuAddon
  try {
    addon = module.open(wanted, threads ?? 0)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(wanted === null ? reason : `FIRESTEEL_ISA=${wanted}: ${reason}`)
  }
  if (addon.kernels.join() !== kernelNames.join())
    throw new Error('it was built from another table of kernels; build it again with `npm run build:native`')
  return { module, addon, path }
}

const loaded = new Map<string, AddonModule>()

/** Loads the addon from a file. Throws an error that explains a failure to a person. */
function load(path: string): AddonModule {
  const known = loaded.get(path)
  if (known !== undefined) return known
  const module = { exports: {} }
  try {
    // This is the last step of `require`, whose search for packages and real paths takes longer than the opening.
    process.dlopen(module, path)
  } catch (error) {
    throw new Error(whyRefused(path, error instanceof Error ? error.message : String(error)))
  }
  const addon = module.exports as AddonModule
  loaded.set(path, addon)
  return addon
}

let anyModule: AddonModule | null | undefined

/** The first binary that loads, without a device opened; null if there is none. */
export function addonModule(): AddonModule | null {
  if (anyModule !== undefined) return anyModule
  for (const candidate of candidates())
    try {
      if (!('path' in candidate)) continue
      anyModule = load(candidate.path)
      return anyModule
    } catch {
      // A binary for another system is passed over here, and loadNative explains it.
    }
  anyModule = null
  return null
}

/** Opens a device of the first binary that works. Throws ValueError if a setting of the environment is invalid. */
export function loadNative(): Loaded {
  readSettings()
  if (!inNode) return { unavailable: withoutNode, attempts: [] }
  const attempts: Attempt[] = []
  for (const candidate of candidates()) {
    const { source } = candidate
    if (!('path' in candidate)) {
      attempts.push({ source, path: null, failure: candidate.absent() })
      continue
    }
    const { path } = candidate
    try {
      const opened = open(source, path)
      attempts.push({ source, path, failure: null })
      return { ...opened, attempts }
    } catch (error) {
      attempts.push({ source, path, failure: (error as Error).message })
    }
  }
  const unavailable = attempts.map(({ source, path, failure }) => `${source}${path ? ` (${path})` : ''}: ${failure}`)
  return { unavailable: unavailable.join('; '), attempts }
}
