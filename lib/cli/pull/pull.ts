/** Fetches a repository of Hugging Face, or of a server with its API, into a folder. */
import { rm, statfs } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { makeFolder } from '../../io/folders.js'
import { FolderLock } from '../../train/record/lock.js'
import { bytesText } from '../words.js'
import { download, fetched, isThere, type Patience, persist } from './download.js'
import { PullError } from './errors.js'
import { type Hub, hubOf, listFiles, parseRepository, type RemoteFile, unfinished } from './hub.js'

export interface PullOptions {
  /** Default: the repository's name, in the working folder. */
  readonly to?: string
  /** Patterns of paths, in which `*` and `?` stand for any characters, including slashes. Default: all files. */
  readonly include?: readonly string[]
  readonly exclude?: readonly string[]
  /** Default: `HF_ENDPOINT` and `HF_TOKEN` from the environment. */
  readonly hub?: Hub
  readonly signal?: AbortSignal
  readonly patience?: Partial<Patience>
  readonly onProgress?: (progress: PullProgress) => void
}

export interface PullProgress {
  /** Bytes present so far, and the bytes of all requested files. */
  readonly bytes: number
  readonly total: number
  /** The file that was just completed. */
  readonly file: string | null
}

export interface Pulled {
  readonly repository: string
  readonly revision: string
  readonly commit: string
  readonly folder: string
  /** Paths of files that were fetched, that were already present, and that `include` and `exclude` leave out. */
  readonly fetched: readonly string[]
  readonly kept: readonly string[]
  readonly left: readonly string[]
  /** Bytes received, without those of earlier pulls. */
  readonly bytes: number
}

const standardPatience: Patience = { tries: 5, pause: 500, stall: 30_000 }

/** The number of files fetched at once. */
const connections = 4

function matcher(patterns: readonly string[]): (path: string) => boolean {
  const expressions = patterns.map((pattern) => {
    const source = pattern
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replace(/\*+|\?/g, (sign) => (sign === '?' ? '.' : '.*'))
    return new RegExp(`^${source}$`, 's')
  })
  return (path) => expressions.some((expression) => expression.test(path))
}

function chosen(
  files: readonly RemoteFile[],
  { include, exclude = [] }: PullOptions,
): readonly [wanted: RemoteFile[], left: RemoteFile[]] {
  const isIncluded = include === undefined || include.length === 0 ? () => true : matcher(include)
  const isExcluded = matcher(exclude)
  const isWanted = ({ path }: RemoteFile) => isIncluded(path) && !isExcluded(path)
  return [files.filter(isWanted), files.filter((file) => !isWanted(file))]
}

/** Throws if the files need more space than the disk has. */
async function checkRoom(folder: string, missing: number): Promise<void> {
  const { bavail, bsize, blocks } = await statfs(folder)
  if (blocks === 0 || missing <= bavail * bsize) return
  throw new PullError(
    'disk',
    `${bytesText(missing)} must be fetched, but the disk of ${folder} has ${bytesText(bavail * bsize)} left; make room, leave ` +
      'files out with --exclude, or name another folder with --to',
  )
}

/**
 * Fetches the files of `owner/name@revision` into a folder. Each file is compared with the hash announced by the
 * server, and gets its name only when it is complete. An interrupted download is resumed. Throws PullError, and
 * ValueError if another pull is filling the folder.
 */
export async function pull(text: string, options: PullOptions = {}): Promise<Pulled> {
  const repository = parseRepository(text)
  const { hub = hubOf(process.env), signal: outer, onProgress } = options
  const folder = options.to ?? basename(repository.name)
  const patience = { ...standardPatience, ...options.patience }
  const failing = new AbortController()
  const signal = outer === undefined ? failing.signal : AbortSignal.any([outer, failing.signal])
  const { commit, files } = await persist(
    () => listFiles(hub, repository, signal),
    `the list of files from ${hub.endpoint}`,
    patience,
    signal,
  )
  const [wanted, left] = chosen(files, options)
  if (wanted.length === 0)
    throw new PullError(
      'missing',
      `no file of ${repository.name} matches the options; there are ${files.length === 0 ? 'none' : files.map(({ path }) => path).join(', ')}`,
    )
  await makeFolder('pull', join(folder, unfinished))
  const lock = await FolderLock.take('pull', join(folder, unfinished))
  const got: string[] = []
  const kept: string[] = []
  let [bytes, came] = [0, 0]
  const total = wanted.reduce((sum, { size }) => sum + size, 0)
  const tell = (file: string | null) => onProgress?.({ bytes, total, file })
  try {
    const missing: RemoteFile[] = []
    for (const file of wanted) {
      signal.throwIfAborted()
      const there = await isThere(folder, file)
      bytes += there ? file.size : await fetched(folder, file)
      if (there) kept.push(file.path)
      else missing.push(file)
    }
    await checkRoom(folder, total - bytes)
    const onBytes = (count: number) => {
      bytes += count
      came += Math.max(0, count)
      tell(null)
    }
    const queue = missing.values()
    const work = async () => {
      for (const file of queue) {
        await download({ hub, repository, commit, folder, signal, patience, onBytes }, file)
        got.push(file.path)
        tell(file.path)
      }
    }
    // An error is thrown only after all workers have ended, so that nothing is written once the call has returned.
    await Promise.all(Array.from({ length: connections }, () => work().catch((error) => failing.abort(error))))
    signal.throwIfAborted()
  } finally {
    lock.release()
  }
  await rm(join(folder, unfinished), { recursive: true, force: true })
  const { name: repositoryName, revision } = repository
  return {
    repository: repositoryName,
    revision,
    commit,
    folder,
    fetched: got,
    kept,
    left: left.map(({ path }) => path),
    bytes: came,
  }
}
