/**
 * npm run release: checks whether the contents of build/packages may be published as this version. It checks the tree,
 * the version and its tag, the changelog, every package, and whether npm can sign their provenance. Usage: npm run
 * release [-- --dry | --publish]
 *
 * --dry, the default, changes nothing outside build/packages: it lists what is missing, and lets npm pack the packages
 * as it would publish them. --publish publishes if nothing is missing.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type PackagedPlatform, packagedPlatforms, packageOf } from '../../lib/backend/native/platforms.js'
import { checkBinary } from './check-binary.js'
import {
  cudaExported,
  cudaManifest,
  cudaPackage,
  cudaPlatform,
  exported,
  mainManifest,
  manifest,
  packagesFolder,
  platformManifest,
  writeMainPackage,
} from './manifests.js'
import { npmProgram } from './tools.js'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** Everything that decides. */
export interface Facts {
  readonly version: string
  /** The changes that git reports, one file to a line. */
  readonly changed: string
  /** The tags of the commit. */
  readonly tags: readonly string[]
  readonly changelog: string
  readonly repository: unknown
  /** The fault of a platform's package, or null. */
  readonly packages: { readonly [platform in PackagedPlatform]: string | null }
  /** The same of the CUDA library's. */
  readonly cuda: string | null
  readonly hasDist: boolean
  /** Whether npm can sign here what it publishes. */
  readonly signs: boolean
}

export interface Check {
  readonly what: string
  /** A text that says what is missing and what to do, or null. */
  readonly missing: string | null
}

/** The text below `## VERSION` in the changelog, or null. */
export function notesOf(changelog: string, version: string): string | null {
  const sections = changelog.split(/^## /m).slice(1)
  const section = sections.find((text) => text.split('\n', 1)[0]?.replace(/[[\]]/g, '').split(' ', 1)[0] === version)
  const notes = section?.split('\n').slice(1).join('\n').trim()
  return notes ? notes : null
}

export function checksOf(facts: Facts, publishing: boolean): readonly Check[] {
  const { version, changed, tags, changelog, repository, packages, cuda, hasDist, signs } = facts
  const check = (what: string, holds: boolean, missing: string): Check => ({ what, missing: holds ? null : missing })
  const { url } = (typeof repository === 'object' && repository !== null ? repository : {}) as { url?: unknown }
  const count = changed.split('\n').length
  return [
    check('version', /^(\d+)\.(\d+)\.(\d+)(-[\w.]+)?$/.test(version), `${version} is none of semver`),
    check('tree', changed === '', `${count} ${count === 1 ? 'file has' : 'files have'} changes: commit them`),
    check('tag', tags.includes(`v${version}`), `the commit has none for this version: git tag -s v${version}`),
    check('changelog', notesOf(changelog, version) !== null, `CHANGELOG.md has nothing below "## ${version}"`),
    check(
      'repository',
      typeof url === 'string' && /^git\+https:\/\/.+\.git$/.test(url),
      'package.json names none that npm could hold against the signed provenance: ' +
        'npm pkg set repository.type=git repository.url=git+https://HOST/OWNER/firesteel.git',
    ),
    check('dist', hasDist, 'there is none: npm run build:dist'),
    ...packagedPlatforms.map((platform) => ({ what: packageOf(platform), missing: packages[platform] })),
    { what: cudaPackage, missing: cuda },
    ...(publishing
      ? [
          check(
            'provenance',
            signs,
            'only the workflow signs it (.github/workflows/packages.yml): push the tag instead',
          ),
        ]
      : []),
  ]
}

function git(...args: readonly string[]): string {
  const { status, error, stdout, stderr } = spawnSync('git', args, { cwd: root, encoding: 'utf8' })
  if (status !== 0) throw new Error(`git ${args.join(' ')}: ${error?.message ?? stderr.trim()}`)
  return stdout.trim()
}

function faultOf(
  what: string,
  manifest: ReturnType<typeof cudaManifest>,
  platform: PackagedPlatform,
  exported: readonly string[],
): string | null {
  const { name, main } = manifest as { readonly name: string; readonly main: string }
  const folder = join(packagesFolder, name)
  const own = join(folder, 'package.json')
  if (!existsSync(own)) return `it is not built: npm run prebuild -- ${what}`
  if (readFileSync(own, 'utf8') !== `${JSON.stringify(manifest, null, 2)}\n`)
    return `its package.json is of another version: npm run prebuild -- ${what}`
  try {
    checkBinary(join(folder, main), platform, exported)
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function factsHere(): Facts {
  return {
    version: manifest().version,
    changed: git('status', '--porcelain'),
    tags: git('tag', '--points-at', 'HEAD').split('\n'),
    changelog: readFileSync(join(root, 'CHANGELOG.md'), 'utf8'),
    repository: mainManifest()['repository'],
    packages: Object.fromEntries(
      packagedPlatforms.map((platform) => [
        platform,
        faultOf(platform, platformManifest(platform), platform, exported),
      ]),
    ) as Facts['packages'],
    cuda: faultOf('cuda', cudaManifest(), cudaPlatform, cudaExported),
    hasDist: existsSync(join(root, 'dist/index.js')),
    signs: process.env['ACTIONS_ID_TOKEN_REQUEST_URL'] !== undefined,
  }
}

/** Says in a few words what npm would publish of a package. */
function rehearse(name: string): string {
  const args = [npmProgram(), 'pack', join(packagesFolder, name), '--dry-run', '--json', '--ignore-scripts']
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`npm pack --dry-run ${name}: ${stderr}`)
  const [{ size, unpackedSize, entryCount } = {}] = JSON.parse(stdout) as readonly {
    readonly [count: string]: number
  }[]
  const megabytes = (bytes = 0) => `${(bytes / 1e6).toFixed(2)} MB`
  return `${name}: ${entryCount} files, ${megabytes(size)} packed, ${megabytes(unpackedSize)} unpacked`
}

function publish(name: string): void {
  const args = [npmProgram(), 'publish', join(packagesFolder, name), '--provenance', '--access', 'public']
  const { status } = spawnSync(process.execPath, [...args, '--ignore-scripts'], { stdio: 'inherit' })
  if (status !== 0) throw new Error(`npm publish ${name} failed; what was published before it stays`)
}

/** Returns whether nothing is missing. */
function release(args: readonly string[]): boolean {
  const unknown = args.filter((arg) => arg !== '--dry' && arg !== '--publish')
  if (unknown.length > 0 || args.length > 1)
    throw new Error(`the arguments are ${args.join(' ')}, but must be --dry, --publish or none`)
  const publishing = args[0] === '--publish'
  const facts = factsHere()
  const checks = checksOf(facts, publishing)
  for (const { what, missing } of checks)
    console.log(`${missing === null ? 'ok     ' : 'MISSING'}  ${what.padEnd(28)} ${missing ?? ''}`.trimEnd())
  const missing = checks.filter((each) => each.missing !== null)
  const built = packagedPlatforms.filter((platform) => facts.packages[platform] === null)
  if (facts.hasDist) writeMainPackage()
  // The main package comes last, because it names the others.
  const folders = [
    ...built.map(packageOf),
    ...(facts.cuda === null ? [cudaPackage] : []),
    ...(facts.hasDist ? ['firesteel'] : []),
  ]
  const ready = missing.length === 0
  if (!publishing) for (const name of folders) console.log(`npm would publish ${rehearse(name)}`)
  else if (ready) for (const name of folders) publish(name)
  const done = publishing ? 'published' : 'ready to be published'
  console.log(
    ready
      ? `${facts.version} is ${done}: ${folders.join(', ')}`
      : `${facts.version} is not ${done}, because ${missing.length} of ${checks.length} are missing: ${missing.map(({ what }) => what).join(', ')}`,
  )
  return ready
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    if (!release(process.argv.slice(2))) process.exitCode = 1
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}
