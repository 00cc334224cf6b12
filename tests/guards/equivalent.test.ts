/**
 * Forms of an argument that mean the same must give the same result, bit for bit. Every public call runs with sound
 * arguments, and with each of them frozen, of another realm, behind a proxy, in shared memory, or seen through a view.
 */
import './memory.js'
import { types } from 'node:util'
import vm from 'node:vm'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import type { PublicCall } from '../cases/sound.js'
import { takeOutput } from '../setup.js'
import { allCalls } from './calls.js'

type Form = (value: unknown) => unknown

const isPlain = (value: unknown): value is { [key: string]: unknown } =>
  typeof value === 'object' &&
  value !== null &&
  Object.getPrototypeOf(value) === Object.prototype &&
  // A list of parameters stays live.
  !(Symbol.iterator in value)

/** Changes every part that `change` accepts. Lists and plain objects around it are copied. */
function deep(change: (value: unknown) => unknown, value: unknown): unknown {
  if (Array.isArray(value)) return change(value.map((each) => deep(change, each)))
  if (isPlain(value))
    return change(Object.fromEntries(Object.entries(value).map(([key, each]) => [key, deep(change, each)])))
  return change(value)
}

/** A plain tensor that a view may replace: neither a parameter nor a leaf that gets a gradient. */
const isData = (value: unknown): value is f.Tensor =>
  value instanceof f.Tensor && value.constructor === f.Tensor && !value.requiresGrad

const onLists = (change: (list: readonly unknown[]) => unknown) => (value: unknown) =>
  Array.isArray(value) ? change(value) : value
const onObjects = (change: (object: object) => unknown) => (value: unknown) => (isPlain(value) ? change(value) : value)
const onData = (change: (x: f.Tensor) => f.Tensor) => (value: unknown) => (isData(value) ? change(value) : value)
const onFloats = (change: (x: Float32Array) => unknown) => (value: unknown) =>
  value instanceof Float32Array ? change(value) : value

const foreign = vm.createContext({})
const foreignList: (items: readonly unknown[]) => unknown = vm.runInContext('(items) => Array.from(items)', foreign)
const foreignObject: (object: object) => unknown = vm.runInContext('(object) => Object.assign({}, object)', foreign)
const foreignFloats: (x: Float32Array) => unknown = vm.runInContext('(x) => Float32Array.from(x)', foreign)
const foreignMap: (map: ReadonlyMap<unknown, unknown>) => unknown = vm.runInContext('(map) => new Map(map)', foreign)
const foreignBytes: (x: Uint8Array) => unknown = vm.runInContext('(x) => Uint8Array.from(x)', foreign)

/** An object of a class whose properties are getters of its prototype. */
function withGetters(object: object): object {
  // A class without any option is refused, because it is not an options object.
  if (Object.keys(object).length === 0) return object
  class Settings {}
  for (const [key, value] of Object.entries(object))
    Object.defineProperty(Settings.prototype, key, { get: () => value, enumerable: true })
  return new Settings()
}

/** State as some libraries hand it out: a write to it throws. */
function readonlyProxy(object: object): object {
  const refuse = () => {
    throw new TypeError('written to')
  }
  return new Proxy(object, { set: refuse, defineProperty: refuse, deleteProperty: refuse })
}

/** The same elements, the last dimension outermost in memory. */
function turned(x: f.Tensor): f.Tensor {
  const back = Array.from({ length: x.ndim }, (_, i) => x.ndim - 1 - i)
  return f.permute(f.permute(x, back).clone(), back)
}

/** The same elements after others, each followed by a gap. */
function spaced(x: f.Tensor): f.Tensor {
  const twice = f.stack([x, x], -1)
  return f.select(f.cat([twice, twice], 0), -1, 1).slice([x.shape[0] ?? 0, null])
}

const forms: readonly (readonly [string, Form])[] = [
  ['frozen', (value) => deep((part) => (Array.isArray(part) || isPlain(part) ? Object.freeze(part) : part), value)],
  ['lists of another realm', (value) => deep(onLists(foreignList), value)],
  ['objects of another realm', (value) => deep(onObjects(foreignObject), value)],
  ['Maps of another realm', (value) => deep((part) => (part instanceof Map ? foreignMap(part) : part), value)],
  [
    'without a prototype',
    (value) =>
      deep(
        onObjects((o) => Object.assign(Object.create(null), o)),
        value,
      ),
  ],
  ['behind a readonly proxy', onObjects(readonlyProxy)],
  ['of a class with getters', onObjects(withGetters)],
  ['a typed array of another realm', onFloats(foreignFloats)],
  [
    'shared memory',
    onFloats((x) => new Float32Array(new SharedArrayBuffer(x.byteLength)).fill(0).map((_, i) => x[i] as number)),
  ],
  ['bytes of another realm', (value) => (value instanceof Uint8Array ? foreignBytes(value) : value)],
  [
    'turned in memory',
    (value) =>
      deep(
        onData((x) => (x.ndim > 1 ? turned(x) : x)),
        value,
      ),
  ],
  [
    'spaced in memory',
    (value) =>
      deep(
        onData((x) => (x.ndim > 0 && x.numel > 0 ? spaced(x) : x)),
        value,
      ),
  ],
]

/** The comparable part of a result: every bit of tensors and states, and the kind of everything else. */
async function seen(value: unknown): Promise<unknown> {
  if (value instanceof f.Tensor) {
    const { buffer } = value.detach().dataSync()
    return [
      value.constructor.name,
      [...value.shape],
      value.dtype,
      value.requiresGrad,
      Buffer.from(buffer).toString('hex'),
    ]
  }
  if (types.isMap(value)) return Promise.all([...value].map(seen))
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')
  if (Array.isArray(value)) return Promise.all(value.map(seen))
  if (typeof value !== 'object' || value === null) return typeof value === 'function' ? 'a function' : value
  if (value instanceof f.nn.Module)
    return [String(value), value.training, await seen(value.namedState().map(([, tensor]) => tensor))]
  if (value instanceof f.Generator) return value.stateDict()
  if ('stateDict' in value && typeof value.stateDict === 'function') return seen(value.stateDict())
  if ('batch' in value && typeof value.batch === 'function') return seen(await value.batch([0]))
  const kind = value.constructor?.name ?? 'Object'
  if (kind !== 'Object') return kind
  // Time always differs.
  return Promise.all(
    Object.entries(value).map(async ([key, each]) => (key === 'seconds' ? key : [key, await seen(each)])),
  )
}

/** Every tensor in the arguments, which a call may write to. */
function tensorsIn(value: unknown, found: f.Tensor[] = []): readonly f.Tensor[] {
  if (value instanceof f.Tensor) found.push(value)
  else if (value instanceof f.nn.Module) found.push(...value.namedState().map(([, tensor]) => tensor))
  else if (types.isMap(value)) for (const each of value.values()) tensorsIn(each, found)
  else if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)) {
    // This includes getters.
    for (const key in value) tensorsIn((value as { readonly [name: string]: unknown })[key], found)
  }
  return found
}

const textOf = (value: unknown) =>
  JSON.stringify(value, (_, each: unknown) =>
    typeof each === 'bigint' ? `${each}n` : each === undefined ? 'undefined' : Object.is(each, -0) ? '-0' : each,
  )

/** The result of a call and its effect on the arguments, from one state of the random numbers. */
async function outcome({ call }: PublicCall, args: unknown[]): Promise<string> {
  f.manualSeed(2)
  const given = await call(...(args as never[]))
  return textOf([await seen(given), await seen(tensorsIn(args))])
}

/** The result of a call, or its refusal. */
async function result({ call }: PublicCall, args: unknown[]): Promise<string> {
  f.manualSeed(2)
  try {
    return textOf(await seen(await call(...(args as never[]))))
  } catch (error) {
    return `threw ${String(error)}`
  }
}

function soundArgs(entry: PublicCall): unknown[] {
  f.manualSeed(1)
  return entry.args()
}

/**
 * A view never copies, and so refuses memory that it cannot see in another shape. Sums over memory with other strides
 * add in another order. That shows in the last bit of the differences in a variance.
 */
const layoutMatters = new Set(['view', 'var', 'std', 'varMean', 'stdMean'])
const refused = ({ names: [name = ''] }: PublicCall, form: string) =>
  layoutMatters.has(name) && form.endsWith('in memory')

const grouped = new Map<string, PublicCall[]>()
for (const entry of allCalls) {
  const [name = ''] = entry.names
  grouped.set(name, [...(grouped.get(name) ?? []), entry])
}

let compared = 0

/** A written tensor must have its own memory. */
const refusal = /share memory|shares memory with another argument/

describe.each(['cpu', 'reference'])('on %s', (device) => {
  beforeAll(() => f.setDefaultDevice(device))
  afterAll(() => f.setDefaultDevice('cpu'))

  it.each([...grouped])('%s takes every form of its arguments', async (_name, calls) => {
    const faults: string[] = []
    for (const entry of calls) {
      const expected = await outcome(entry, soundArgs(entry))
      for (const [form, change] of forms)
        for (const place of soundArgs(entry).keys()) {
          const args = soundArgs(entry)
          const changed = change(args[place])
          if (changed === args[place] || refused(entry, form)) continue
          args[place] = changed
          compared++
          const found = await outcome(entry, args).catch((error: unknown) => `threw ${String(error)}`)
          if (found !== expected)
            faults.push(`argument ${place} ${form}: ${found.slice(0, 300)} instead of ${expected.slice(0, 300)}`)
        }
    }
    await new Promise((resolve) => setImmediate(resolve))
    takeOutput()
    expect(faults).toEqual([])
  })

  it.each([...grouped])('%s takes one tensor twice, and elements that are one in memory', async (_name, calls) => {
    const faults: string[] = []
    const compare = async (entry: PublicCall, what: string, args: unknown[], copied: unknown[]) => {
      compared++
      const [expected, found] = [await result(entry, copied), await result(entry, args)]
      if (found !== expected && !refusal.test(found))
        faults.push(`${what}: ${found.slice(0, 300)} instead of ${expected.slice(0, 300)}`)
    }
    for (const entry of calls) {
      const places = soundArgs(entry).flatMap((arg, place) => (isData(arg) ? [place] : []))
      for (const place of places) {
        const x = soundArgs(entry)[place] as f.Tensor
        if (x.numel > 1) {
          const repeated = f.expand(f.narrow(f.reshape(x, [-1]), 0, 0, 1), [
            ...x.shape.slice(0, -1),
            x.shape.at(-1) as number,
          ])
          const instead = (value: f.Tensor) => soundArgs(entry).map((arg, i) => (i === place ? value : arg))
          await compare(entry, `argument ${place} expanded`, instead(repeated), instead(repeated.clone()))
        }
        for (const other of places.filter((p) => p > place)) {
          const twice = (same: (x: f.Tensor) => f.Tensor) => {
            const args = soundArgs(entry)
            args[other] = same(args[place] as f.Tensor)
            return args
          }
          await compare(
            entry,
            `arguments ${place} and ${other} one`,
            twice((x) => x),
            twice((x) => x.clone()),
          )
        }
      }
    }
    takeOutput()
    expect(faults).toEqual([])
  })
})

it('more than a thousand forms were compared', () => expect(compared).toBeGreaterThan(1000))
