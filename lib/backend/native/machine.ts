/** Memory that this process may still take, by the machine and by its control group. */
import { readFileSync } from 'node:fs'
import { freemem } from 'node:os'

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

function field(text: string | null, pattern: RegExp): number | null {
  const match = text === null ? null : pattern.exec(text)
  return match ? Number(match[1]) : null
}

/** Files of the group's limit, its use, and its statistics; version 2 of control groups first. */
function groupFiles(): readonly (readonly [limit: string, use: string, statistics: string, cache: RegExp])[] {
  const path = /^0::(.*)$/m.exec(readText('/proc/self/cgroup') ?? '')?.[1] ?? ''
  const second = (folder: string) =>
    [`${folder}/memory.max`, `${folder}/memory.current`, `${folder}/memory.stat`, /^inactive_file (\d+)$/m] as const
  const first = '/sys/fs/cgroup/memory'
  return [
    second(`/sys/fs/cgroup${path === '/' ? '' : path}`),
    second('/sys/fs/cgroup'),
    [
      `${first}/memory.limit_in_bytes`,
      `${first}/memory.usage_in_bytes`,
      `${first}/memory.stat`,
      /^total_inactive_file (\d+)$/m,
    ],
  ]
}

/** The cached pages of files count as available: the system gives them up first. */
function groupAvailable(): number {
  for (const [limitFile, useFile, statisticsFile, cache] of groupFiles()) {
    const limit = field(readText(limitFile), /^(\d+)/)
    const use = field(readText(useFile), /^(\d+)/)
    if (limit !== null && use !== null) return limit - use + (field(readText(statisticsFile), cache) ?? 0)
  }
  return Number.POSITIVE_INFINITY
}

export function availableMemory(): number {
  const kilobytes = field(readText('/proc/meminfo'), /^MemAvailable:\s+(\d+) kB$/m)
  const machine = kilobytes === null ? freemem() : kilobytes * 1024
  return Math.max(0, Math.min(machine, groupAvailable()))
}
