/** The platforms whose binary comes as a package, an optional dependency of this one. */
import { nodeModule } from '../../core/host.js'

const { closeSync, openSync, readSync } = nodeModule('node:fs')

export const packagedPlatforms = ['linux-x64', 'linux-x64-musl', 'linux-arm64', 'darwin-arm64', 'win32-x64'] as const
export type PackagedPlatform = (typeof packagedPlatforms)[number]

/** The oldest C library on which their binaries run; Node 20 itself needs it. */
export const oldestGlibc = '2.28'

/** The oldest macOS on which their binary for Macs runs; no Mac with an arm64 processor had an older one. */
export const oldestMacos = '11.0'

/** The oldest Windows on which its binary runs, because it has the C library; Node 22 and later need it as well. */
export const oldestWindows = '10'

/**
 * The platforms whose binary has only been compiled, linked and checked by its tables: no machine has run it yet, so
 * nobody knows whether its numbers are right.
 */
export const neverRun: readonly string[] = ['darwin-arm64' satisfies PackagedPlatform]

export const packageOf = (platform: string) => `@firesteel/${platform}`

const headerBytes = 64
const entryBytes = 56
const interpreterEntry = 3
/** The longest path of a system. */
const mostPath = 4096

/** Reads bytes of a file from a place on; fewer at its end. */
export type ReadBytes = (from: number, count: number) => Buffer

/**
 * The path of the loader that a 64-bit ELF file names, such as /lib64/ld-linux-x86-64.so.2; null if it names none. The
 * path may stand anywhere, because tools that change it (patchelf) put the new one at the file's end.
 */
export function interpreterOf(read: ReadBytes): string | null {
  const header = read(0, headerBytes)
  const isElf = header.length === headerBytes && header.toString('latin1', 0, 4) === '\x7fELF'
  if (!isElf || header[4] !== 2 || header[5] !== 1) return null
  const size = header.readUInt16LE(54)
  if (size < entryBytes) return null
  const entries = read(Number(header.readBigUInt64LE(32)), size * header.readUInt16LE(56))
  for (let at = 0; at + entryBytes <= entries.length; at += size) {
    if (entries.readUInt32LE(at) !== interpreterEntry) continue
    const length = Math.min(mostPath, Number(entries.readBigUInt64LE(at + 32)))
    return read(Number(entries.readBigUInt64LE(at + 8)), length)
      .toString('latin1')
      .replace(/\0.*$/s, '')
  }
  return null
}

/** The result of `interpreterOf` for a file. Throws if the file cannot be read. */
function interpreterIn(path: string): string | null {
  const file = openSync(path, 'r')
  try {
    return interpreterOf((from, count) => {
      const buffer = Buffer.alloc(count)
      return buffer.subarray(0, readSync(file, buffer, 0, count, from))
    })
  } finally {
    closeSync(file)
  }
}

/**
 * The name of this platform, such as linux-x64, or linux-x64-musl if this program was linked with musl. That is read
 * from the program's file, which takes 0.1 ms, whereas Node's report takes ten.
 */
export function platformName(executable = process.execPath): string {
  const name = `${process.platform}-${process.arch}`
  if (process.platform !== 'linux') return name
  try {
    return /\bld-musl-/.test(interpreterIn(executable) ?? '') ? `${name}-musl` : name
  } catch {
    // An unreadable file counts as glibc, because nearly all programs are.
    return name
  }
}
