/** Finds out why the package of this platform is not installed, from the files around this one. */
import { nodeModule } from '../../core/host.js'
import { packagedPlatforms, packageOf } from './platforms.js'

const { existsSync, readFileSync } = nodeModule('node:fs')
const { dirname, join } = nodeModule('node:path')

export interface Surroundings {
  /** The platform, such as linux-x64. */
  readonly platform: string
  /** The folder of firesteel; null if its code was bundled into another file. */
  readonly root: string | null
  /** The other platforms whose packages are installed. */
  readonly others: readonly string[]
  /** The lock file, and the platforms whose packages it names. */
  readonly lock: { readonly path: string; readonly platforms: readonly string[] } | null
  /** Whether Yarn's Plug'n'Play resolves modules. */
  readonly pnp: boolean
}

/** Package managers by the names of their lock files. */
const managers: { readonly [file: string]: { readonly lines: RegExp; readonly anew: string; readonly omit: string } } =
  {
    'package-lock.json': {
      lines: /"(?:[^"]*\/)?node_modules\/@firesteel\/([a-z\d-]+)": \{/g,
      anew: 'remove node_modules and package-lock.json, then run `npm install` on this platform',
      omit: 'npm install --include=optional, and remove omit=optional from .npmrc',
    },
    'pnpm-lock.yaml': {
      lines: /^ +'@firesteel\/([a-z\d-]+)@/gm,
      anew: 'name this platform in supportedArchitectures, then run `pnpm install`',
      omit: 'pnpm install without --no-optional, with this platform in supportedArchitectures',
    },
    'yarn.lock': {
      lines: /^"@firesteel\/([a-z\d-]+)@/gm,
      anew: 'name this platform in supportedArchitectures (.yarnrc.yml), then run `yarn install`',
      omit: 'yarn install without --ignore-optional, with this platform in supportedArchitectures',
    },
  }

function lockAbove(start: string): Surroundings['lock'] {
  for (let folder = start; ; folder = dirname(folder)) {
    for (const [file, { lines }] of Object.entries(managers)) {
      const path = join(folder, file)
      if (!existsSync(path)) continue
      const names = [...readFileSync(path, 'utf8').matchAll(lines)].map(([, name = '']) => name)
      return { path, platforms: [...new Set(names)].filter((name) => !name.startsWith('cuda')) }
    }
    if (folder === dirname(folder)) return null
  }
}

/** The packages and builds beside the library. `resolve` finds packages as Node does from firesteel's own files. */
export function surroundings(platform: string, root: string | null, resolve: (name: string) => string): Surroundings {
  const isThere = (name: string) => {
    try {
      return resolve(packageOf(name)) !== ''
    } catch {
      return false
    }
  }
  return {
    platform,
    root,
    others: packagedPlatforms.filter((name) => name !== platform && isThere(name)),
    // A clone's own lock file is ignored, because it says nothing about an installation.
    lock: root === null || !/[\\/]node_modules[\\/]/.test(root) ? null : lockAbove(dirname(root)),
    pnp: process.versions['pnp'] !== undefined,
  }
}

/** The fault and its remedy, as a text. */
export function whyAbsent({ platform, root, others, lock, pnp }: Surroundings): string {
  if (root === null)
    return (
      'a bundler put firesteel into another file and left the binary behind: make it external (Next.js: ' +
      "serverExternalPackages: ['firesteel']; esbuild: --external:firesteel; webpack: externals: ['firesteel']) and install it " +
      'where the bundle runs'
    )
  if (!packagedPlatforms.some((name) => name === platform))
    return `there is none for this platform, only for ${packagedPlatforms.join(', ')}`
  const [other] = others
  if (other !== undefined) {
    const libc = other.replace('-musl', '') === platform.replace('-musl', '')
    const what = libc ? 'another C library (glibc against musl)' : 'another platform'
    return (
      `it is not installed, but ${packageOf(other)} is, for ${what}: node_modules came from another machine or image; remove ` +
      'it and install in this one'
    )
  }
  if (pnp)
    return "it is not installed: name this platform in supportedArchitectures (.yarnrc.yml), then run `yarn install`; Yarn's Plug'n'Play unpacks it by itself"
  if (lock !== null) {
    const manager = managers[lock.path.replace(/^.*[\\/]/, '')]
    const locked = lock.platforms.join(', ')
    if (manager !== undefined && lock.platforms.length > 0 && !lock.platforms.includes(platform))
      return (
        `it is not installed, because ${lock.path} names packages of ${locked} only: it was written on another platform ` +
        `(npm/cli issue 4828); ${manager.anew}`
      )
    if (manager !== undefined && lock.platforms.includes(platform))
      return `it is not installed, though ${lock.path} names it: optional dependencies were left out; run ${manager.omit}`
  }
  if (!/[\\/]node_modules[\\/]/.test(root))
    return 'it is not installed, because this is a checkout and not an installation'
  return 'it is not installed: optional dependencies were left out (npm: --omit=optional; pnpm: --no-optional; Yarn: --ignore-optional); install without that option'
}
