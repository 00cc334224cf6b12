/**
 * Control groups with a limit of memory, for processes that must reach it. They are real ones, because the system then
 * ends whatever exceeds the limit, which no substitute would do. Making one needs the permission (mostly root's). If it
 * is missing, the reason is reported.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'

export interface Group {
  /** The folder by which a shell, and what replaces it, becomes a member. */
  readonly folder: string
  /** The number of times that the system has ended a member because memory ran out. */
  kills(): number
  remove(): void
}

interface Hierarchy {
  readonly version: 1 | 2
  readonly folder: string
}

/** The place where groups with a limit of memory can be made. */
function findHierarchy(): Hierarchy | null {
  const found: Hierarchy[] = []
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [before = '', after = ''] = line.split(' - ')
    const folder = before.split(' ')[4] as string
    const [type, , options = ''] = after.split(' ')
    if (type === 'cgroup' && options.split(',').includes('memory')) found.push({ version: 1, folder })
    if (type === 'cgroup2' && readFileSync(`${folder}/cgroup.controllers`, 'utf8').split(/\s/).includes('memory'))
      found.push({ version: 2, folder })
  }
  return found[0] ?? null
}

let made = 0

/** Creates a group below `parent`. It has no limit if `bytes` is null. */
function create(hierarchy: Hierarchy, parent: string, bytes: number | null): Group {
  const { version } = hierarchy
  const folder = `${parent}/firesteel-test-${process.pid}-${made++}`
  if (version === 2) writeFileSync(`${parent}/cgroup.subtree_control`, '+memory')
  mkdirSync(folder)
  const group: Group = {
    folder,
    kills() {
      const text = readFileSync(`${folder}/${version === 1 ? 'memory.oom_control' : 'memory.events'}`, 'utf8')
      return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0)
    },
    remove: () => rmdirSync(folder),
  }
  try {
    if (bytes !== null)
      writeFileSync(`${folder}/${version === 1 ? 'memory.limit_in_bytes' : 'memory.max'}`, String(bytes))
    return group
  } catch (error) {
    group.remove()
    throw error
  }
}

/** A group, or a child without a limit of a group that has one. A string says why there can be none. */
export function makeGroup(bytes: number, place: 'own' | 'ancestor' = 'own'): Group | string {
  if (process.platform !== 'linux' || !existsSync('/proc/self/mountinfo')) return 'this system has no control groups'
  const hierarchy = findHierarchy()
  if (hierarchy === null) return 'no mounted hierarchy of control groups controls memory'
  try {
    const group = create(hierarchy, hierarchy.folder, bytes)
    if (place === 'own') return group
    try {
      const middle = create(hierarchy, group.folder, null)
      const child = create(hierarchy, middle.folder, null)
      return {
        folder: child.folder,
        kills: () => group.kills() + child.kills(),
        remove() {
          child.remove()
          middle.remove()
          group.remove()
        },
      }
    } catch (error) {
      group.remove()
      throw error
    }
  } catch (error) {
    return `this user may not make control groups (${(error as Error).message})`
  }
}

export interface Ended {
  readonly status: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs Node as a member of the group. */
export function runWithin(
  group: Group,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const script = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
  const child = spawn('/bin/sh', ['-c', script, group.folder, process.execPath, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (data) => {
    stdout += data
  })
  child.stderr.on('data', (data) => {
    stderr += data
  })
  return new Promise((resolve) => child.on('close', (status, signal) => resolve({ status, signal, stdout, stderr })))
}
