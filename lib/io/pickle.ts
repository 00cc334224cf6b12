/**
 * The subset of Python's pickle in which `torch.save` writes tensors. It is interpreted and never run: numbers, texts,
 * lists, tuples, dictionaries, and a handful of functions by name, each of which is a case here. Anything else is
 * refused by its name. Format: https://docs.python.org/3/library/pickletools.html
 */
import type { FormatDType } from './header.js'

/** A storage of elements, by the name under which the file has its bytes. */
export interface StorageRef {
  readonly kind: 'storage'
  readonly key: string
  /** Null if the tensor tells the dtype, because the storage has only bytes. */
  readonly dtype: FormatDType | null
  readonly count: number
}

/** A view of a storage, in elements. */
export interface TensorRef {
  readonly kind: 'tensor'
  readonly storage: StorageRef
  readonly dtype: FormatDType
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]
}

/** A Python name, and its meaning here. */
interface Named {
  readonly kind: 'named'
  readonly name: string
}

interface Other {
  readonly kind: 'other'
}

export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Value[]
  | Map<Value, Value>
  | Uint8Array
  | StorageRef
  | TensorRef
  | Named
  | Other

const storageDTypes: { readonly [name: string]: FormatDType | null } = {
  'torch.FloatStorage': 'F32',
  'torch.DoubleStorage': 'F64',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.LongStorage': 'I64',
  'torch.IntStorage': 'I32',
  'torch.ShortStorage': 'I16',
  'torch.CharStorage': 'I8',
  'torch.ByteStorage': 'U8',
  'torch.BoolStorage': 'BOOL',
  'torch.ComplexFloatStorage': 'C64',
  'torch.storage.UntypedStorage': null,
  'torch.UntypedStorage': null,
}

const elementDTypes: { readonly [name: string]: FormatDType } = {
  'torch.float32': 'F32',
  'torch.float64': 'F64',
  'torch.float16': 'F16',
  'torch.bfloat16': 'BF16',
  'torch.int64': 'I64',
  'torch.int32': 'I32',
  'torch.int16': 'I16',
  'torch.int8': 'I8',
  'torch.uint8': 'U8',
  'torch.uint16': 'U16',
  'torch.uint32': 'U32',
  'torch.uint64': 'U64',
  'torch.bool': 'BOOL',
  'torch.complex64': 'C64',
  'torch.float8_e4m3fn': 'F8_E4M3',
  'torch.float8_e5m2': 'F8_E5M2',
  'torch.float8_e4m3fnuz': 'F8_E4M3FNUZ',
  'torch.float8_e5m2fnuz': 'F8_E5M2FNUZ',
  'torch.float8_e8m0fnu': 'F8_E8M0',
}

const other: Other = { kind: 'other' }

/** Functions that a pickle may call. Their results on plain values are not used. */
type Call = (args: readonly Value[], fail: (why: string) => never) => Value
const calls: { readonly [name: string]: Call } = {
  'collections.OrderedDict': () => new Map(),
  'collections.defaultdict': () => new Map(),
  'collections.Counter': () => new Map(),
  'torch._utils._rebuild_tensor': rebuildTensor,
  'torch._utils._rebuild_tensor_v2': rebuildTensor,
  'torch._utils._rebuild_tensor_v3': rebuildTensor,
  'torch._utils._rebuild_parameter': ([data = null]) => data,
  'torch._utils._rebuild_parameter_with_state': ([data = null]) => data,
  'torch.Size': ([sizes = []]) => sizes,
  'torch.device': () => other,
  'torch.serialization._get_layout': () => other,
  '__builtin__.set': ([items = []]) => items,
  'builtins.set': ([items = []]) => items,
  '__builtin__.complex': () => other,
  'builtins.complex': () => other,
  '_codecs.encode': () => other,
}

const harmless = ['torch.strided', 'torch.per_tensor_affine', 'torch.preserve_format', 'torch.contiguous_format']

function isKnown(name: string): boolean {
  return [calls, storageDTypes, elementDTypes].some((names) => Object.hasOwn(names, name)) || harmless.includes(name)
}

function isKind<K extends string>(value: Value | undefined, kind: K): value is Extract<Value, { readonly kind: K }> {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind
}

function rebuildTensor(args: readonly Value[], fail: (why: string) => never): TensorRef {
  const [storage, offset, shape, strides, , , named] = args
  if (!isKind(storage, 'storage')) return fail('has a tensor without a storage')
  const counts = (what: string, list: Value | undefined): number[] => {
    if (!Array.isArray(list) || !list.every((size) => Number.isSafeInteger(size) && (size as number) >= 0))
      return fail(`has a tensor whose ${what} are not integers of at least 0`)
    return list as number[]
  }
  const [sizes, steps] = [counts('sizes', shape), counts('strides', strides)]
  if (sizes.length !== steps.length || sizes.length > 64)
    return fail(`has a tensor of ${sizes.length} sizes and ${steps.length} strides`)
  const [start] = counts('offsets', [offset ?? null])
  const own = isKind(named, 'named') ? elementDTypes[named.name] : undefined
  const dtype = storage.dtype ?? own
  if (dtype === undefined || dtype === null) return fail('has a tensor of an unknown dtype')
  return { kind: 'tensor', storage, dtype, offset: start as number, shape: sizes, strides: steps }
}

/** The storage of a persistent id: `('storage', class, key, location, count)`. */
function storageOf(id: Value, fail: (why: string) => never): StorageRef {
  const [tag, type, key, , count, view = null] = Array.isArray(id) ? id : []
  if (tag !== 'storage' || !isKind(type, 'named') || !Object.hasOwn(storageDTypes, type.name))
    return fail('has a persistent id that is not a storage')
  if (typeof key !== 'string' || !Number.isSafeInteger(count) || (count as number) < 0)
    return fail('has a storage without a name or a count')
  if (view !== null) return fail('has a view of another storage, as torch before 0.4 wrote it')
  return { kind: 'storage', key, dtype: storageDTypes[type.name] ?? null, count: count as number }
}

/** A pickle as a value, and the place where it ends. Memory grows only with its bytes. `fail` receives the fault. */
export function unpickle(
  bytes: Uint8Array,
  from: number,
  fail: (why: string) => never,
): { readonly value: Value; readonly end: number } {
  return new Machine(bytes, from, fail).run()
}

class Machine {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #fail: (why: string) => never
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  readonly #memo = new Map<number, Value>()
  readonly #marks: number[] = []
  #stack: Value[] = []
  #at: number

  constructor(bytes: Uint8Array, from: number, fail: (why: string) => never) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#at = from
    this.#fail = (why) => fail(`its pickle ${why} (at byte ${this.#at})`)
  }

  run(): { readonly value: Value; readonly end: number } {
    for (;;) {
      const code = this.#take(1)[0] as number
      if (code === 0x2e) return { value: this.#pop(), end: this.#at }
      const value = this.#step(String.fromCharCode(code), code)
      if (value !== undefined) this.#push(value)
    }
  }

  /** Runs an instruction. Returns the value for the stack, or undefined if there is none. */
  #step(letter: string, code: number): Value | undefined {
    switch (letter) {
      case '\x80':
        if (this.#number(1) > 5) this.#fail('is of a protocol above 5')
        return undefined
      case '\x95':
        this.#length(8)
        return undefined
      case '(':
        this.#marks.push(this.#stack.length)
        return undefined
      case '0':
        this.#pop()
        return undefined
      case '1':
        this.#popMark()
        return undefined
      case '2':
        return this.#top()
      case 'N':
        return null
      case '\x88':
      case '\x89':
        return letter === '\x88'
      case 'K':
        return this.#number(1)
      case 'M':
        return this.#number(2)
      case 'J':
        return this.#number(4) | 0
      case '\x8a':
        return integerOf(this.#take(this.#number(1)))
      case '\x8b':
        return integerOf(this.#take(this.#length(4)))
      case 'G':
        return new DataView(this.#take(8).slice().buffer).getFloat64(0)
      case 'X':
        return this.#text(this.#length(4))
      case '\x8c':
        return this.#text(this.#length(1))
      case '\x8d':
        return this.#text(this.#length(8))
      case 'U':
        return this.#text(this.#length(1))
      case 'T':
        return this.#text(this.#length(4))
      case 'B':
        return this.#take(this.#length(4))
      case 'C':
        return this.#take(this.#length(1))
      case '\x8e':
      case '\x96':
        return this.#take(this.#length(8))
      case ')':
      case ']':
      case '\x8f':
        return []
      case '}':
        return new Map()
      case 't':
      case 'l':
      case '\x91':
        return this.#popMark()
      case '\x85':
      case '\x86':
      case '\x87':
        return this.#tuple(code - 0x84)
      case 'd':
        return this.#dictionary()
      case 'a':
        this.#append([this.#pop()])
        return undefined
      case 'e':
      case '\x90':
        this.#append(this.#popMark())
        return undefined
      case 's':
        this.#set([this.#pop(), this.#pop()].reverse())
        return undefined
      case 'u':
        this.#set(this.#popMark())
        return undefined
      case 'c':
        return this.#global(this.#line(), this.#line())
      case '\x93': {
        const [name, module] = [this.#pop(), this.#pop()]
        return this.#global(String(module), String(name))
      }
      case 'R':
      case '\x81': {
        const args = this.#pop()
        return this.#call(this.#pop(), args)
      }
      case 'b':
        this.#build(this.#pop())
        return undefined
      case 'Q':
        return storageOf(this.#pop(), this.#fail)
      case 'h':
        return this.#recall(this.#number(1))
      case 'j':
        return this.#recall(this.#number(4))
      case 'q':
        this.#keep(this.#number(1))
        return undefined
      case 'r':
        this.#keep(this.#number(4))
        return undefined
      case '\x94':
        this.#keep(this.#memo.size)
        return undefined
    }
    return this.#fail(`has the instruction 0x${code.toString(16).padStart(2, '0')}, which no file of tensors needs`)
  }

  #take(count: number): Uint8Array {
    const end = this.#at + count
    if (end > this.#bytes.length) this.#fail('is cut off')
    const taken = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return taken
  }

  /** A number of one, two or four bytes. */
  #number(bytes: 1 | 2 | 4): number {
    const at = this.#at
    this.#take(bytes)
    return bytes === 1
      ? this.#view.getUint8(at)
      : bytes === 2
        ? this.#view.getUint16(at, true)
        : this.#view.getUint32(at, true)
  }

  /** A length that must be there. */
  #length(bytes: 1 | 4 | 8): number {
    const at = this.#at
    this.#take(bytes)
    const view = this.#view
    const length =
      bytes === 8 ? Number(view.getBigUint64(at, true)) : bytes === 4 ? view.getUint32(at, true) : view.getUint8(at)
    if (length > this.#bytes.length - this.#at) this.#fail('is cut off')
    return length
  }

  #text(length: number): string {
    try {
      return this.#decoder.decode(this.#take(length))
    } catch (error) {
      if (error instanceof TypeError) return this.#fail('has a text that is not UTF-8')
      throw error
    }
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at)
    if (end < 0 || end - this.#at > 1000) return this.#fail('has a name without an end')
    const text = this.#text(end - this.#at)
    this.#at = end + 1
    return text
  }

  #push(value: Value): void {
    this.#stack.push(value)
  }

  #pop(): Value {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) return this.#fail('takes a value where there is none')
    return this.#stack.pop() as Value
  }

  #top(): Value {
    const value = this.#pop()
    this.#push(value)
    return value
  }

  #popMark(): Value[] {
    const mark = this.#marks.pop()
    return mark === undefined ? this.#fail('takes values up to a mark where there is none') : this.#stack.splice(mark)
  }

  #tuple(count: number): Value[] {
    return Array.from({ length: count }, () => this.#pop()).reverse()
  }

  #dictionary(): Value {
    const pairs = this.#popMark()
    this.#push(new Map())
    this.#set(pairs)
    return this.#pop()
  }

  #append(values: readonly Value[]): void {
    const list = this.#top()
    if (!Array.isArray(list)) throw this.#fail('appends to something that is not a list')
    for (const value of values) list.push(value)
  }

  #set(pairs: readonly Value[]): void {
    const table = this.#top()
    if (!(table instanceof Map)) throw this.#fail('puts an entry into something that is not a dictionary')
    if (pairs.length % 2 === 1) this.#fail('has a key without a value')
    for (let i = 0; i < pairs.length; i += 2) table.set(pairs[i] as Value, pairs[i + 1] as Value)
  }

  #global(module: string, name: string): Named {
    const whole = `${module}.${name}`
    if (!isKnown(whole))
      this.#fail(
        `asks for ${JSON.stringify(whole.slice(0, 200))}, which is none of the names that files of tensors need; nothing was run`,
      )
    return { kind: 'named', name: whole }
  }

  #call(what: Value, args: Value): Value {
    const call = isKind(what, 'named') && Object.hasOwn(calls, what.name) ? calls[what.name] : undefined
    if (call === undefined || !Array.isArray(args)) return this.#fail('calls something that is not a function')
    return call(args, this.#fail)
  }

  /** Attributes of an object, such as the versions of a state dictionary. They hold no tensors. */
  #build(_: Value): void {
    const target = this.#top()
    if (!(target instanceof Map) && !isKind(target, 'tensor')) this.#fail('sets attributes of something that has none')
  }

  #recall(key: number): Value {
    const value = this.#memo.get(key)
    return value === undefined ? this.#fail(`takes the value ${key}, which it did not keep`) : value
  }

  #keep(key: number): void {
    this.#memo.set(key, this.#top())
  }
}

/** An integer in two's complement, with the lowest byte first. */
function integerOf(bytes: Uint8Array): number | bigint {
  if (bytes.length > 16) return 0n
  let value = 0n
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] as number)
  if (((bytes.at(-1) ?? 0) & 0x80) !== 0) value -= 1n << BigInt(8 * bytes.length)
  return Number.isSafeInteger(Number(value)) ? Number(value) : value
}
