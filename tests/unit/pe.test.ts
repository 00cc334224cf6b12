/** Binaries for Windows: the reasons to refuse one, on files that are written here byte by byte. */
import { describe, expect, it } from 'vitest'
import { faultsOfPe } from '../../scripts/package/pe.js'
import { nodeFunctions } from '../../scripts/package/windows.js'

const exported = ['napi_register_module_v1']

const good = {
  machine: 0x8664,
  characteristics: 0x2022,
  flags: 0x160,
  symbols: 0,
  libraries: ['KERNEL32.dll', 'api-ms-win-crt-heap-l1-1-0.dll'] as readonly string[],
  delayed: [] as readonly string[],
  given: exported as readonly string[],
}

/** The address and the place of the only section. */
const [address, place] = [0x1000, 0x400]

/** Tables and names of the section, each with the address at which it stands. */
class Section {
  #bytes = Buffer.alloc(16)

  add(bytes: Buffer): number {
    const at = address + this.#bytes.length
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    return at
  }

  text(text: string): number {
    return this.add(Buffer.from(`${text}\0`, 'latin1'))
  }

  /** A table whose rows have the address of a name at `from`, with a row of zeros at its end. */
  names(names: readonly string[], size: number, from: number): number {
    if (names.length === 0) return 0
    const table = Buffer.alloc(size * (names.length + 1))
    for (const [i, name] of names.entries()) table.writeUInt32LE(this.text(name), size * i + from)
    return this.add(table)
  }

  get bytes(): Buffer {
    return this.#bytes
  }
}

function file(change: Partial<typeof good> = {}): Buffer {
  const { machine, characteristics, flags, symbols, libraries, delayed, given } = { ...good, ...change }
  const section = new Section()
  const exports = Buffer.alloc(40)
  exports.writeUInt32LE(given.length, 24)
  exports.writeUInt32LE(section.names(given, 4, 0), 32)
  const tables = [
    [0, section.add(exports)],
    [1, section.names(libraries, 20, 12)],
    [13, section.names(delayed, 32, 4)],
  ] as const
  const head = Buffer.alloc(place)
  head.write('MZ', 'latin1')
  head.writeUInt32LE(64, 60)
  head.write('PE\0\0', 64, 'latin1')
  head.writeUInt16LE(machine, 68)
  head.writeUInt16LE(1, 70)
  head.writeUInt32LE(symbols, 76)
  head.writeUInt16LE(240, 84)
  head.writeUInt16LE(characteristics, 86)
  head.writeUInt16LE(0x20b, 88)
  head.writeUInt16LE(flags, 88 + 70)
  head.writeUInt32LE(16, 88 + 108)
  for (const [number, at] of tables) head.writeUInt32LE(at, 88 + 112 + 8 * number)
  for (const [i, value] of [section.bytes.length, address, section.bytes.length, place].entries())
    head.writeUInt32LE(value, 88 + 240 + 8 + 4 * i)
  return Buffer.concat([head, section.bytes])
}

const faults = (change: Partial<typeof good>) => faultsOfPe(file(change), exported).faults.join('; ')

describe('a binary for Windows', () => {
  it('as it should be is taken, and its libraries are told', () => {
    expect(faultsOfPe(file(), exported)).toEqual({ faults: [], libraries: good.libraries })
  })

  it.each<[string, Partial<typeof good>, RegExp]>([
    ['of another processor', { machine: 0xaa64 }, /^it is not for x64$/],
    ['that is a program', { characteristics: 0x22 }, /^it is a program and no library$/],
    ['whose data may be run', { flags: 0x60 }, /^its place in memory is not random, or its data may be run$/],
    ['with its own names', { symbols: 4096 }, /^it is not stripped$/],
    ['with a C++ library', { libraries: ['KERNEL32.dll', 'libc++.dll'] }, /^it needs libc\+\+\.dll, which a machine/],
    ['that asks node.exe by name', { delayed: ['node.exe'] }, /^it needs node\.exe, which a machine may lack$/],
    ['without the system', { libraries: [] }, /^it does not name kernel32\.dll$/],
    ['that gives more', { given: [...exported, '_ZdlPv'] }, /^it exports _ZdlPv \(1 in all\)$/],
    ['that Node cannot open', { given: [] }, /^it does not export napi_register_module_v1$/],
  ])('%s is refused', (_, change, told) => {
    expect(faults(change)).toMatch(told)
  })

  it('of another format is refused, and one that was cut off', () => {
    expect(faultsOfPe(Buffer.from('\x7fELF'.padEnd(64, '\0'), 'latin1'), exported).faults).toEqual(['it is no PE file'])
    expect(() => faultsOfPe(file().subarray(0, 0x410), exported)).toThrow(RangeError)
  })

  it("finds each function of Node-API 8 once, and none of another library's", () => {
    const names = nodeFunctions()
    expect(new Set(names).size).toBe(names.length)
    expect(names).toContain('napi_create_threadsafe_function')
    expect(names.filter((name) => !/^(napi|node_api)_\w+$/.test(name))).toEqual([])
  })
})
