/** The packages as they are published, in build/packages: one for each platform, and the main one, which names them. */
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  type PackagedPlatform,
  packagedPlatforms,
  packageOf,
  platformName,
} from '../../lib/backend/native/platforms.js'
import { targets } from './platforms.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
export const packagesFolder = join(root, 'build/packages')

/** The two functions that a binary exports. Functions of Node come from Node, and all others must be within. */
export const exported = ['napi_register_module_v1', 'node_api_module_get_api_version_v1']

interface Manifest {
  readonly [field: string]: unknown
  readonly version: string
  readonly files: readonly string[]
  readonly scripts?: { readonly [name: string]: string }
}

export const manifest = () => JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest

/** Fields that say whose package it is, the same in all. */
const shared = ['version', 'license', 'repository', 'author', 'homepage', 'bugs', 'engines']
/** Only for who builds. */
const ofCheckouts = ['scripts', 'devDependencies', 'gypfile', 'binary', 'files', 'private']

export function platformManifest(platform: PackagedPlatform): { readonly [field: string]: unknown } {
  const { os, cpu, libc } = targets[platform]
  const main = manifest()
  return {
    name: packageOf(platform),
    description: `The native kernels of firesteel for ${os} on ${cpu} with ${libc}`,
    ...Object.fromEntries(shared.flatMap((field) => (main[field] === undefined ? [] : [[field, main[field]]]))),
    os: [os],
    cpu: [cpu],
    libc: [libc],
    main: 'firesteel.node',
    exports: { '.': './firesteel.node', './package.json': './package.json' },
    files: ['firesteel.node', 'THIRD-PARTY.md'],
    // No zip archive holds what the system's loader opens (Yarn).
    preferUnplugged: true,
  }
}

function writeJson(path: string, value: unknown): void {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`)
}

/** Makes a package of a binary. */
export function writePlatformPackage(platform: PackagedPlatform, binary: string): void {
  const folder = join(packagesFolder, packageOf(platform))
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  writeJson(join(folder, 'package.json'), platformManifest(platform))
  writeFileSync(
    join(folder, 'README.md'),
    `# ${packageOf(platform)}\n\nThe native kernels of [firesteel](https://www.npmjs.com/package/firesteel) for this ` +
      'platform. Nothing to install by hand: firesteel brings it.\n',
  )
  for (const file of ['LICENSE', 'THIRD-PARTY.md']) copyFileSync(join(root, file), join(folder, file))
  copyFileSync(binary, join(folder, 'firesteel.node'))
}

/**
 * The main package's manifest: without what only a checkout has, and with the packages of platforms, which the manifest of a
 * checkout does not name, because they are published with it, and an installation in the checkout would look for them before.
 */
export function mainManifest(platforms: readonly PackagedPlatform[] = packagedPlatforms): {
  readonly [field: string]: unknown
} {
  const main = manifest()
  const kept = Object.entries(main).filter(([field]) => !ofCheckouts.includes(field))
  return {
    ...Object.fromEntries(kept),
    files: published(),
    optionalDependencies: Object.fromEntries(platforms.map((platform) => [packageOf(platform), main.version])),
  }
}

/** Files and folders of the main package beside package.json. */
function published(): readonly string[] {
  return manifest().files.filter((file) => !file.startsWith('build/'))
}

/** Makes the main package of what `npm run build:dist` built, with the packages of these platforms. */
export function writeMainPackage(platforms?: readonly PackagedPlatform[]): void {
  if (!existsSync(join(root, 'dist/index.js'))) throw new Error('there is no dist: run `npm run build:dist`')
  const folder = join(packagesFolder, 'firesteel')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  writeJson(join(folder, 'package.json'), mainManifest(platforms))
  for (const file of published()) cpSync(join(root, file), join(folder, file), { recursive: true })
}

/**
 * The platforms whose packages are there. Throws where one is missing; with `onlyBuilt` only where that of this platform is, and
 * says which others are.
 */
export function builtPlatforms(onlyBuilt: boolean): readonly PackagedPlatform[] {
  const missing = packagedPlatforms.filter(
    (platform) => !existsSync(join(packagesFolder, packageOf(platform), 'firesteel.node')),
  )
  if (missing.length > 0 && (!onlyBuilt || missing.some((platform) => platform === platformName())))
    throw new Error(`there is no package for ${missing.join(', ')}: run \`npm run prebuild\``)
  if (missing.length > 0) console.log(`left out, because not built: ${missing.join(', ')}`)
  return packagedPlatforms.filter((platform) => !missing.includes(platform))
}
