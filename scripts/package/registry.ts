/**
 * A registry on loopback that has our packages, and passes everything else on to the registry that npm is set up with.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { npmProgram, tool } from './tools.js'

export interface Registry {
  readonly url: string
  /** Makes the package in a folder available. */
  publish(folder: string): void
  stop(): Promise<void>
}

function setting(name: string): string {
  return spawnSync(process.execPath, [npmProgram(), 'config', 'get', name], { encoding: 'utf8' }).stdout.trim()
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

const config = (folder: string, upstream: string) => `
storage: ${folder}/storage
max_body_size: 50mb
uplinks:
  upstream:
    url: ${upstream}
    maxage: 30m
packages:
  firesteel:
    access: $all
    publish: $all
  '@firesteel/*':
    access: $all
    publish: $all
  '**':
    access: $all
    proxy: upstream
log: { type: stdout, format: pretty, level: warn }
`

async function answers(url: string, server: ChildProcess): Promise<boolean> {
  for (let i = 0; i < 300 && server.exitCode === null; i++) {
    if (
      await fetch(`${url}-/ping`).then(
        ({ ok }) => ok,
        () => false,
      )
    )
      return true
    await sleep(100)
  }
  return false
}

/** Keeps its files in `folder`. */
export async function startRegistry(folder: string): Promise<Registry> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}/`
  const [configFile, log] = [join(folder, 'registry.yaml'), join(folder, 'registry.log')]
  writeFileSync(configFile, config(folder, setting('registry')))
  const ca = setting('cafile')
  const output = openSync(log, 'w')
  const server = spawn(process.execPath, [tool('verdaccio'), '--config', configFile, '--listen', `127.0.0.1:${port}`], {
    stdio: ['ignore', output, output],
    env: { ...process.env, ...(ca && ca !== 'null' ? { NODE_EXTRA_CA_CERTS: ca } : {}) },
  })
  if (!(await answers(url, server))) throw new Error(`the registry does not start: ${readFileSync(log, 'utf8')}`)
  const npmrc = join(folder, 'publisher.npmrc')
  // npm demands some token, but the registry demands none.
  writeFileSync(npmrc, `registry=${url}\n//127.0.0.1:${port}/:_authToken=any\n`)
  return {
    url,
    publish(path) {
      const npm = [npmProgram(), 'publish', path, '--ignore-scripts', '--userconfig', npmrc, '--registry', url]
      const { status, stderr } = spawnSync(process.execPath, [...npm, '--access', 'public'], { encoding: 'utf8' })
      if (status !== 0) throw new Error(`npm publish ${path}: ${stderr}`)
    },
    async stop() {
      const ended = once(server, 'exit')
      server.kill()
      await ended
    },
  }
}
