/** Installations by npm, pnpm and Yarn, on each Node, and how programs reach the library from there. */
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { packageOf, platformName } from '../../lib/backend/native/platforms.js'
import { Project } from './project.js'
import { expectNative, installed, type Scenario, type Setting } from './scenario.js'
import { type ToolName, tool } from './tools.js'

const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc')

function onNode(setting: Setting, name: ToolName & `node-${number}`): Scenario {
  return {
    name,
    run() {
      const project = installed(setting, tool(name))
      const trained = expectNative(project.run('use.mjs'), setting)
      expectNative(project.run('use.cjs'), setting)
      expectNative(project.run('workers.mjs'), setting)
      return `${project.run('--version')}, import, require and five workers; ${trained}`
    },
  }
}

/** The declarations, as TypeScript finds them by one of its ways to resolve modules. */
function underTypeScript(setting: Setting, module: string, moduleResolution: string): Scenario {
  return {
    name: `TypeScript, ${moduleResolution}`,
    run() {
      const project = installed(setting)
      project.write('package.json', JSON.stringify({ ...JSON.parse(project.read('package.json')), type: 'module' }))
      // The declarations name types of Node's own.
      project.npm('install', '--save-dev', '@types/node@20')
      const lib = ['es2023', 'esnext.disposable']
      const options = { noEmit: true, strict: true, target: 'es2022', lib, types: ['node'] }
      const compilerOptions = { ...options, module, moduleResolution }
      project.write('tsconfig.json', JSON.stringify({ compilerOptions, files: ['types.ts'] }))
      project.run(compiler)
      return 'compiles, and refuses what does not fit'
    },
  }
}

const pnp = (project: Project, setting: Setting) => {
  project.write('.yarnrc.yml', 'nodeLinker: pnp\n')
  project.write('yarn.lock', '')
  project.run(tool('yarn'), 'add', 'firesteel')
  return expectNative(project.run('-r', './.pnp.cjs', '--loader', './.pnp.loader.mjs', 'use.mjs'), setting)
}

export function installations(setting: Setting): readonly Scenario[] {
  const { work, registry } = setting
  const empty = () => new Project(work, registry)
  return [
    {
      name: 'npm install',
      run() {
        const project = empty()
        const started = performance.now()
        project.npm('install', 'firesteel')
        const seconds = ((performance.now() - started) / 1000).toFixed(1)
        const bytes = spawnSync('du', ['-sk', join(project.folder, 'node_modules')], { encoding: 'utf8' }).stdout
        const size = `${(Number.parseInt(bytes, 10) / 1000).toFixed(1)} MB with all it needs`
        project.run('node_modules/firesteel/dist/cli/main.js', 'doctor')
        return `${seconds} s, ${size}; ${expectNative(project.run('use.mjs'), setting)}`
      },
    },
    ...(['node-20', 'node-22', 'node-24', 'node-26'] as const).map((name) => onNode(setting, name)),
    {
      name: 'Bun',
      run() {
        const project = installed(setting)
        const run = (...args: readonly string[]) => project.runBy(tool('bun'), ...args)
        const trained = expectNative(run('use.mjs'), setting)
        expectNative(run('use.cjs'), setting)
        expectNative(run('workers.mjs'), setting)
        run('node_modules/firesteel/dist/cli/main.js', 'doctor')
        return `Bun ${run('--version')}, import, require, five workers and the doctor; ${trained}`
      },
    },
    {
      name: 'two copies',
      run() {
        const [one, other] = [installed(setting), installed(setting)]
        return expectNative(one.run('two.mjs', one.folder, other.folder), setting)
      },
    },
    underTypeScript(setting, 'node16', 'node16'),
    underTypeScript(setting, 'nodenext', 'nodenext'),
    underTypeScript(setting, 'esnext', 'bundler'),
    {
      name: 'pnpm',
      run() {
        const project = empty()
        project.run(tool('pnpm'), 'add', 'firesteel', '--ignore-scripts')
        return expectNative(project.run('use.mjs'), setting)
      },
    },
    {
      name: 'Yarn, node_modules',
      run() {
        const project = empty()
        project.write('.yarnrc.yml', 'nodeLinker: node-modules\n')
        project.write('yarn.lock', '')
        project.run(tool('yarn'), 'add', 'firesteel')
        return expectNative(project.run('use.mjs'), setting)
      },
    },
    { name: "Yarn, Plug'n'Play", run: () => pnp(empty(), setting) },
    {
      name: 'npm --omit=optional',
      run() {
        const project = empty()
        project.npm('install', 'firesteel', '--omit=optional')
        const { status, output } = project.try({}, 'use.mjs')
        if (status !== 0 || !output.includes('reference kernels in TypeScript')) throw new Error(output)
        const told = `${packageOf(platformName())}: it is not installed, though `
        if (!output.includes(told) || !output.includes('npm install --include=optional')) throw new Error(output)
        const doctor = project.try({}, 'node_modules/firesteel/dist/cli/main.js', 'doctor')
        if (doctor.status !== 1) throw new Error(`doctor exits ${doctor.status}: ${doctor.output}`)
        return 'the reference backend, with the reason; the doctor exits 1'
      },
    },
  ]
}
