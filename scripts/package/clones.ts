/**
 * Clones of the repository, as for git dependencies: with a compiler by node-gyp and by cmake-js, and without a
 * compiler.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { Project } from './project.js'
import { expectNative, type Scenario, type Setting } from './scenario.js'
import { npmProgram } from './tools.js'

function must(folder: string, env: NodeJS.ProcessEnv, program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd: folder, encoding: 'utf8', env })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? ''}${stdout}${stderr}`)
  return `${stdout}${stderr}`
}

export function clones(setting: Setting): readonly Scenario[] {
  const { work, registry, root, version } = setting
  const { FIRESTEEL_REQUIRE: _, ...env } = process.env
  let made: string | null = null
  /** One clone for all, with everything that it needs to build. */
  const clone = (): string => {
    if (made !== null) return made
    const folder = mkdtempSync(join(work, 'clone-'))
    must(work, env, 'git', 'clone', '--quiet', root, folder)
    must(folder, env, process.execPath, npmProgram(), 'ci', '--ignore-scripts', '--no-audit', '--no-fund')
    made = folder
    return folder
  }
  /** Installs like npm with a git dependency: what the clone packs, in a project. */
  const project = (folder: string): Project => {
    const user = new Project(work, registry)
    must(folder, env, process.execPath, npmProgram(), 'pack', '--ignore-scripts', '--pack-destination', user.folder)
    user.npm('install', '--omit=optional', `./firesteel-${version}.tgz`)
    return user
  }
  return [
    {
      name: 'clone without a compiler',
      run() {
        const folder = clone()
        const bin = mkdtempSync(join(work, 'bin-'))
        for (const name of ['node', 'sh', 'env'])
          symlinkSync(name === 'node' ? process.execPath : `/bin/${name}`, join(bin, name))
        const { CXX: _cxx, ...plain } = env
        const told = must(folder, { ...plain, PATH: bin }, process.execPath, 'scripts/prepare.mjs')
        if (!told.includes('no C++ compiler found')) throw new Error(told)
        const { status, output } = project(folder).try({}, 'use.mjs')
        if (status !== 0 || !output.includes('reference kernels in TypeScript')) throw new Error(output)
        return 'the reference backend, with the reason'
      },
    },
    {
      name: 'clone, by node-gyp',
      run() {
        const folder = clone()
        must(folder, env, process.execPath, 'scripts/prepare.mjs')
        return expectNative(project(folder).run('use.mjs'), setting)
      },
    },
    {
      name: 'clone, by cmake-js',
      run() {
        const folder = clone()
        rmSync(join(folder, 'build/Release'), { recursive: true, force: true })
        must(folder, env, process.execPath, npmProgram(), 'run', '--silent', 'build:cmake')
        must(folder, env, process.execPath, 'scripts/build-dist.mjs')
        return expectNative(project(folder).run('use.mjs'), setting)
      },
    },
  ]
}
