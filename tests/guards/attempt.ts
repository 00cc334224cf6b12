/**
 * The values that programs pass by mistake: values that are not options, of another realm, of another device, disposed,
 * aliased, shared, empty, huge, NaN. Each call must give a result, or throw one of the library's own errors that names
 * the called function.
 */
import vm from 'node:vm'
import * as f from '../../lib/index.js'
import type { PublicCall } from '../cases/sound.js'

const errors = [
  ...[f.ShapeError, f.DTypeError, f.DeviceError, f.ValueError, f.IndexOutOfRangeError, f.DisposedError],
  ...[f.OutOfMemoryError, f.AutogradError, f.StateDictError],
]

class Custom {
  readonly value = 1
}
/** One realm serves all, because making one takes longer than a hundred calls. */
const realm = vm.createContext()
const disposed = () => {
  const x = f.rand([2, 3])
  x.dispose()
  return x
}

/** Values that are wrong everywhere, or in most places. */
const hostile: readonly (readonly [string, () => unknown])[] = [
  ['null', () => null],
  ['NaN', () => Number.NaN],
  ['Infinity', () => Number.POSITIVE_INFINITY],
  ['-1', () => -1],
  ['0', () => 0],
  ['0.5', () => 0.5],
  ['2^53', () => 2 ** 53],
  ['2^31', () => 2 ** 31],
  ['1e300', () => 1e300],
  ['a bigint', () => 3n],
  ['a string', () => 'x'],
  ['the empty string', () => ''],
  ['true', () => true],
  ['a symbol', () => Symbol('x')],
  ['a list of symbols', () => [Symbol('x')]],
  ['a list of bigints', () => [2n, 3n]],
  ['a function', () => () => 1],
  [
    'an object whose constructor throws',
    () =>
      Object.defineProperty({}, 'constructor', {
        get() {
          throw new Error('constructor was read')
        },
      }),
  ],
  ['an empty object', () => ({})],
  ['an object without a prototype', () => Object.assign(Object.create(null), { x: 1 })],
  ['an unknown option', () => ({ definitelyNoOption: 1 })],
  ['an instance of a class', () => new Custom()],
  ['a Map', () => new Map([['x', 1]])],
  ['a Date', () => new Date(0)],
  ['a promise', () => Promise.resolve(1)],
  [
    'a proxy that throws',
    () =>
      new Proxy(
        {},
        {
          get: () => {
            throw new f.ValueError('proxy', 'was read')
          },
        },
      ),
  ],
  ['an empty list', () => []],
  ['a list with a hole', () => Object.assign(new Array(3), { 0: 1, 2: 2 })],
  ['a list with NaN', () => [Number.NaN, 2]],
  ['a list of null', () => [null]],
  ['a list of another realm', () => vm.runInContext('[2, 3]', realm)],
  ['a typed array', () => new Float32Array([1, 2, 3])],
  ['a typed array of another realm', () => vm.runInContext('new Float32Array([1, 2, 3])', realm)],
  ['shared memory', () => new Float32Array(new SharedArrayBuffer(12))],
  ['a Buffer', () => Buffer.from('abc')],
  ['BigInt64Array', () => new BigInt64Array(3)],
  ['a DataView', () => new DataView(new ArrayBuffer(8))],
  [
    'detached memory',
    () => {
      const x = new Float32Array(3)
      structuredClone(x, { transfer: [x.buffer] })
      return x
    },
  ],
  ['a disposed tensor', disposed],
  ['a tensor of another device', () => f.rand([2, 3], { device: 'reference' })],
  ['an empty tensor', () => f.zeros([0])],
  ['a tensor of int32', () => f.randint(0, 3, [2, 3])],
  ['a tensor of bool', () => f.rand([2, 3]).gt(0.5)],
  ['a tensor of bfloat16', () => f.rand([2, 3]).to('bfloat16')],
  ['a tensor of NaN', () => f.full([2, 3], Number.NaN)],
  ['an expanded tensor', () => f.rand([1, 1]).expand([2, 3])],
  ['a module', () => new f.nn.Linear(2, 2)],
]

/** The fault in how a call ended, or null. */
function faultOf(error: unknown, { names }: PublicCall): string | null {
  if (error instanceof f.ValueError && error.op === 'proxy') return null
  if (!(error instanceof Error)) return `threw ${String(error)}, which is no error`
  if (!errors.some((each) => error instanceof each)) return `threw ${error.name}: ${error.message}`
  const known = names.some((name) => {
    // The error of a layer's forward names the place at its end, or the layer itself.
    const [layer, forward] = name.split('.')
    if (forward !== undefined && (error.message.startsWith(`[${layer}]`) || error.message.includes(`(in ${layer}`)))
      return true
    return error.message.startsWith(`[${name}`) || error.message.includes(`.${name}]`)
  })
  return known ? null : `did not name what was called: ${error.message}`
}

async function settle(result: unknown): Promise<void> {
  const value = await result
  for (const device of ['cpu', 'reference']) f.device(device).synchronize()
  for (const each of Array.isArray(value) ? value : [value])
    if (each instanceof f.Tensor && each.numel < 1e5 && !each.storage.freed) each.detach().dataSync()
}

async function attempt(entry: PublicCall, args: unknown[]): Promise<string | null> {
  try {
    await settle(entry.call(...(args as never[])))
    return null
  } catch (error) {
    return faultOf(error, entry)
  } finally {
    try {
      f.device('cpu').synchronize()
    } catch {
      // This is a second late error of the same call.
    }
  }
}

/**
 * The faults in one call's refusals when each argument, and each option, is wrong in turn. `tried` counts the calls.
 */
export async function faultsOf(entry: PublicCall, tried: { count: number }): Promise<string[]> {
  const faults: string[] = []
  const attemptWith = async (what: string, args: unknown[]) => {
    tried.count++
    const fault = await attempt(entry, args)
    if (fault !== null) faults.push(`${entry.names[0]}, ${what}: ${fault}`)
  }
  await attemptWith('sound arguments', entry.args())
  for (const [place, arg] of entry.args().entries()) {
    for (const [what, value] of place === entry.self ? [] : hostile) {
      const args = entry.args()
      args[place] = value()
      await attemptWith(`argument ${place} ${what}`, args)
    }
    if (arg === null || typeof arg !== 'object' || Object.getPrototypeOf(arg) !== Object.prototype) continue
    // One option is wrong, and the others are sound.
    for (const option of Object.keys(arg))
      for (const [what, value] of hostile) {
        const args = entry.args()
        args[place] = { ...(args[place] as object), [option]: value() }
        await attemptWith(`option ${option} ${what}`, args)
      }
  }
  return faults
}
