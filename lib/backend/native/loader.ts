/**
 * Finds the addon's binary, opens it, and explains itself: which one, or why none.
 */
import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { packageRoot } from '../../core/package-root.js'
import { readSettings } from '../settings.js'
import { kernelNames } from '../table/index.js'
import type { AddonModule, CpuAddon } from './addon.js'

export interface NativeDescription {
  readonly available: boolean
  readonly path: string | null
  readonly isa: string | null
  readonly threads: number
  /** Why there are no native kernels, or null. */
  readonly reason: string | null
}

export type Loaded =
  | { readonly module: AddonModule; readonly addon: CpuAddon; readonly path: string }
  | { readonly unavailable: string }

const require = createRequire(import.meta.url)
const root = packageRoot()

/** Such as linux-x64, or linux-x64-musl where the C library is musl. */
export function platformName(): string {
  const name = `${process.platform}-${process.arch}`
  // Asking Node for a report takes ten milliseconds, so a machine without musl is not asked.
  if (process.platform !== 'linux' || !readdirSync('/lib').some((file) => file.startsWith('ld-musl-'))) return name
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
  return report?.header?.glibcVersionRuntime === undefined ? `${name}-musl` : name
}

/** Paths of the binaries that are there: a build of this checkout first, then what a package brings. */
function findBinaries(platform: string): readonly string[] {
  const paths = [`${root}/build/Release/firesteel.node`, `${root}/prebuilds/${platform}/firesteel.node`].filter(
    existsSync,
  )
  try {
    paths.push(require.resolve(`@firesteel/${platform}`))
  } catch {
    // The package of this platform is not installed.
  }
  return paths
}

function open(path: string): Loaded {
  const { isa: wanted, threads } = readSettings()
  const module = require(path) as AddonModule
  let addon: CpuAddon
  try {
    addon = module.open(wanted, threads ?? 0)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(wanted === null ? reason : `FIRESTEEL_ISA=${wanted}: ${reason}`)
  }
  if (addon.kernels.join() !== kernelNames.join())
    throw new Error('it was built from another table of kernels; build it anew with `npm run build:native`')
  return { module, addon, path }
}

let anyModule: AddonModule | null | undefined

/** The first binary that loads, without a device opened; null if there is none. */
export function addonModule(): AddonModule | null {
  if (anyModule !== undefined) return anyModule
  for (const path of findBinaries(platformName()))
    try {
      anyModule = require(path) as AddonModule
      return anyModule
    } catch {
      // It is for another system, which loadNative tells.
    }
  anyModule = null
  return null
}

/** Opens a device of the first binary that works. Throws ValueError where the environment makes no sense. */
export function loadNative(): Loaded {
  readSettings()
  const platform = platformName()
  const failures: string[] = []
  for (const path of findBinaries(platform)) {
    try {
      return open(path)
    } catch (error) {
      failures.push(`${path}: ${(error as Error).message}`)
    }
  }
  if (failures.length > 0) return { unavailable: failures.join('; ') }
  return {
    unavailable:
      `there is no binary for ${platform}: neither build/Release nor prebuilds/${platform} nor the package ` +
      `@firesteel/${platform} has one; \`npm run build:native\` builds it where a C++ compiler is`,
  }
}
