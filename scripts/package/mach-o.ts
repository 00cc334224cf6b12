/**
 * Whether a binary for Macs loads where its package says, as read from its Mach-O tables. Those of the dynamic linker
 * are read, because the symbol table does not say where a symbol is looked for. A binary whose signature does not fit
 * is killed on arm64, so the hash of each page is checked as well.
 *
 * Source: mach-o/loader.h and cs_blobs.h of Apple's xnu.
 */
import { createHash } from 'node:crypto'

const magic = 0xfeedfacf
const arm64 = 0x0100000c
const headerBytes = 32
const system = '/usr/lib/libSystem.B.dylib'
/** The place of symbols that are looked for in all that is loaded, such as Node's. */
const everywhere = -2

const commands = {
  symbols: 0x2,
  library: 0xc,
  weakLibrary: 0x80000018,
  signature: 0x1d,
  linking: 0x80000022,
  build: 0x32,
} as const

/**
 * C++ has every binary give its own operators `new` and `delete`, of which the system takes one for all. The linker
 * gives the names of the header, and has no option that hides them.
 */
const ofLinker = /^(_Zn[wa]\w+|_Zd[la]\w+|_mh_dylib_header|__dso_handle)$/

/** A symbol without the underscore that each has. */
const plain = (symbol: string) => symbol.replace(/^_/, '')

/** Bytes that are read one after the other. */
class Reader {
  readonly #bytes: Buffer
  at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get done(): boolean {
    return this.at >= this.#bytes.length
  }

  byte(): number {
    return this.#bytes.readUInt8(this.at++)
  }

  /** A number of seven bits to a byte; only sizes below 2^53 are in a file. */
  leb(): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte()
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
  }

  text(): string {
    const end = this.#bytes.indexOf(0, this.at)
    if (end < 0) throw new Error('a name in the file has no end')
    const text = this.#bytes.toString('latin1', this.at, end)
    this.at = end + 1
    return text
  }
}

interface Import {
  readonly name: string
  /** The number of a library, from 1 on, or a special place. */
  readonly library: number
}

/** The symbols that a program of the dynamic linker binds. */
function imports(program: Buffer): readonly Import[] {
  const found: Import[] = []
  const reader = new Reader(program)
  let [name, library] = ['', 0]
  while (!reader.done) {
    const code = reader.byte()
    const low = code & 15
    const kind = code >> 4
    if (kind === 1) library = low
    else if (kind === 2) library = reader.leb()
    else if (kind === 3) library = low === 0 ? 0 : low - 16
    else if (kind === 4) name = reader.text()
    else if (kind === 6 || kind === 7 || kind === 8) reader.leb()
    else if (kind >= 9) found.push({ name: plain(name), library })
    if (kind === 10 || kind === 12) reader.leb()
    if (kind === 12) reader.leb()
  }
  return found
}

/** The names in a trie of exported symbols. */
function exportsIn(trie: Buffer): readonly string[] {
  const found: string[] = []
  const left: [at: number, name: string][] = trie.length > 0 ? [[0, '']] : []
  for (let node = left.pop(); node !== undefined; node = left.pop()) {
    const reader = new Reader(trie)
    const [at, name] = node
    reader.at = at
    const own = reader.leb()
    if (own > 0) found.push(plain(name))
    reader.at += own
    for (let children = reader.byte(); children > 0; children--) {
      const part = reader.text()
      left.push([reader.leb(), name + part])
    }
    if (left.length > 65_536) throw new Error('the trie of exported symbols runs in a circle')
  }
  return found
}

/** Whether a signature has the hash of every page; null if it has no directory of them. */
function fits(file: Buffer, signature: Buffer): boolean | null {
  const count = signature.length >= 12 && signature.readUInt32BE(0) === 0xfade0cc0 ? signature.readUInt32BE(8) : 0
  for (let i = 0; i < count; i++) {
    if (signature.readUInt32BE(12 + 8 * i) !== 0) continue
    const directory = signature.subarray(signature.readUInt32BE(16 + 8 * i))
    const [hashes, pages, bytes] = [16, 28, 32].map((at) => directory.readUInt32BE(at)) as [number, number, number]
    const [size, kind, , pageBits] = directory.subarray(36, 40) as Buffer & [number, number, number, number]
    if (size !== 32 || kind !== 2) return null
    const page = 2 ** pageBits
    if (pages !== Math.ceil(bytes / page) || bytes > file.length) return false
    for (let k = 0; k < pages; k++) {
      const hash = createHash('sha256')
        .update(file.subarray(k * page, Math.min(bytes, (k + 1) * page)))
        .digest()
      if (!hash.equals(directory.subarray(hashes + 32 * k, hashes + 32 * (k + 1)))) return false
    }
    return true
  }
  return null
}

/** Whether the table of symbols has entries of debuggers, or names of the binary's own functions. */
function hasOwnNames(file: Buffer, table: Buffer): boolean {
  const [from, count, texts] = [0, 4, 8].map((at) => table.readUInt32LE(at)) as [number, number, number]
  for (let i = 0; i < count; i++) {
    const entry = file.subarray(from + 16 * i, from + 16 * (i + 1))
    const [kind, section] = [entry.readUInt8(4), entry.readUInt8(5)]
    if ((kind & 0xe0) !== 0) return true
    const isLocal = (kind & 1) === 0 && section > 0
    const reader = new Reader(file.subarray(file.readUInt32LE(from + 16 * i) + texts))
    // The linker adds code for far calls, under names of its own, which tell nothing of the sources.
    if (isLocal && /^_+ZN?K?9firesteel/.test(reader.text())) return true
  }
  return false
}

const release = (packed: number) => `${packed >>> 16}.${(packed >>> 8) & 255}`

/**
 * The faults of a binary, and the oldest macOS that it names. It may need the system's library and Node's functions
 * only, and may give nothing but `exported`. Throws RangeError or Error if its tables lead out of the file.
 */
export function faultsOfMachO(
  file: Buffer,
  exported: readonly string[],
  oldest: string,
): { readonly faults: readonly string[]; readonly oldest: string | null } {
  if (file.length < headerBytes || file.readUInt32LE(0) !== magic)
    return { faults: ['it is no Mach-O file of 64 bits'], oldest: null }
  const faults: string[] = []
  if (file.readUInt32LE(4) !== arm64) faults.push('it is not for arm64')
  const libraries: string[] = []
  const bound: Import[] = []
  let given: readonly string[] = []
  let told: string | null = null
  let isSigned: boolean | null = null
  let isNamed = false
  let at = headerBytes
  for (let left = file.readUInt32LE(16); left > 0; left--) {
    const size = file.readUInt32LE(at + 4)
    if (size < 8) throw new RangeError(`a command of the file has ${size} bytes`)
    const body = file.subarray(at + 8, at + size)
    /** The bytes whose place and size the command has there. */
    const part = (place: number) => {
      const start = body.readUInt32LE(place)
      return file.subarray(start, start + body.readUInt32LE(place + 4))
    }
    const command = file.readUInt32LE(at)
    if (command === commands.library || command === commands.weakLibrary)
      libraries.push(body.toString('latin1', body.readUInt32LE(0) - 8).replace(/\0.*$/s, ''))
    if (command === commands.build && body.readUInt32LE(0) === 1) told = release(body.readUInt32LE(4))
    if (command === commands.signature) isSigned = fits(file, part(0))
    if (command === commands.symbols) isNamed = hasOwnNames(file, body)
    if (command === commands.linking) {
      bound.push(...imports(part(8)), ...imports(part(24)))
      given = exportsIn(part(32))
    }
    at += size
  }
  if (told !== oldest) faults.push(`it is for macOS ${told ?? 'of no version'}, but is to run on ${oldest}`)
  const strange = libraries.filter((name) => name !== system)
  if (strange.length > 0) faults.push(`it needs ${strange.join(', ')}, which a Mac may lack`)
  if (!libraries.includes(system)) faults.push(`it does not name ${system}`)
  const isNodes = (name: string) => /^(napi|node_api)_/.test(name)
  const lost = bound.filter(({ name, library }) =>
    isNodes(name) ? library !== everywhere : library < 1 || library > libraries.length,
  )
  if (lost.length > 0)
    faults.push(`nobody gives it ${[...new Set(lost.map(({ name }) => name))].slice(0, 5).join(', ')}`)
  if (!bound.some(({ name }) => isNodes(name))) faults.push('it asks for no function of Node')
  const surplus = given.filter((name) => !exported.includes(name) && !ofLinker.test(name))
  if (surplus.length > 0) faults.push(`it exports ${surplus.slice(0, 5).join(', ')} (${surplus.length} in all)`)
  const missing = exported.filter((name) => !given.includes(name))
  if (missing.length > 0) faults.push(`it does not export ${missing.join(', ')}`)
  if (isSigned === null) faults.push('it has no signature')
  if (isSigned === false) faults.push('its signature is of other bytes')
  if (isNamed) faults.push('it is not stripped')
  return { faults, oldest: told }
}
