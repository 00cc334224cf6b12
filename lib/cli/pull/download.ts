/**
 * Downloads one file: in as many pieces as connections break it into, verified, and moved to its place when complete.
 */
import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { refusal } from '../../io/refusal.js'
import { diskError, Interrupted, PullError } from './errors.js'
import { type Bytes, type Hub, openFile, type RemoteFile, type Repository, unfinished } from './hub.js'

export interface Download {
  readonly hub: Hub
  readonly repository: Repository
  readonly commit: string
  readonly folder: string
  readonly signal: AbortSignal
  readonly patience: Patience
  /** Called with the number of bytes as they arrive. Bytes that must be fetched again count as negative. */
  readonly onBytes: (count: number) => void
}

/** The times for which a pull waits for a server. */
export interface Patience {
  /** The number of connections without a single byte before a pull gives up. */
  readonly tries: number
  /** Milliseconds before the second try, doubled before each later one. */
  readonly pause: number
  /** Milliseconds without a byte before a connection counts as broken. */
  readonly stall: number
}

/** Calls the function until it returns, or has been interrupted too often without progress. */
export async function persist<T>(
  run: (attempt: () => void) => Promise<T>,
  what: string,
  { tries, pause }: Patience,
  signal: AbortSignal,
): Promise<T> {
  for (let failures = 0; ; ) {
    let progressed = false
    try {
      return await run(() => {
        progressed = true
      })
    } catch (error) {
      if (signal.aborted) throw signal.reason
      if (!(error instanceof Interrupted)) throw error
      failures = progressed ? 1 : failures + 1
      if (failures >= tries)
        throw new PullError(
          'network',
          `cannot fetch ${what}: ${error.message}; tried ${tries} times; pull again later to continue from here`,
          error,
        )
      const wait = error.wait ?? (progressed ? 0 : pause * 2 ** (failures - 1))
      await sleep(wait, undefined, { signal }).catch(() => {
        throw signal.reason
      })
    }
  }
}

/** The hash for this many bytes, of the kind announced by the server. */
function newHash({ hash, size }: RemoteFile): Hash {
  // Git hashes a header with the size, and then the bytes.
  return hash.by === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`)
}

async function addFile(hash: Hash, path: string): Promise<void> {
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
}

/** The size of a regular file in bytes, or null if there is none. */
async function sizeOf(path: string): Promise<number | null> {
  const found = await stat(path).catch(() => null)
  return found?.isFile() ? found.size : null
}

/** Whether the file is already in its place. */
export async function isThere(folder: string, file: RemoteFile): Promise<boolean> {
  const path = join(folder, file.path)
  if ((await sizeOf(path)) !== file.size) return false
  const hash = newHash(file)
  await addFile(hash, path)
  return hash.digest('hex') === file.hash.hex
}

const partOf = (folder: string, { hash }: RemoteFile) => join(folder, unfinished, hash.hex)

/** The number of bytes of a file that an earlier pull has fetched. */
export async function fetched(folder: string, file: RemoteFile): Promise<number> {
  const size = (await sizeOf(partOf(folder, file))) ?? 0
  return size > file.size ? 0 : size
}

/** Fetches a file or its missing part. Throws PullError. After the `reason` 'hash' nothing is left of the file. */
export async function download(to: Download, file: RemoteFile): Promise<void> {
  const { folder, signal, patience } = to
  const part = partOf(folder, file)
  let offset = await fetched(folder, file)
  let hash = newHash(file)
  if (offset > 0) await addFile(hash, part)
  const handle = await open(part, offset > 0 ? 'r+' : 'w').catch((error) => {
    throw diskError(refusal('pull', 'write', part, error), part)
  })
  try {
    await persist(
      async (progress) => {
        if (offset === file.size) return
        const bytes = await openPart(to, file, offset)
        if (bytes.from === 0 && offset > 0) {
          to.onBytes(-offset)
          offset = 0
          hash = newHash(file)
          await handle.truncate(0)
        }
        for await (const chunk of bytes.body) {
          if (offset + chunk.length > file.size) throw await wrong(part, file, 'the server sent more bytes than that')
          await write(handle, chunk, offset, file.path)
          hash.update(chunk)
          offset += chunk.length
          to.onBytes(chunk.length)
          progress()
        }
        if (offset < file.size) throw new Interrupted(`the connection ended after ${offset} of ${file.size} bytes`)
      },
      file.path,
      patience,
      signal,
    )
    await handle.sync()
  } finally {
    await handle.close()
  }
  const hex = hash.digest('hex')
  if (hex !== file.hash.hex) throw await wrong(part, file, `the received bytes have ${hex}`)
  await place(folder, part, file)
}

async function openPart(to: Download, file: RemoteFile, offset: number): Promise<Bytes> {
  const { hub, repository, commit, signal, patience } = to
  const stalled = new AbortController()
  const both = AbortSignal.any([signal, stalled.signal])
  const watched = watch(patience.stall, stalled)
  const from = (at: number) => openFile(hub, repository, { commit, file, offset: at }, both)
  const opened = await watched.during(async () => (await from(offset)) ?? (await from(0)))
  if (opened === null)
    throw new PullError(
      'answer',
      `the server sends parts of ${file.path} that were not requested; use another HF_ENDPOINT`,
    )
  return { from: opened.from, body: watched.body(opened.body, signal) }
}

/** Ends a connection that sends nothing. */
function watch(stall: number, stalled: AbortController) {
  const reason = new Interrupted(`nothing arrived for ${stall / 1000} s`)
  const during = async <T>(run: () => Promise<T>): Promise<T> => {
    const timer = setTimeout(() => stalled.abort(reason), stall)
    try {
      return await run()
    } finally {
      clearTimeout(timer)
    }
  }
  async function* body(chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const iterator = chunks[Symbol.asyncIterator]()
    try {
      for (;;) {
        const next = await during(() => iterator.next())
        if (next.done) return
        yield next.value
      }
    } catch (error) {
      // Errors in writing the bytes occur outside of this generator, so only the connection can have failed here.
      if (signal.aborted) throw signal.reason
      throw error instanceof Interrupted ? error : new Interrupted(`the connection broke: ${(error as Error).message}`)
    } finally {
      await iterator.return?.().catch(() => undefined)
    }
  }
  return { during, body }
}

async function write(handle: FileHandle, chunk: Uint8Array, at: number, path: string): Promise<void> {
  try {
    for (let done = 0; done < chunk.length; )
      done += (await handle.write(chunk, done, chunk.length - done, at + done)).bytesWritten
  } catch (error) {
    throw diskError(error, path)
  }
}

async function wrong(part: string, file: RemoteFile, found: string): Promise<PullError> {
  await rm(part, { force: true })
  return new PullError(
    'hash',
    `${file.path} is not what the server announced, ${file.size} bytes with ${file.hash.by === 'git' ? 'the git hash' : 'sha256'} ${file.hash.hex}: ${found}; ` +
      'nothing of it was kept; pull again, and if this happens again, use another HF_ENDPOINT',
  )
}

/** Moves a complete file to its place. Links in place of folders are refused, because they lead outside. */
async function place(folder: string, part: string, { path }: RemoteFile): Promise<void> {
  const parts = path.split('/')
  let at = folder
  try {
    for (const name of parts.slice(0, -1)) {
      at = join(at, name)
      await mkdir(at).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error
      })
      if (!(await lstat(at)).isDirectory())
        throw new PullError('disk', `cannot write ${path}: ${at} is not a folder, but a link or a file; move it away`)
    }
    at = join(at, parts.at(-1) as string)
    await rename(part, at)
  } catch (error) {
    throw diskError(refusal('pull', 'write', at, error), at)
  }
}
