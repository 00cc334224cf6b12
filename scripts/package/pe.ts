/**
 * Whether a binary for Windows loads where its package says, as read from its PE tables. It may need the system's kernel
 * and C library only, which Windows 10 and later have. It asks no program for Node's functions by name, because it looks
 * for them itself (native/windows/node.cpp).
 *
 * Source: Microsoft's "PE Format".
 */

const x64 = 0x8664
const wide = 0x20b
const isLibrary = 0x2000
/** The flags of a library whose place is random and whose data is not run. */
const guarded = 0x40 | 0x100
const directories = { exports: 0, imports: 1, delayed: 13 } as const
const system = /^(kernel32|api-ms-win-crt-[a-z]+-l\d+-\d+-\d+)\.dll$/i

/** A binary's bytes by the addresses that they have in memory. */
class Image {
  readonly #file: Buffer
  readonly #header: number

  constructor(file: Buffer, header: number) {
    this.#file = file
    this.#header = header
  }

  get #optional(): number {
    return this.#header + 24
  }

  /** The bytes from an address on. Throws RangeError if no section has it. */
  at(address: number): Buffer {
    const file = this.#file
    const count = file.readUInt16LE(this.#header + 6)
    const first = this.#optional + file.readUInt16LE(this.#header + 20)
    for (let i = 0; i < count; i++) {
      const [start, bytes, from] = [12, 16, 20].map((at) => file.readUInt32LE(first + 40 * i + at)) as [
        number,
        number,
        number,
      ]
      if (address >= start && address < start + bytes) return file.subarray(from + address - start, from + bytes)
    }
    throw new RangeError(`no section of the file has the address ${address}`)
  }

  text(address: number): string {
    return this.at(address).toString('latin1', 0, 512).replace(/\0.*$/s, '')
  }

  /** The table of that number; null if there is none. */
  directory(number: number): Buffer | null {
    if (number >= this.#file.readUInt32LE(this.#optional + 108)) return null
    const address = this.#file.readUInt32LE(this.#optional + 112 + 8 * number)
    return address === 0 ? null : this.at(address)
  }

  /** The libraries that a table of imports names; its rows have `bytes`, and the name's address at `place`. */
  libraries(number: number, bytes: number, place: number): readonly string[] {
    const table = this.directory(number)
    const found: string[] = []
    for (let at = 0; table !== null; at += bytes) {
      const name = table.readUInt32LE(at + place)
      if (name === 0) break
      found.push(this.text(name))
    }
    return found
  }

  exports(): readonly string[] {
    const table = this.directory(directories.exports)
    if (table === null) return []
    const count = table.readUInt32LE(24)
    if (count === 0) return []
    const names = this.at(table.readUInt32LE(32))
    return Array.from({ length: count }, (_, i) => this.text(names.readUInt32LE(4 * i)))
  }
}

/**
 * The faults of a binary, and the libraries that it needs. It may give nothing but `exported`. Throws RangeError if its
 * tables lead out of the file.
 */
export function faultsOfPe(
  file: Buffer,
  exported: readonly string[],
): { readonly faults: readonly string[]; readonly libraries: readonly string[] } {
  const header = file.length >= 64 && file.toString('latin1', 0, 2) === 'MZ' ? file.readUInt32LE(60) : file.length
  if (file.toString('latin1', header, header + 4) !== 'PE\0\0') return { faults: ['it is no PE file'], libraries: [] }
  const faults: string[] = []
  if (file.readUInt16LE(header + 4) !== x64 || file.readUInt16LE(header + 24) !== wide) faults.push('it is not for x64')
  if ((file.readUInt16LE(header + 22) & isLibrary) === 0) faults.push('it is a program and no library')
  if ((file.readUInt16LE(header + 24 + 70) & guarded) !== guarded)
    faults.push('its place in memory is not random, or its data may be run')
  if (file.readUInt32LE(header + 12) > 0) faults.push('it is not stripped')
  const image = new Image(file, header)
  const libraries = [...image.libraries(directories.imports, 20, 12), ...image.libraries(directories.delayed, 32, 4)]
  const strange = libraries.filter((name) => !system.test(name))
  if (strange.length > 0) faults.push(`it needs ${strange.join(', ')}, which a machine may lack`)
  if (!libraries.some((name) => /^kernel32\.dll$/i.test(name))) faults.push('it does not name kernel32.dll')
  const given = image.exports()
  const surplus = given.filter((name) => !exported.includes(name))
  if (surplus.length > 0) faults.push(`it exports ${surplus.slice(0, 5).join(', ')} (${surplus.length} in all)`)
  const missing = exported.filter((name) => !given.includes(name))
  if (missing.length > 0) faults.push(`it does not export ${missing.join(', ')}`)
  return { faults, libraries }
}
