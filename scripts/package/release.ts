/**
 * npm run release: whether what stands in build/packages may be published as this version, and with --publish does so. It
 * checks the tree, the version and its tag, the changelog, every package, and that npm can sign where they were built.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { packagedPlatforms, packageOf } from '../../lib/backend/native/platforms.js'
import { checkBinary } from './check-binary.js'
import { exported, mainManifest, manifest, packagesFolder, platformManifest, writeMainPackage } from './manifests.js'
import { npmProgram } from './tools.js'

const root = fileURLToPath(new URL('../../', import.meta.url))

function git(...args: readonly string[]): string {
  return spawnSync('git', args, { cwd: root, encoding: 'utf8' }).stdout.trim()
}

/** The text below `## VERSION` in the changelog; null where there is none. */
export function notesOf(changelog: string, version: string): string | null {
  const sections = changelog.split(/^## /m).slice(1)
  const section = sections.find((text) => text.split('\n', 1)[0]?.replace(/[[\]]/g, '').split(' ', 1)[0] === version)
  const notes = section?.split('\n').slice(1).join('\n').trim()
  return notes ? notes : null
}

function same(path: string, wanted: unknown): boolean {
  return existsSync(path) && readFileSync(path, 'utf8') === `${JSON.stringify(wanted, null, 2)}\n`
}

/** All that stands in the way. */
function faults(publishing: boolean): readonly string[] {
  const { version } = manifest()
  const found: string[] = []
  const check = (condition: boolean, fault: string) => condition || found.push(fault)
  const parts = /^(\d+)\.(\d+)\.(\d+)(-[\w.]+)?$/
  check(parts.test(version), `the version ${version} is none of semver`)
  check(git('status', '--porcelain') === '', 'the tree has changes that are not committed')
  check(
    git('tag', '--points-at', 'HEAD').split('\n').includes(`v${version}`),
    `the commit has no tag v${version}: git tag -s v${version}`,
  )
  const changelog = readFileSync(join(root, 'CHANGELOG.md'), 'utf8')
  check(notesOf(changelog, version) !== null, `CHANGELOG.md has nothing below "## ${version}"`)
  for (const platform of packagedPlatforms) {
    const folder = join(packagesFolder, packageOf(platform))
    if (!same(join(folder, 'package.json'), platformManifest(platform))) {
      found.push(`${folder} is not there, or not of this version: npm run prebuild`)
      continue
    }
    try {
      checkBinary(join(folder, 'firesteel.node'), platform, exported)
    } catch (error) {
      found.push((error as Error).message)
    }
  }
  const { repository } = mainManifest()
  check(
    typeof (repository as { url?: unknown } | undefined)?.url === 'string',
    'package.json has no repository, which npm compares with what signs the provenance',
  )
  if (publishing)
    check(
      process.env['ACTIONS_ID_TOKEN_REQUEST_URL'] !== undefined,
      'provenance is signed by the workflow only (.github/workflows/packages.yml): push the tag',
    )
  return found
}

function publish(folder: string): void {
  const args = [npmProgram(), 'publish', folder, '--provenance', '--access', 'public', '--ignore-scripts']
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' })
  if (status !== 0) throw new Error(`npm publish ${folder} failed; what was published before it stays`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const publishing = process.argv.includes('--publish')
  const found = faults(publishing)
  for (const fault of found) console.error(fault)
  if (found.length > 0) process.exitCode = 1
  else {
    writeMainPackage()
    // The main package last, because it names the others.
    const folders = [...packagedPlatforms.map((platform) => packageOf(platform)), 'firesteel']
    if (publishing) for (const name of folders) publish(join(packagesFolder, name))
    console.log(`${publishing ? 'published' : 'ready'}: ${manifest().version}, ${folders.join(', ')}`)
  }
}
