/**
 * The package for arm64 on an arm64 Node, in qemu-user: training, and PyTorch's golden cases. It needs qemu-user and the C and C++
 * libraries of that processor (libc6-arm64-cross, libstdc++6-arm64-cross); where they are not, says so and fails.
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
  // Few addresses (-R): qemu keeps a record of each page that the allocator reserves, tens of gigabytes in the end.
  const command = ['-R', '0x1800000000', '-L', libraries, tool('node-arm64'), ...args]
  const { status, stdout, stderr, error } = spawnSync('qemu-aarch64', command, {
    cwd: project.folder,
    encoding: 'utf8',
    env: { ...env, FIRESTEEL_REQUIRE: 'native' },
  })
  if (status !== 0) throw new Error(`${args.join(' ')}: ${error?.message ?? ''}${stdout}${stderr}`.slice(-2000))
  return stdout.trim()
}

/** Installed as if this machine were of that processor. */
function installedForArm({ work, registry }: Setting): Project {
  const project = new Project(work, registry)
  project.npm('install', 'firesteel', '--cpu=arm64', '--os=linux', '--libc=glibc')
  return project
}

export function emulated(setting: Setting): readonly Scenario[] {
  return [
    {
      name: 'arm64, emulated',
      run() {
        const told = onArm(installedForArm(setting), {}, 'use.mjs')
        if (!told.startsWith('native kernels on the CPU: neon,')) throw new Error(told)
        return told
      },
    },
    {
      name: 'arm64, emulated, goldens',
      run() {
        const project = installedForArm(setting)
        const main = join(setting.root, 'tests/goldens/main.ts')
        const esbuild = createRequire(import.meta.url).resolve('esbuild/bin/esbuild')
        // The checkout's own sources, over the binary that is installed beside them.
        const bundle = [
          main,
          '--bundle',
          '--platform=node',
          '--format=esm',
          '--log-level=error',
          '--external:cli-progress',
        ]
        const { status, stderr } = spawnSync(esbuild, [...bundle, `--outfile=${join(project.folder, 'goldens.mjs')}`], {
          cwd: setting.root,
          encoding: 'utf8',
        })
        if (status !== 0) throw new Error(stderr)
        const last = (folder: string) => {
          const env = { FIRESTEEL_TEST_DEVICES: 'cpu', GOLDENS_DIR: join(setting.root, 'tests/goldens/data', folder) }
          return onArm(project, env, 'goldens.mjs').split('\n').at(-1) ?? ''
        }
        return ['basic', 'breadth'].map(last).join('; ')
      },
    },
  ]
}
