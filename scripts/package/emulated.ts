/**
 * The package for arm64 on an arm64 Node, in qemu-user: training, and PyTorch's golden cases. It needs qemu-user and
 * the C and C++ libraries of that processor (libc6-arm64-cross, libstdc++6-arm64-cross). If they are missing, it says
 * so and fails.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Project } from './project.js'
import type { Scenario, Setting } from './scenario.js'
import { tool } from './tools.js'

const libraries = '/usr/aarch64-linux-gnu'

function onArm(project: Project, env: NodeJS.ProcessEnv, ...args: readonly string[]): string {
  if (!existsSync(join(libraries, 'lib/libstdc++.so.6')))
    throw new Error(`there are no libraries of arm64: install qemu-user, libc6-arm64-cross and libstdc++6-arm64-cross`)
  // The address space is limited (-R), because qemu keeps a record of each page that the allocator reserves, tens of
  // gigabytes in the end.
  const command = ['-R', '0x1800000000', '-L', libraries, tool('node-arm64'), ...args]
  const { status, stdout, stderr, error } = spawnSync('qemu-aarch64', command, {
    cwd: project.folder,
    encoding: 'utf8',
    env: { ...env, FIRESTEEL_REQUIRE: 'native' },
  })
  if (status !== 0) throw new Error(`${args.join(' ')}: ${error?.message ?? ''}${stdout}${stderr}`.slice(-2000))
  return stdout.trim()
}

/** Installs as if this machine had that processor, and that C library of Linux, or Windows. */
export function installedFor(
  { work, registry }: Setting,
  cpu: 'x64' | 'arm64',
  system: 'glibc' | 'musl' | 'windows',
): Project {
  const project = new Project(work, registry)
  const os = system === 'windows' ? ['--os=win32'] : ['--os=linux', `--libc=${system}`]
  project.npm('install', 'firesteel', `--cpu=${cpu}`, ...os)
  return project
}

/** The path below tests/goldens/data. */
export const goldenFolders = ['basic', 'breadth', 'volumes']

/** Puts PyTorch's golden cases into a project as goldens.mjs: the checkout's own sources, over the installed binary. */
export function bundleGoldens(project: Project, { root }: Setting): void {
  const main = join(root, 'tests/goldens/main.ts')
  const esbuild = createRequire(import.meta.url).resolve('esbuild/bin/esbuild')
  const options = ['--bundle', '--platform=node', '--format=esm', '--log-level=error', '--external:cli-progress']
  const { status, stderr } = spawnSync(
    esbuild,
    [main, ...options, `--outfile=${join(project.folder, 'goldens.mjs')}`],
    { cwd: root, encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(stderr)
}

export function emulated(setting: Setting): readonly Scenario[] {
  return [
    {
      name: 'arm64, emulated',
      run() {
        const told = onArm(installedFor(setting, 'arm64', 'glibc'), {}, 'use.mjs')
        if (!told.startsWith('native kernels on the CPU: neon,')) throw new Error(told)
        return told
      },
    },
    {
      name: 'arm64, emulated, goldens',
      run() {
        const project = installedFor(setting, 'arm64', 'glibc')
        bundleGoldens(project, setting)
        const last = (folder: string) => {
          const env = { FIRESTEEL_TEST_DEVICES: 'cpu', GOLDENS_DIR: join(setting.root, 'tests/goldens/data', folder) }
          return onArm(project, env, 'goldens.mjs').split('\n').at(-1) ?? ''
        }
        return goldenFolders.map(last).join('; ')
      },
    },
  ]
}
