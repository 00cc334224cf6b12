/**
 * The package for Windows on a Node for Windows, in Wine: training, and PyTorch's golden cases. It needs wine (Debian's
 * packages wine and wine64). Wine has another memory manager than Windows, so only numbers and loading are shown.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { bundleGoldens, goldenFolders, installedFor } from './emulated.js'
import { LeftOut, type Scenario, type Setting } from './scenario.js'
import { tool } from './tools.js'

/**
 * Runs Wine, whose own messages are off, with a folder of its own as the system's disk. The output goes through a file,
 * because Node in Wine does not know the sockets that a parent process reads from.
 */
function wine(work: string, cwd: string, env: NodeJS.ProcessEnv, ...args: readonly string[]): string {
  const path = join(work, 'wine-output')
  const file = openSync(path, 'w')
  const { status, error } = spawnSync('wine', args, {
    cwd,
    stdio: ['ignore', file, file],
    env: { ...process.env, ...env, WINEDEBUG: '-all', WINEPREFIX: join(work, 'wine'), FIRESTEEL_REQUIRE: 'native' },
  })
  closeSync(file)
  const output = readFileSync(path, 'utf8').replaceAll('\r', '').trim()
  if (status !== 0) throw new Error(`${args.join(' ')}: ${error?.message ?? ''}${output}`.slice(-2000))
  return output
}

export function onWine(setting: Setting): readonly Scenario[] {
  const { work, root, isa } = setting
  const installed = () => {
    if (spawnSync('wine', ['--version']).status !== 0) throw new LeftOut('there is no Wine: install wine and wine64')
    // Node refuses the Windows 7 that Wine says to be by default.
    if (!existsSync(join(work, 'wine'))) wine(work, work, {}, 'winecfg', '-v', 'win10')
    return installedFor(setting, 'x64', 'windows')
  }
  return [
    {
      name: 'Windows, in Wine',
      run() {
        const told = wine(work, installed().folder, {}, tool('node-windows'), 'use.mjs')
        if (!told.startsWith(`native kernels on the CPU: ${isa},`)) throw new Error(told)
        return told
      },
    },
    {
      name: 'Windows, in Wine, goldens',
      run() {
        const project = installed()
        bundleGoldens(project, setting)
        const last = (folder: string) => {
          // The drive z: of Wine is the root folder.
          const data = `z:${join(root, 'tests/goldens/data', folder)}`.replaceAll('/', '\\')
          const env = { FIRESTEEL_TEST_DEVICES: 'cpu', GOLDENS_DIR: data }
          return wine(work, project.folder, env, tool('node-windows'), 'goldens.mjs').split('\n').at(-1) ?? ''
        }
        return goldenFolders.map(last).join('; ')
      },
    },
  ]
}
