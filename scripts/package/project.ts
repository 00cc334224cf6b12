/** Projects of users: empty folders, an empty home, a search path with nothing but node, and our registry. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Registry } from './registry.js'
import { npmProgram } from './tools.js'

const programs = fileURLToPath(new URL('programs/', import.meta.url))

export interface Ran {
  readonly status: number | null
  readonly stdout: string
  /** Both output streams, because a failure may be in either. */
  readonly output: string
}

export class Project {
  readonly folder: string
  readonly #env: NodeJS.ProcessEnv

  /** A folder below `work`. `node` is the path of the program that the search path gives. */
  constructor(
    work: string,
    registry: Registry,
    readonly node: string = process.execPath,
  ) {
    this.folder = mkdtempSync(join(work, 'project-'))
    const home = mkdtempSync(join(work, 'home-'))
    const bin = join(home, 'bin')
    mkdirSync(bin)
    symlinkSync(node, join(bin, 'node'))
    this.#env = {
      PATH: bin,
      HOME: home,
      npm_config_registry: registry.url,
      npm_config_cache: join(work, 'npm-cache'),
      npm_config_update_notifier: 'false',
      YARN_NPM_REGISTRY_SERVER: registry.url,
      YARN_UNSAFE_HTTP_WHITELIST: '127.0.0.1',
      YARN_ENABLE_TELEMETRY: '0',
      YARN_ENABLE_GLOBAL_CACHE: 'false',
      // By default npm holds back packages that are minutes old.
      YARN_NPM_MINIMAL_AGE_GATE: '0',
      YARN_ENABLE_SCRIPTS: 'false',
      CI: 'true',
      NO_COLOR: '1',
    }
    this.write('package.json', JSON.stringify({ name: 'user', version: '1.0.0', private: true }))
    cpSync(programs, this.folder, { recursive: true })
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text)
  }

  read(name: string): string {
    return readFileSync(join(this.folder, name), 'utf8')
  }

  /** Runs node. Throws with its output on failure. */
  run(...args: readonly string[]): string {
    const { status, stdout, output } = this.try({}, ...args)
    if (status !== 0) throw new Error(`node ${args.join(' ')}: status ${status}\n${output}`)
    return stdout.trim()
  }

  /** Like `run`, for another program than Node that runs JavaScript. */
  runBy(program: string, ...args: readonly string[]): string {
    const { status, stdout, output } = this.#spawn(program, {}, args)
    if (status !== 0) throw new Error(`${program} ${args.join(' ')}: status ${status}\n${output}`)
    return stdout.trim()
  }

  try(env: { readonly [name: string]: string }, ...args: readonly string[]): Ran {
    return this.#spawn(this.node, env, args)
  }

  #spawn(program: string, env: { readonly [name: string]: string }, args: readonly string[]): Ran {
    const { status, stdout, stderr, error } = spawnSync(program, args, {
      cwd: this.folder,
      encoding: 'utf8',
      env: { ...this.#env, ...env },
    })
    return { status, stdout, output: `${error?.message ?? ''}${stdout}${stderr}` }
  }

  /** Like `run`, without blocking. */
  async start(env: { readonly [name: string]: string }, ...args: readonly string[]): Promise<string> {
    const child = spawn(this.node, args, { cwd: this.folder, env: { ...this.#env, ...env } })
    let [told, complained] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      told += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complained += text
    })
    const [status] = (await once(child, 'close')) as [number | null]
    if (status !== 0) throw new Error(`node ${args.join(' ')}: status ${status}\n${told}${complained}`)
    return told.trim()
  }

  npm(...args: readonly string[]): string {
    return this.run(npmProgram(), '--ignore-scripts', '--no-audit', '--no-fund', ...args)
  }
}
