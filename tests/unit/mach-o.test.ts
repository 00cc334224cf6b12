/** Binaries for Macs: the reasons to refuse one, on files that are written here byte by byte, and the doctor's words. */
import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { neverRun } from '../../lib/backend/native/platforms.js'
import { doctor } from '../../lib/cli/doctor.js'
import { faultsOfMachO } from '../../scripts/package/mach-o.js'

const exported = ['napi_register_module_v1']
const system = '/usr/lib/libSystem.B.dylib'

const good = {
  cpu: 0x0100000c,
  libraries: [system],
  minimum: 0x000b0000,
  bound: [
    ['_napi_throw', 0x3e],
    ['_memcpy', 0x11],
  ] as readonly (readonly [name: string, place: number])[],
  given: ['_napi_register_module_v1', '__Znwm', '___dso_handle'],
  /** The entries of the table of symbols: a name, its kind and its section. */
  symbols: [['_napi_throw', 1, 0]] as readonly (readonly [name: string, kind: number, section: number])[],
  isSigned: true,
}

function words(...values: readonly number[]): Buffer {
  const buffer = Buffer.alloc(4 * values.length)
  for (const [i, value] of values.entries()) buffer.writeUInt32LE(value, 4 * i)
  return buffer
}

const text = (value: string) => Buffer.from(`${value}\0`, 'latin1')

/** A trie whose root has a branch for each name. */
function trie(names: readonly string[]): Buffer {
  const leaf = Buffer.from([2, 0, 16, 0])
  const bytes = 2 + names.reduce((sum, name) => sum + name.length + 2, 0)
  const branches = names.flatMap((name, i) => [text(name), Buffer.from([bytes + leaf.length * i])])
  return Buffer.concat([Buffer.from([0, names.length]), ...branches, ...names.map(() => leaf)])
}

/** The signature of bytes: a directory of the hashes of pages of 4096. */
function signatureOf(bytes: Buffer): Buffer {
  const pages = Math.ceil(bytes.length / 4096)
  const directory = Buffer.alloc(44 + 32 * pages)
  const fields = { 0: 0xfade0c02, 16: 44, 28: pages, 32: bytes.length }
  for (const [at, value] of Object.entries(fields)) directory.writeUInt32BE(value, Number(at))
  directory.set([32, 2, 0, 12], 36)
  for (let i = 0; i < pages; i++)
    createHash('sha256')
      .update(bytes.subarray(4096 * i, 4096 * (i + 1)))
      .digest()
      .copy(directory, 44 + 32 * i)
  const head = Buffer.alloc(20)
  for (const [i, value] of [0xfade0cc0, head.length + directory.length, 1, 0, head.length].entries())
    head.writeUInt32BE(value, 4 * i)
  return Buffer.concat([head, directory])
}

function file(change: Partial<typeof good> = {}): Buffer {
  const { cpu, libraries, minimum, bound, given, symbols, isSigned } = { ...good, ...change }
  const binds = Buffer.concat(
    bound.flatMap(([name, place]) => [Buffer.from([place, 0x40]), text(name), Buffer.from([0x90])]),
  )
  const names = Buffer.concat(symbols.map(([name]) => text(name)))
  const exports = trie(given)
  const commands = (from: number, signatureBytes: number): Buffer[] => {
    const table = from + binds.length + exports.length
    const strings = table + 16 * symbols.length
    return [
      words(0x32, 24, 1, minimum, minimum, 0),
      ...libraries.map((name) => {
        const padded = Buffer.alloc(24 + 8 * Math.ceil((name.length + 1) / 8))
        words(0xc, padded.length, 24, 0, 0, 0).copy(padded)
        padded.write(name, 24, 'latin1')
        return padded
      }),
      words(0x80000022, 48, 0, 0, from, binds.length, 0, 0, 0, 0, from + binds.length, exports.length),
      words(0x2, 24, table, symbols.length, strings, names.length),
      ...(isSigned ? [words(0x1d, 16, strings + names.length, signatureBytes)] : []),
    ]
  }
  const sizes = Buffer.concat(commands(0, 0)).length
  const whole = (signatureBytes: number) => {
    const list = commands(32 + sizes, signatureBytes)
    let at = 0
    const entries = symbols.map(([name, kind, section]) => {
      const entry = Buffer.alloc(16)
      entry.writeUInt32LE(at)
      entry.set([kind, section], 4)
      at += name.length + 1
      return entry
    })
    const header = words(0xfeedfacf, cpu, 0, 6, list.length, sizes, 0, 0)
    return Buffer.concat([header, ...list, binds, exports, ...entries, names])
  }
  if (!isSigned) return whole(0)
  const unsigned = whole(signatureOf(whole(0)).length)
  return Buffer.concat([unsigned, signatureOf(unsigned)])
}

const faults = (bytes: Buffer) => faultsOfMachO(bytes, exported, '11.0').faults.join('; ')

describe('a binary for Macs', () => {
  it('as it should be is taken, and the oldest macOS is told', () => {
    expect(faultsOfMachO(file(), exported, '11.0')).toEqual({ faults: [], oldest: '11.0' })
  })

  it.each<[string, Partial<typeof good>, RegExp]>([
    ['of another processor', { cpu: 0x01000007 }, /^it is not for arm64$/],
    [
      'with a C++ library',
      { libraries: [system, '/usr/lib/libc++.1.dylib'] },
      /^it needs \/usr\/lib\/libc\+\+\.1\.dylib/,
    ],
    ["without the system's library", { libraries: [] }, /does not name .*libSystem.*nobody gives it memcpy$/],
    ['for a newer macOS', { minimum: 0x000e0200 }, /^it is for macOS 14\.2, but is to run on 11\.0$/],
    ["that looks for Node's functions in itself", { bound: [['_napi_throw', 0x30]] }, /^nobody gives it napi_throw$/],
    [
      "that looks for Node's functions in the system",
      { bound: [['_napi_throw', 0x11]] },
      /^nobody gives it napi_throw$/,
    ],
    [
      'that looks for its own functions in whatever is loaded',
      { bound: [...good.bound, ['__ZN9firesteel4neon5tableE', 0x3e]] },
      /^nobody gives it _ZN9firesteel4neon5tableE$/,
    ],
    ['that asks nothing of Node', { bound: [['_memcpy', 0x11]] }, /^it asks for no function of Node$/],
    [
      'that gives more',
      { given: [...good.given, '__ZN4Napi5ErrorC1Ev'] },
      /^it exports _ZN4Napi5ErrorC1Ev \(1 in all\)$/,
    ],
    ['that Node cannot open', { given: [] }, /^it does not export napi_register_module_v1$/],
    ['without a signature', { isSigned: false }, /^it has no signature$/],
    ["with its own functions' names", { symbols: [['__ZN9firesteel4pollEv', 0x0e, 1]] }, /^it is not stripped$/],
    ['with entries of debuggers', { symbols: [['a.cpp', 0x64, 0]] }, /^it is not stripped$/],
  ])('%s is refused', (_, change, told) => {
    expect(faults(file(change))).toMatch(told)
  })

  it('whose bytes changed after it was signed is refused', () => {
    const bytes = file()
    const at = bytes.indexOf('napi_throw')
    bytes.write('napi_t', at, 'latin1')
    expect(faults(bytes)).toBe('')
    bytes.write('napi_x', at, 'latin1')
    expect(faults(bytes)).toBe('its signature is of other bytes')
  })

  it('of another format is refused, and one that was cut off', () => {
    expect(faults(Buffer.from('\x7fELF'.padEnd(64, '\0'), 'latin1'))).toBe('it is no Mach-O file of 64 bits')
    expect(() => faults(file().subarray(0, 100))).toThrow(RangeError)
  })
})

describe('the doctor', () => {
  it('says of a platform whose binary never ran that it did not, and of no other', () => {
    expect(neverRun).toEqual(['darwin-arm64'])
    expect(doctor('darwin-arm64').text).toMatch(/darwin-arm64 was compiled and checked by its tables, but never run/)
    expect(doctor('linux-arm64').text).not.toContain('never run')
  })
})
