/**
 * Makes the packages to publish in build/packages: one for each platform, one for the CUDA library, and the main one,
 * which depends on the others.
 */
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  neverRun,
  type PackagedPlatform,
  packagedPlatforms,
  packageOf,
  platformName,
} from '../../lib/backend/native/platforms.js'
import { targets } from './platforms.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
export const packagesFolder = join(root, 'build/packages')

/**
 * The two functions that a binary exports. Node provides functions of Node, and all others must be inside the binary.
 */
export const exported = ['napi_register_module_v1', 'node_api_module_get_api_version_v1']

/** The platform of the CUDA library, and its package, under the name that lib/backend/cuda/device.ts looks for. */
export const cudaPlatform = 'linux-x64' satisfies PackagedPlatform
export const cudaPackage = packageOf(`cuda-${cudaPlatform}`)
/** The one function that it exports. */
export const cudaExported = ['firesteel_cuda']

interface Manifest {
  readonly [field: string]: unknown
  readonly version: string
  readonly files: readonly string[]
  readonly scripts?: { readonly [name: string]: string }
}

export const manifest = () => JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest

/** Fields that name the package's owner, the same in all packages. */
const shared = ['version', 'license', 'repository', 'author', 'homepage', 'bugs', 'engines']
/** Files that only a build needs. */
const ofCheckouts = ['scripts', 'devDependencies', 'gypfile', 'binary', 'files', 'private']

export function platformManifest(platform: PackagedPlatform): { readonly [field: string]: unknown } {
  return binaryManifest(packageOf(platform), 'The native kernels of firesteel', platform, 'firesteel.node')
}

export function cudaManifest(): { readonly [field: string]: unknown } {
  return binaryManifest(cudaPackage, 'The kernels of firesteel for NVIDIA GPUs', cudaPlatform, 'firesteel_cuda.so')
}

function binaryManifest(name: string, what: string, platform: PackagedPlatform, file: string) {
  const { os, cpu, libc } = targets[platform]
  const main = manifest()
  const system = { linux: 'linux', darwin: 'macOS', win32: 'Windows' }[os]
  return {
    name,
    description: `${what} for ${system} on ${cpu}${libc === null ? '' : ` with ${libc}`}`,
    ...Object.fromEntries(shared.flatMap((field) => (main[field] === undefined ? [] : [[field, main[field]]]))),
    os: [os],
    cpu: [cpu],
    ...(libc === null ? {} : { libc: [libc] }),
    main: file,
    exports: { '.': `./${file}`, './package.json': './package.json' },
    files: [file, 'THIRD-PARTY.md'],
    // The system's loader cannot open a file in a zip archive (Yarn).
    preferUnplugged: true,
  }
}

function writeJson(path: string, value: unknown): void {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`)
}

/** Makes a platform's package of its binary. */
export function writePlatformPackage(platform: PackagedPlatform, binary: string): void {
  const untried = neverRun.includes(platform)
    ? ' No machine has run them yet: they were only compiled and checked.'
    : ''
  const what = `The native kernels of [firesteel](https://www.npmjs.com/package/firesteel) for this platform.${untried}`
  writeBinaryPackage(platformManifest(platform), what, binary)
}

/** Makes the package of the CUDA library. */
export function writeCudaPackage(binary: string): void {
  const what =
    'The kernels of [firesteel](https://www.npmjs.com/package/firesteel) for NVIDIA GPUs, which a program opens by ' +
    "`device('cuda')`. The driver (580 or later) is all that they need."
  writeBinaryPackage(cudaManifest(), what, binary)
}

function writeBinaryPackage(manifest: ReturnType<typeof cudaManifest>, what: string, binary: string): void {
  const { name, main } = manifest as { readonly name: string; readonly main: string }
  const folder = join(packagesFolder, name)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  writeJson(join(folder, 'package.json'), manifest)
  const readme = `# ${name}\n\n${what} Nothing to install by hand: firesteel brings it.\n`
  writeFileSync(join(folder, 'README.md'), readme)
  for (const file of ['LICENSE', 'THIRD-PARTY.md']) copyFileSync(join(root, file), join(folder, file))
  copyFileSync(binary, join(folder, main))
}

/**
 * The main package's manifest. It lacks what only a checkout needs, and adds the packages of platforms. A checkout's
 * manifest does not name these, because they are published along with it, and an installation in the checkout would
 * look for them too early.
 */
export function mainManifest(
  platforms: readonly PackagedPlatform[] = packagedPlatforms,
  withCuda = true,
): { readonly [field: string]: unknown } {
  const main = manifest()
  const kept = Object.entries(main).filter(([field]) => !ofCheckouts.includes(field))
  return {
    ...Object.fromEntries(kept),
    files: published(),
    optionalDependencies: Object.fromEntries(
      [...platforms.map(packageOf), ...(withCuda ? [cudaPackage] : [])].map((name) => [name, main.version]),
    ),
  }
}

/** Files and folders of the main package beside package.json. */
function published(): readonly string[] {
  return manifest().files.filter((file) => !file.startsWith('build/'))
}

/**
 * Makes the main package from the result of `npm run build:dist`. It depends on the packages of these platforms, and of
 * CUDA unless told otherwise.
 */
export function writeMainPackage(platforms?: readonly PackagedPlatform[], withCuda = true): void {
  if (!existsSync(join(root, 'dist/index.js'))) throw new Error('there is no dist: run `npm run build:dist`')
  const folder = join(packagesFolder, 'firesteel')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  writeJson(join(folder, 'package.json'), mainManifest(platforms, withCuda))
  for (const file of published()) cpSync(join(root, file), join(folder, file), { recursive: true })
}

/**
 * The platforms whose packages exist. Throws if one is missing. If `onlyBuilt` is set, it throws only if this
 * platform's package is missing, and prints which others are missing.
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

/** Whether the package of the CUDA library is there; says so where it is not, because few machines have nvcc. */
export function isCudaBuilt(): boolean {
  if (existsSync(join(packagesFolder, cudaPackage, 'firesteel_cuda.so'))) return true
  console.log(`left out, because not built: ${cudaPackage} (\`npm run prebuild -- cuda\`, where nvcc is)`)
  return false
}
