/** Programs made by a bundler: with firesteel left outside, as it should be, and with it inside. */
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Project } from './project.js'
import { expectNative, installed, type Scenario, type Setting } from './scenario.js'
import { tool } from './tools.js'

export const esbuild = createRequire(import.meta.url).resolve('esbuild/bin/esbuild')

export function bundle(project: Project, ...command: readonly string[]): void {
  const [program = '', ...args] = command
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: project.folder, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command.join(' ')}\n${stdout}${stderr}`)
}

export function bundles(setting: Setting): readonly Scenario[] {
  const byEsbuild = (project: Project, out: string, ...options: readonly string[]) =>
    bundle(
      project,
      esbuild,
      'use.mjs',
      '--bundle',
      '--platform=node',
      `--outfile=${out}`,
      '--log-level=error',
      ...options,
    )
  return [
    {
      name: 'esbuild, external',
      run() {
        const project = installed(setting)
        byEsbuild(project, 'out/a.mjs', '--format=esm', '--external:firesteel')
        return expectNative(project.run('out/a.mjs'), setting)
      },
    },
    {
      // The package is available where it was bundled; elsewhere nothing is.
      name: 'esbuild, inside',
      run() {
        const project = installed(setting)
        project.write('plain.mjs', "import { describeDevice } from 'firesteel'\nconsole.log(describeDevice())\n")
        const elsewhere = new Project(setting.work, setting.registry)
        for (const [format, out] of [
          ['esm', 'a.mjs'],
          ['cjs', 'a.cjs'],
        ] as const) {
          bundle(
            project,
            esbuild,
            'plain.mjs',
            '--bundle',
            '--platform=node',
            '--log-level=error',
            `--format=${format}`,
            `--outfile=${out}`,
          )
          expectNative(project.run(out), setting)
          elsewhere.write(out, project.read(out))
          const { status, output } = elsewhere.try({}, out)
          if (status !== 0 || !output.includes('reference kernels in TypeScript')) throw new Error(output)
          if (!/a bundler put firesteel into another file.*esbuild: --external:firesteel/.test(output))
            throw new Error(output)
        }
        return 'native beside the package; elsewhere the reference backend, with the reason'
      },
    },
    {
      name: 'webpack, external',
      run() {
        const project = installed(setting)
        project.write(
          'webpack.config.cjs',
          `module.exports = { mode: 'production', target: 'node20', entry: './use.mjs', externalsType: 'import',
            externals: [/^firesteel/], output: { path: ${JSON.stringify(join(project.folder, 'out'))}, filename: 'b.cjs' } }`,
        )
        bundle(project, process.execPath, tool('webpack'), '--config', 'webpack.config.cjs')
        return expectNative(project.run('out/b.cjs'), setting)
      },
    },
  ]
}
