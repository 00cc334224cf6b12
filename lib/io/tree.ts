/** Values of plain data and tensors, taken apart into JSON and tensors by name, and put together again. */
import { fromBase64, toBase64 } from '../core/base64.js'
import { isMap } from '../core/engine.js'
import { DisposedError, kindOf, ValueError } from '../core/errors.js'
import { Tensor } from '../core/tensor.js'

/**
 * The deepest nesting. It is bounded, because recursion reads the values. An entry of a Map is three levels of JSON.
 */
export const mostNested = 60

/**
 * The member that marks values for which JSON has no form. An object with such a member of its own is written as
 * entries.
 */
const mark = '$'

const arrays = {
  Float32Array,
  Float64Array,
  Int8Array,
  Int16Array,
  Int32Array,
  Uint8Array,
  Uint8ClampedArray,
  Uint16Array,
  Uint32Array,
} as const

/** Whether an array's memory is gone, which would read as an empty array. */
function isDetached({ buffer }: ArrayBufferView): boolean {
  try {
    new Uint8Array(buffer)
    return false
  } catch {
    return true
  }
}

/** The JSON of a value, and its tensors by their paths: `optimizer.state.0.weight.tensors.exp_avg`. */
export function takeApart(
  op: string,
  value: unknown,
  reserved: readonly string[],
): { readonly json: unknown; readonly tensors: Map<string, Tensor> } {
  const tensors = new Map<string, Tensor>()
  const outer = new Set<object>()
  const refuse = (path: string, what: string): never => {
    throw new ValueError(
      op,
      `${path || 'the value'} is ${what}, but a file holds numbers, texts, booleans, null, lists, plain objects, Maps, typed arrays and tensors`,
    )
  }
  const taken = (at: unknown, path: string): unknown => {
    if (at === null || typeof at === 'boolean' || typeof at === 'string') return at
    if (typeof at === 'number')
      return Number.isFinite(at) && !Object.is(at, -0)
        ? at
        : { [mark]: 'number', value: Object.is(at, -0) ? '-0' : String(at) }
    if (typeof at !== 'object') return refuse(path, kindOf(at))
    if (at instanceof Tensor) {
      if (at.storage.freed)
        throw new DisposedError(op, `${path || 'the tensor'} was freed by dispose(), using or the end of its scope`)
      // Different values may have the same path: { 'a.b': x, a: { b: y } }.
      let name = path || 'tensor'
      while (tensors.has(name) || reserved.includes(name)) name += '+'
      tensors.set(name, at)
      return { [mark]: 'tensor', name }
    }
    if (outer.has(at)) return refuse(path, 'part of itself')
    if (outer.size === mostNested) return refuse(path.slice(0, 80), `nested deeper than ${mostNested}`)
    outer.add(at)
    const inner = (key: string | number, part: unknown) => taken(part, path === '' ? `${key}` : `${path}.${key}`)
    try {
      if (Array.isArray(at)) return at.map((part, i) => inner(i, part))
      if (ArrayBuffer.isView(at)) {
        const name = at.constructor.name
        if (!Object.hasOwn(arrays, name)) return refuse(path, kindOf(at))
        if (isDetached(at)) return refuse(path, `a ${name} whose memory was sent to another thread`)
        return { [mark]: name, bytes: toBase64(at) }
      }
      if (isMap(at)) {
        const entries: [key: string, part: unknown][] = []
        for (const [key, part] of at) {
          if (typeof key !== 'string') return refuse(path, `a Map with the key ${kindOf(key)}`)
          entries.push([key, inner(key, part)])
        }
        return { [mark]: 'map', entries }
      }
      const prototype: unknown = Object.getPrototypeOf(at)
      if (prototype !== Object.prototype && prototype !== null) return refuse(path, kindOf(at))
      // Undefined members are left out, as in JSON.
      const entries = Object.entries(at)
        .filter(([, part]) => part !== undefined)
        .map(([key, part]) => [key, inner(key, part)] as const)
      const plain = entries.every(([key]) => key !== mark && key !== '__proto__')
      return plain ? Object.fromEntries(entries) : { [mark]: 'object', entries }
    } finally {
      outer.delete(at)
    }
  }
  return { json: taken(value, ''), tensors }
}

/** The value that `takeApart` took apart. Throws ValueError for JSON that it cannot have written. */
export function putTogether(op: string, json: unknown, tensors: ReadonlyMap<string, Tensor>): unknown {
  const refuse = (): never => {
    throw new ValueError(
      op,
      'the values are not written as this library writes them; the file was changed, or is of a later version',
    )
  }
  const listed = (entries: unknown): (readonly [string, unknown])[] =>
    Array.isArray(entries)
      ? entries.map((entry: unknown) =>
          Array.isArray(entry) && entry.length === 2 && typeof entry[0] === 'string'
            ? ([entry[0], made(entry[1])] as const)
            : refuse(),
        )
      : refuse()
  const made = (at: unknown): unknown => {
    if (typeof at !== 'object' || at === null) return at
    if (Array.isArray(at)) return at.map(made)
    const own = at as { readonly [key: string]: unknown }
    if (!Object.hasOwn(own, mark))
      return Object.fromEntries(Object.entries(own).map(([key, part]) => [key, made(part)]))
    const kind = own[mark]
    if (kind === 'number') return Number(own['value'])
    if (kind === 'tensor') return tensors.get(own['name'] as string) ?? refuse()
    if (kind === 'map') return new Map(listed(own['entries']))
    if (kind === 'object') {
      const made: { [key: string]: unknown } = {}
      for (const [key, part] of listed(own['entries']))
        Object.defineProperty(made, key, { value: part, enumerable: true, writable: true, configurable: true })
      return made
    }
    if (typeof kind !== 'string' || !Object.hasOwn(arrays, kind) || typeof own['bytes'] !== 'string') return refuse()
    const bytes = fromBase64(own['bytes']) ?? refuse()
    const Array_ = arrays[kind as keyof typeof arrays]
    return bytes.length % Array_.BYTES_PER_ELEMENT === 0 ? new Array_(bytes.buffer) : refuse()
  }
  return made(json)
}
