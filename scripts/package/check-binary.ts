/**
 * Whether a binary runs where its package says, as read from its ELF tables by readelf, which knows those of every
 * processor. It may need nothing newer than the oldest glibc and no C++ library at run time, and may have no symbols
 * but those that Node asks for. Binaries for Macs and for Windows have other tables (mach-o.ts, pe.ts).
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { oldestGlibc, oldestMacos, oldestWindows, type PackagedPlatform } from '../../lib/backend/native/platforms.js'
import { faultsOfMachO } from './mach-o.js'
import { faultsOfPe } from './pe.js'
import { targets } from './platforms.js'

/** Parts of glibc, and musl's single library. */
const libraries = {
  glibc: /^(libc\.so\.6|libm\.so\.6|libpthread\.so\.0|libdl\.so\.2|librt\.so\.1|ld-linux-[\w-]+\.so\.\d)$/,
  musl: /^libc\.so$/,
}
const machines = { x64: /X86-64/, arm64: /AArch64/ }

function readelf(path: string, ...options: readonly string[]): string {
  const { status, error, stdout, stderr } = spawnSync('readelf', ['--wide', ...options, path], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    env: { ...process.env, LC_ALL: 'C' },
  })
  if (error) throw new Error(`readelf, which checks the binary, does not run: install binutils (${error.message})`)
  if (status !== 0) throw new Error(`readelf ${path}: ${stderr}`)
  return stdout
}

function newer(a: string, b: string): number {
  const [x, y] = [a.split('.').map(Number), b.split('.').map(Number)]
  for (let i = 0; i < Math.max(x.length, y.length); i++) if (x[i] !== y[i]) return (x[i] ?? 0) - (y[i] ?? 0)
  return 0
}

/** The faults in a binary's tables as readelf prints them, and the newest glibc symbols that it needs. */
export function faultsOf(
  tables: { readonly header: string; readonly dynamic: string; readonly symbols: string; readonly sections: string },
  platform: PackagedPlatform,
  exported: readonly string[],
): { readonly faults: readonly string[]; readonly newest: string | null } {
  const { cpu, libc } = targets[platform]
  if (libc === null) throw new Error(`binaries for ${platform} have no ELF tables`)
  const faults: string[] = []
  if (!machines[cpu].test(tables.header)) faults.push(`it is not for ${cpu}`)
  const needed = [...tables.dynamic.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, name = '']) => name)
  if (needed.length === 0) faults.push('it names no library that it needs, not even the C library')
  const strange = needed.filter((name) => !libraries[libc].test(name))
  if (strange.length > 0) faults.push(`it needs ${strange.join(', ')}, which a machine may lack`)
  const rows = tables.symbols
    .split('\n')
    .map((row) => /^\s*\d+: [0-9a-f]+ +\S+ (\w+) +(\w+) +\w+ +(\w+) (\S+)/.exec(row))
    .filter((row) => row !== null)
  const given = rows.filter(([, , , index]) => index !== 'UND').map(([, , , , name = '']) => name)
  const versions = rows.flatMap(([, , , , name]) => /@GLIBC_([\d.]+)/.exec(name ?? '')?.[1] ?? []).sort(newer)
  const newest = versions.at(-1) ?? null
  const ofNobody = rows
    .filter(([, , binding, index]) => index === 'UND' && binding !== 'WEAK')
    .flatMap(([, , , , name = '']) => (/@|^(napi|node_api)_/.test(name) ? [] : [name]))
  if (libc === 'glibc' && ofNobody.length > 0) faults.push(`nobody gives it ${ofNobody.slice(0, 5).join(', ')}`)
  if (libc === 'musl' && newest !== null) faults.push('it asks for symbols of glibc')
  if (libc === 'glibc' && newest === null) faults.push('it asks for no symbol of glibc')
  if (newest !== null && newer(newest, oldestGlibc) > 0)
    faults.push(`it needs glibc ${newest}, but is to run on ${oldestGlibc}`)
  const surplus = given.filter((name) => !exported.includes(name))
  if (surplus.length > 0) faults.push(`it exports ${surplus.slice(0, 5).join(', ')} (${surplus.length} in all)`)
  const missing = exported.filter((name) => !given.includes(name))
  if (missing.length > 0) faults.push(`it does not export ${missing.join(', ')}`)
  if (/ \.(symtab|debug_\w+) /.test(tables.sections)) faults.push('it is not stripped')
  return { faults, newest }
}

/** A line about the findings. Throws if anything is wrong. */
export function checkBinary(path: string, platform: PackagedPlatform, exported: readonly string[]): string {
  if (targets[platform].os === 'darwin') {
    const { faults, oldest } = faultsOfMachO(readFileSync(path), exported, oldestMacos)
    if (faults.length > 0) throw new Error(`${path}: ${faults.join('; ')}`)
    return `macOS ${oldest} and later, by its tables: it was never run`
  }
  if (targets[platform].os === 'win32') {
    const { faults } = faultsOfPe(readFileSync(path), exported)
    if (faults.length > 0) throw new Error(`${path}: ${faults.join('; ')}`)
    return `Windows ${oldestWindows} and later, by its tables`
  }
  const { faults, newest } = faultsOf(
    {
      header: readelf(path, '--file-header'),
      dynamic: readelf(path, '--dynamic'),
      symbols: readelf(path, '--dyn-syms'),
      sections: readelf(path, '--section-headers'),
    },
    platform,
    exported,
  )
  if (faults.length > 0) throw new Error(`${path}: ${faults.join('; ')}`)
  return newest === null ? 'no symbol of glibc' : `symbols up to glibc ${newest}`
}
