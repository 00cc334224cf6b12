/**
 * npm run check:package: the packages as users get them. It packs them, serves them from a registry on loopback, and
 * installs them in empty projects without scripts, with an empty home and nothing but node on the path. There it trains
 * on native kernels of the best instruction set of this machine. Usage: tsx scripts/package/check.ts [--built] [PATTERN
 * of names]. --built leaves out the platforms whose packages were not built.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { packageOf, platformName } from '../../lib/backend/native/platforms.js'
import { browsers } from './browser.js'
import { bundles } from './bundles.js'
import { clones } from './clones.js'
import { emulated } from './emulated.js'
import { installations } from './installations.js'
import { builtPlatforms, cudaPackage, isCudaBuilt, manifest, packagesFolder, writeMainPackage } from './manifests.js'
import { onMusl } from './musl.js'
import { startRegistry } from './registry.js'
import { LeftOut, type Scenario, type Setting } from './scenario.js'
import { npmProgram, tool } from './tools.js'
import { onWine } from './wine.js'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** Packs a package. Returns its tarball, and its bytes packed and unpacked. */
function pack(folder: string, to: string) {
  const npm = [npmProgram(), 'pack', folder, '--json', '--ignore-scripts', '--pack-destination', to]
  const { status, stdout, stderr } = spawnSync(process.execPath, npm, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`npm pack ${folder}: ${stderr}`)
  const [packed] = JSON.parse(stdout) as readonly { filename: string; size: number; unpackedSize: number }[]
  if (packed === undefined) throw new Error(`npm pack ${folder} said nothing`)
  return { path: join(to, packed.filename), size: packed.size, unpacked: packed.unpackedSize }
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(2)} MB`

/** The main package and the package for this platform. */
function contents(tarballs: readonly ReturnType<typeof pack>[]): readonly Scenario[] {
  const [main, platform] = tarballs as [ReturnType<typeof pack>, ReturnType<typeof pack>]
  const lint = (name: string, program: string, ...args: readonly string[]) => ({
    name,
    run: () => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
        encoding: 'utf8',
        env: { ...process.env, NO_COLOR: '1' },
      })
      if (status !== 0) throw new Error(`${stdout}${stderr}`)
      return 'clean'
    },
  })
  return [
    {
      name: 'sizes',
      run() {
        const unpacked = main.unpacked + platform.unpacked
        const told = `${megabytes(main.size)} and ${megabytes(platform.size)} packed, ${megabytes(unpacked)} unpacked`
        if (main.size > 1e6 || platform.size > 3e6 || unpacked > 15e6)
          throw new Error(`${told}, but at most 1 MB, 3 MB and 15 MB are allowed`)
        return told
      },
    },
    lint('publint', tool('publint'), main.path, '--strict'),
    lint('publint, platform', tool('publint'), platform.path, '--strict'),
    // The package has only ES modules, which require() accepts since Node 20.19. The profile knows both.
    lint('are the types wrong', tool('attw'), main.path, '--profile', 'esm-only'),
  ]
}

async function check(pattern: RegExp, onlyBuilt: boolean): Promise<boolean> {
  const platform = platformName()
  const folderOf = (name: string) => join(packagesFolder, packageOf(name))
  const built = builtPlatforms(onlyBuilt)
  const withCuda = isCudaBuilt()
  writeMainPackage(built, withCuda)
  const work = mkdtempSync(join(tmpdir(), 'firesteel-packages-'))
  const tarballs = join(work, 'tarballs')
  mkdirSync(tarballs)
  const main = join(packagesFolder, 'firesteel')
  const packed = [main, folderOf(platform)].map((folder) => pack(folder, tarballs))
  const registry = await startRegistry(work)
  let [passed, failed, leftOut] = [0, 0, 0]
  try {
    const ofCuda = withCuda ? [join(packagesFolder, cudaPackage)] : []
    for (const folder of [...built.map(folderOf), ...ofCuda, main]) registry.publish(folder)
    const isas = spawnSync('bash', ['scripts/native-tests.sh', '--list'], { cwd: root, encoding: 'utf8' }).stdout
    const setting: Setting = {
      work,
      registry,
      root,
      version: manifest().version,
      isa: isas.trim().split('\n').at(-1) ?? '',
    }
    const all = [contents(packed), installations(setting), bundles(setting), browsers(setting)]
      .concat(
        built.includes('linux-arm64') ? [emulated(setting)] : [],
        built.includes('linux-x64-musl') ? [onMusl(setting)] : [],
        built.includes('win32-x64') ? [onWine(setting)] : [],
        [clones(setting)],
      )
      .flat()
    for (const { name, run } of all.filter((scenario) => pattern.test(scenario.name))) {
      const started = performance.now()
      const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`.padStart(7)
      try {
        const detail = await run()
        passed++
        console.log(`ok     ${seconds()}  ${name.padEnd(28)} ${detail}`)
      } catch (error) {
        if (error instanceof LeftOut) {
          leftOut++
          console.log(`left out       ${name.padEnd(28)} ${error.message}`)
          continue
        }
        failed++
        console.log(`FAILED ${seconds()}  ${name.padEnd(28)} ${error instanceof Error ? error.message : error}`)
      }
    }
  } finally {
    await registry.stop()
    rmSync(work, { recursive: true, force: true })
  }
  console.log(`${leftOut === 0 ? '' : `${leftOut} left out, `}${passed} passed, ${failed} failed`)
  return failed === 0 && passed > 0
}

const [pattern = ''] = process.argv.slice(2).filter((argument) => argument !== '--built')
if (!(await check(new RegExp(pattern), process.argv.includes('--built')))) process.exitCode = 1
