/** Allows only one run at a time in a folder, by a file that names the process that holds it. */
import { ValueError } from '../../core/errors.js'
import { untilFree } from '../../io/atomic.js'
import { refusal } from '../../io/refusal.js'
import { startOf } from './process-start.js'
import {
  constants,
  copyFile,
  hostname,
  join,
  link,
  open,
  process,
  randomBytes,
  readdir,
  readFile,
  readFileSync,
  renameSync,
  rm,
  rmSync,
} from './system.js'

const name = 'run.lock'

/** Error codes of file systems that have no links, such as exFAT and some network file systems. */
const withoutLinks = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']

/** Milliseconds by which the clock may have been set back between the start of a process and its lock. */
const slack = 60_000

/** The process that holds a folder. */
interface Holder {
  readonly pid: number
  readonly host: string
  /**
   * The time at which the process began, in the system's own count, or null if the system does not tell. Process
   * numbers are reused after a while.
   */
  readonly began: string | null
  /** The time at which the folder was taken, in milliseconds since 1970. */
  readonly taken: number
  /** Distinguishes this lock from all others. */
  readonly id: string
}

/** Boot and start of a process in Linux's count, or null on other systems. */
function beganOf(pid: number): string | null {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    // The name of the program, in parentheses, may contain any characters.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    return `${boot} ${fields[19]}`
  } catch {
    return null
  }
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // The process is alive, but belongs to another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Whether the process that took the folder has ended. This cannot be known for another machine's process. */
function isStale(holder: Holder | null): boolean {
  if (holder === null) return true
  const { pid, host, began, taken } = holder
  if (host !== hostname()) return false
  if (pid === process.pid && taken < Date.now() - 1000 * process.uptime()) return true
  if (!lives(pid)) return true
  const now = beganOf(pid)
  if (began !== null && now !== null) return now !== began
  if (pid === process.pid) return false
  // A process that began after the folder was taken has the number of one that ended.
  const start = startOf(pid)
  return start !== null && start > taken + slack
}

function parsed(text: string): Holder | null {
  try {
    const value = JSON.parse(text) as Partial<Holder> | null
    return Number.isSafeInteger(value?.pid) && typeof value?.host === 'string' ? (value as Holder) : null
  } catch {
    return null
  }
}

/** Holds the folder for this process until `release`, or until the process ends, however it ends. */
export class FolderLock {
  readonly #folder: string
  readonly #holder: Holder

  private constructor(folder: string, holder: Holder) {
    this.#folder = folder
    this.#holder = holder
  }

  /** Throws ValueError if another live run has the folder. */
  static async take(op: string, folder: string): Promise<FolderLock> {
    const id = randomBytes(8).toString('hex')
    const holder: Holder = { pid: process.pid, host: hostname(), began: beganOf(process.pid), taken: Date.now(), id }
    await writeLock(op, folder, holder)
    await sweep(folder)
    return new FolderLock(folder, holder)
  }

  /**
   * Takes the folder again if its lock is gone, as after the folder was deleted and made anew. Throws ValueError if
   * another live run has the folder by now.
   */
  async renew(op: string): Promise<void> {
    const text = await readFile(join(this.#folder, name), 'utf8').catch(() => null)
    if (text !== JSON.stringify(this.#holder)) await writeLock(op, this.#folder, this.#holder)
  }

  /** Gives the folder back, unless another process has taken it meanwhile. */
  release(): void {
    const path = join(this.#folder, name)
    try {
      if (readFileSync(path, 'utf8') === JSON.stringify(this.#holder)) untilFree(() => rmSync(path))
    } catch {
      // The lock or the whole folder was removed.
    }
  }
}

/** Writes the lock of a holder, in the place of one whose process has ended. */
async function writeLock(op: string, folder: string, holder: Holder): Promise<void> {
  const path = join(folder, name)
  const text = JSON.stringify(holder)
  const own = `${path}.${holder.id}`
  try {
    await writeWhole(own, text)
    for (;;) {
      const found = await linked(own, path)
      if (found === 'made') return
      if (found === 'taken') await removeStale(op, folder, path)
      else await writeWhole(own, text)
    }
  } catch (error) {
    throw refusal(op, 'write', path, error)
  } finally {
    // A folder that vanished meanwhile refuses this too, and the error of the writing says more.
    await rm(own, { force: true }).catch(() => undefined)
  }
}

async function writeWhole(path: string, text: string): Promise<void> {
  const file = await open(path, 'w')
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

/**
 * Links the lock to a complete file, because a file that is created empty could be read before it is written. Returns
 * whether the lock was made, existed already, or whether the file is gone, because another process swept it while it
 * was still empty.
 */
async function linked(own: string, path: string): Promise<'made' | 'taken' | 'gone'> {
  const outcomes: { readonly [code: string]: 'taken' | 'gone' } = { EEXIST: 'taken', ENOENT: 'gone' }
  const attempt = async (run: () => Promise<void>) => {
    try {
      await run()
      return 'made'
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException
      if (withoutLinks.includes(code)) return 'refused'
      const outcome = outcomes[code]
      if (outcome === undefined) throw error
      return outcome
    }
  }
  const first = await attempt(() => link(own, path))
  if (first !== 'refused') return first
  const second = await attempt(() => copyFile(own, path, constants.COPYFILE_EXCL))
  if (second === 'refused') throw new Error(`${path} accepts neither links nor copies`)
  return second
}

/**
 * Removes files of processes that were killed before they got the folder. Only the holder of the folder sweeps, so no
 * process can take it meanwhile. Files that cannot be removed stay, because they do no harm.
 */
async function sweep(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [])
  for (const left of names.filter((each) => /^run\.lock\.[0-9a-f]{16}$/.test(each))) {
    const path = join(folder, left)
    const text = await readFile(path, 'utf8').catch(() => null)
    if (text !== null && isStale(parsed(text))) await rm(path, { force: true }).catch(() => undefined)
  }
}

/** Removes the lock of a process that has ended. Throws ValueError if the process is alive. */
async function removeStale(op: string, folder: string, path: string): Promise<void> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  if (text === null) return
  const holder = parsed(text)
  if (!isStale(holder)) throw held(op, folder, path, holder as Holder)
  // The lock is moved first, because another process may have removed the stale one and taken the folder since the lock
  // was read.
  const aside = `${path}.${randomBytes(8).toString('hex')}`
  try {
    untilFree(() => renameSync(path, aside))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  // A process that took the folder meanwhile may have swept it.
  const moved = await readFile(aside, 'utf8').catch(() => text)
  if (moved !== text) await linked(aside, path)
  await rm(aside, { force: true })
}

function held(op: string, folder: string, path: string, { pid, host, taken }: Holder): ValueError {
  const here = host === hostname()
  const who = here && pid === process.pid ? 'this process' : `process ${pid}${here ? '' : ` on ${host}`}`
  const advice = here ? '' : `; if that one has ended, remove ${path}`
  return new ValueError(
    op,
    `another run has ${folder}: ${who}, since ${new Date(taken).toISOString()}; wait for it, or name another folder${advice}`,
  )
}
