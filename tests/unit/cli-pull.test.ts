/** `firesteel pull` against a server on loopback that cuts connections, ignores ranges and lies. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { diskError, PullError } from '../../lib/cli/pull/errors.js'
import { parseRepository } from '../../lib/cli/pull/hub.js'
import { type PullOptions, pull } from '../../lib/cli/pull/pull.js'

const commit = 'c0ffee'.padEnd(40, '0')
const gitHash = (bytes: Buffer) => createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
const noise = (length: number, seed = 1) =>
  Buffer.from(Array.from({ length }, (_, i) => (i * 31 * seed + (i >> 8)) % 251))

const files: { readonly [path: string]: Buffer } = {
  'config.json': Buffer.from('{"model_type":"llama"}\n'),
  'model.safetensors': noise(300_000),
  'onnx/model.onnx': noise(1000, 7),
  'empty.txt': Buffer.alloc(0),
}

type Handler = (request: IncomingMessage, response: ServerResponse, path: string) => boolean

let server: Server
let folder: string
let handler: Handler
let siblings: object[]
/** Requests for files: path and range. */
let requests: string[]

const large = (path: string) => path.endsWith('.safetensors') || path.endsWith('.onnx')
const siblingOf = (path: string, bytes: Buffer) => ({
  rfilename: path,
  size: bytes.length,
  blobId: gitHash(bytes),
  ...(large(path) && { lfs: { sha256: sha256(bytes), size: bytes.length, pointerSize: 134 } }),
})

function serve(request: IncomingMessage, response: ServerResponse): void {
  const { pathname } = new URL(request.url ?? '', 'http://x')
  if (pathname.startsWith('/api/')) {
    if (handler(request, response, '')) return
    if (pathname !== `/api/models/owner/name/revision/main`)
      response.writeHead(404, { 'x-error-message': 'Repository not found' }).end()
    else response.end(JSON.stringify({ sha: commit, siblings }))
    return
  }
  const path = decodeURIComponent(pathname).replace(`/owner/name/resolve/${commit}/`, '')
  requests.push(`${path} ${request.headers.range ?? ''}`.trim())
  if (handler(request, response, path)) return
  const bytes = files[path] as Buffer
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
  if (request.headers.range)
    response.writeHead(206, { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` })
  response.end(bytes.subarray(from))
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pull-'))
  handler = () => false
  siblings = Object.entries(files).map(([path, bytes]) => siblingOf(path, bytes))
  requests = []
  server = createServer(serve)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})

afterEach(() => {
  server.closeAllConnections()
  server.close()
  rmSync(folder, { recursive: true, force: true })
})

const endpoint = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const get = (options: PullOptions = {}, token: string | null = null) =>
  pull('owner/name', {
    to: join(folder, 'name'),
    hub: { endpoint: endpoint(), token },
    patience: { tries: 3, pause: 1, stall: 2000 },
    ...options,
  })
const read = (path: string) => readFileSync(join(folder, 'name', path))

async function refused(options: PullOptions = {}): Promise<PullError> {
  const error = await get(options).then(
    () => null,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(PullError)
  return error as PullError
}

/** Sends this many bytes of the requested file, and breaks the connection. */
function cut(request: IncomingMessage, response: ServerResponse, bytes: Buffer, count: number): boolean {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
  const head = {
    'content-length': bytes.length - from,
    'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
  }
  response.writeHead(from > 0 ? 206 : 200, head)
  response.write(bytes.subarray(from, from + count), () => setTimeout(() => request.socket.destroy(), 30))
  return true
}

describe('pull', () => {
  it('fetches all files, verified, and nothing the second time', async () => {
    const progress: number[] = []
    const first = await get({ onProgress: ({ bytes }) => progress.push(bytes) })
    for (const [path, bytes] of Object.entries(files)) expect(read(path).equals(bytes), path).toBe(true)
    const total = Object.values(files).reduce((sum, { length }) => sum + length, 0)
    expect(first).toMatchObject({ commit, kept: [], left: [], bytes: total })
    expect([...first.fetched].sort()).toEqual(Object.keys(files).sort())
    expect(progress.at(-1)).toBe(total)
    expect(existsSync(join(folder, 'name', '.pull'))).toBe(false)
    requests = []
    expect(await get()).toMatchObject({ fetched: [], bytes: 0, kept: Object.keys(files) })
    expect(requests).toEqual([])
    writeFileSync(join(folder, 'name', 'config.json'), '{"model_type":"LLAMA"}\n')
    expect((await get()).fetched).toEqual(['config.json'])
    expect(read('config.json').equals(files['config.json'] as Buffer)).toBe(true)
  })

  it('takes and leaves files by patterns, and says which', async () => {
    const pulled = await get({ include: ['*.json', '*model*'], exclude: ['onnx/*'] })
    expect([...pulled.fetched].sort()).toEqual(['config.json', 'model.safetensors'])
    expect(pulled.left).toEqual(['onnx/model.onnx', 'empty.txt'])
    const error = await refused({ include: ['*.bin'] })
    expect(error.reason).toBe('missing')
    expect(error.message).toContain('config.json')
  })

  it('goes on within a pull where connections are cut, and from one pull to the next', async () => {
    handler = (request, response, path) =>
      path === 'model.safetensors' && requests.length < 7 && cut(request, response, files[path] as Buffer, 70_000)
    await get({ include: ['model*'] })
    expect(read('model.safetensors').equals(files['model.safetensors'] as Buffer)).toBe(true)
    const ranges = requests.map((each) => Number(/bytes=(\d+)-/.exec(each)?.[1] ?? 0))
    expect(ranges[0]).toBe(0)
    expect(ranges).toEqual([...ranges].sort((a, b) => a - b))
    expect(ranges.at(-1)).toBeGreaterThan(200_000)
  })

  it('gives up without progress, keeps what came, and goes on in the next pull', async () => {
    let cuts = 0
    handler = (request, response, path) =>
      path === 'model.safetensors' && cut(request, response, files[path] as Buffer, cuts++ === 0 ? 100_000 : 0)
    const error = await refused({ include: ['model*'] })
    expect(error).toMatchObject({ reason: 'network' })
    expect(error.message).toContain('model.safetensors')
    expect(existsSync(join(folder, 'name', 'model.safetensors'))).toBe(false)
    handler = () => false
    requests = []
    const pulled = await get({ include: ['model*'] })
    expect(requests).toHaveLength(1)
    const from = Number(/^model\.safetensors bytes=(\d+)-$/.exec(requests[0] as string)?.[1])
    // A busy reader loses what it has not taken when the connection ends.
    expect(from).toBeGreaterThan(0)
    expect(from).toBeLessThanOrEqual(100_000)
    expect(pulled.bytes).toBe(300_000 - from)
    expect(read('model.safetensors').equals(files['model.safetensors'] as Buffer)).toBe(true)
  })

  it('begins anew where the server ignores ranges, or gives other ones', async () => {
    for (const answer of ['all', 'other'] as const) {
      rmSync(join(folder, 'name'), { recursive: true, force: true })
      requests = []
      handler = (request, response, path) => {
        const bytes = files[path] as Buffer
        if (path === '') return false
        if (requests.length === 1) return cut(request, response, bytes, 100_000)
        if (request.headers.range === undefined || answer === 'all') response.end(bytes)
        else
          response
            .writeHead(206, { 'content-range': `bytes 5-${bytes.length - 1}/${bytes.length}` })
            .end(bytes.subarray(5))
        return true
      }
      await get({ include: ['model*'] })
      expect(read('model.safetensors').equals(files['model.safetensors'] as Buffer), answer).toBe(true)
    }
  })

  it('refuses bytes with another hash, by sha256 and by git, and more bytes than announced; keeps none', async () => {
    for (const [path, sent] of [
      ['model.safetensors', noise(300_000, 3)],
      ['config.json', Buffer.from('{"model_type":"llamb"}\n')],
      ['config.json', Buffer.from('{"model_type":"llama"}\n\n')],
    ] as const) {
      handler = (_, response, asked) => {
        if (asked !== path) return false
        response.end(sent)
        return true
      }
      const error = await refused({ include: [path] })
      expect(error.reason).toBe('hash')
      expect(error.message).toContain(path)
      expect(existsSync(join(folder, 'name', path))).toBe(false)
      handler = () => false
      await get({ include: [path] })
      expect(read(path).equals(files[path] as Buffer)).toBe(true)
      rmSync(join(folder, 'name', path))
    }
  })

  it('refuses names that lead out of the folder before anything is fetched', async () => {
    for (const name of ['../x', '/etc/x', 'a/../../x', 'a//x', './x', 'C:x', 'a\\..\\x', '.pull/x', 'a\u0000b', '']) {
      siblings = [
        ...Object.entries(files).map(([path, bytes]) => siblingOf(path, bytes)),
        siblingOf(name, Buffer.from('x')),
      ]
      expect(await refused(), name).toMatchObject({ reason: 'answer' })
    }
    expect(requests).toEqual([])
    siblings = [siblingOf('onnx/model.onnx', files['onnx/model.onnx'] as Buffer)]
    mkdirSync(join(folder, 'name'))
    mkdirSync(join(folder, 'elsewhere'))
    symlinkSync(join(folder, 'elsewhere'), join(folder, 'name', 'onnx'))
    expect((await refused()).message).toContain('is not a folder')
    expect(existsSync(join(folder, 'elsewhere', 'model.onnx'))).toBe(false)
  })

  it('says what 401, 403 and 404 mean, with and without a token', async () => {
    for (const [status, token, reason, words] of [
      [401, null, 'unauthorized', 'set HF_TOKEN'],
      [403, 'secret', 'unauthorized', 'the token in HF_TOKEN has no access to it'],
      [404, null, 'missing', 'misspelt'],
      [418, null, 'answer', '418'],
    ] as const) {
      handler = (_, response) => {
        response.writeHead(status).end()
        return true
      }
      const error = await get({}, token).catch((thrown: PullError) => thrown)
      expect(error).toMatchObject({ reason })
      expect((error as PullError).message).toContain(words)
      expect((error as PullError).message).not.toContain('secret')
    }
  })

  it('sends the token to the server, and to no other one that it leads to', async () => {
    const seen: (string | undefined)[] = []
    const other = createServer((request, response) => {
      seen.push(request.headers.authorization)
      response.end(files['model.safetensors'])
    })
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    handler = (request, response, path) => {
      expect(request.headers.authorization).toBe('Bearer secret')
      if (path === '') return false
      response.writeHead(302, { location: `http://127.0.0.1:${(other.address() as AddressInfo).port}/blob` }).end()
      return true
    }
    await get({ include: ['model*'] }, 'secret')
    other.closeAllConnections()
    other.close()
    expect(seen).toEqual([undefined])
  })

  it('waits for a busy server, and ends connections from which nothing comes', async () => {
    let asked = 0
    handler = (_, response, path) => {
      if (path !== 'config.json' || asked++ > 1) return false
      if (asked === 1) response.writeHead(503, { 'retry-after': '0' }).end()
      // The second answer never comes.
      return true
    }
    await get({ include: ['config.json'], patience: { tries: 3, pause: 1, stall: 50 } })
    expect(asked).toBe(3)
  })

  it('refuses what has no room, and says so of a full disk', async () => {
    siblings = [{ rfilename: 'a', size: 2 ** 52, lfs: { sha256: 'a'.repeat(64), size: 2 ** 52 } }]
    expect(await refused()).toMatchObject({ reason: 'disk' })
    expect(requests).toEqual([])
    expect(diskError(Object.assign(new Error('x'), { code: 'ENOSPC' }), 'a')).toMatchObject({ reason: 'disk' })
    expect(diskError(new Error('x'), 'a')).not.toBeInstanceOf(PullError)
  })

  it('refuses lists of files without hashes, and answers of other servers', async () => {
    siblings = [{ rfilename: 'a', size: 3 }]
    expect((await refused()).message).toContain('could not be verified')
    for (const body of ['<html>', '{}', 'null', '{"sha":"main","siblings":[]}']) {
      handler = (_, response) => {
        response.end(body)
        return true
      }
      expect(await refused(), body).toMatchObject({ reason: 'answer' })
    }
  })

  it('reads names of repositories, and refuses others', () => {
    expect(parseRepository('a/b@v1.0')).toEqual({ kind: 'models', name: 'a/b', revision: 'v1.0' })
    expect(parseRepository('gpt2')).toEqual({ kind: 'models', name: 'gpt2', revision: 'main' })
    expect(parseRepository('datasets/a/b@refs/pr/1')).toEqual({ kind: 'datasets', name: 'a/b', revision: 'refs/pr/1' })
    for (const text of ['', 'a/b/c', '../b', 'a/..', 'a b', 'a/b@', '/a', 'a--b/c'])
      expect(() => parseRepository(text), text).toThrow(PullError)
  })

  it('lets one pull at a time have a folder', async () => {
    let answer = () => {}
    const asked = new Promise<void>((resolve) => {
      handler = (_, response, path) => {
        if (path === '') return false
        answer = () => response.end(files[path])
        resolve()
        return true
      }
    })
    const first = get({ include: ['config.json'] })
    await asked
    await expect(get({ include: ['config.json'] })).rejects.toThrow('another run has')
    answer()
    await first
  })
})

describe('the command', () => {
  const run = async (args: readonly string[], interruptAfter?: string) => {
    const main = fileURLToPath(new URL('../../build/compiled/lib/cli/main.js', import.meta.url))
    const child = spawn(process.execPath, [main, 'pull', ...args], {
      env: { ...process.env, HF_ENDPOINT: endpoint() },
    })
    const output = { stdout: '', stderr: '' }
    let waiting = interruptAfter
    for (const name of ['stdout', 'stderr'] as const)
      child[name].on('data', (chunk: Buffer) => {
        output[name] += chunk
        if (waiting === undefined || !output[name].includes(waiting)) return
        waiting = undefined
        child.kill('SIGINT')
      })
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
    return { code, ...output }
  }

  it('exits with 0 and a summary, 2 for what is misspelt, 130 when it is stopped, and then goes on', async () => {
    const to = join(folder, 'cli')
    let hang = true
    handler = (request, response, path) => {
      if (path !== 'model.safetensors' || !hang) return false
      response.writeHead(200, { 'content-length': 300_000 })
      response.write((files[path] as Buffer).subarray(0, 100_000))
      request.on('close', () => response.destroy())
      return true
    }
    const stopped = await run(['owner/name', '--to', to], 'config.json')
    expect(stopped).toMatchObject({ code: 130 })
    expect(stopped.stderr).toContain('the same command continues')
    hang = false
    const done = await run(['owner/name', '--to', to, '--json'])
    expect(done).toMatchObject({ code: 0 })
    expect(JSON.parse(done.stdout)).toMatchObject({ folder: to, kept: expect.arrayContaining(['config.json']) })
    const wrong = await run(['owner/name', '--inclde', 'x'])
    expect(wrong).toMatchObject({ code: 2, stdout: '' })
    expect(wrong.stderr).toContain('there is no option --inclde; did you mean --include?')
  })
})
