/**
 * Calls the public functions with sound arguments, some of which are made wrong. Each call must give a result or throw,
 * at once or when the device is waited for, one of Firesteel's errors or a TypeError whose message names the operator.
 * (If the compiler would have refused an argument other than a tensor, the language's own TypeError is allowed.)
 * Afterwards the device must compute as before.
 *
 * `tsx api.ts SEED SECONDS FILE [COUNT]`: writes each call into FILE beforehand, so that a crash or a hang can be
 * traced. It ends after SECONDS, or after COUNT calls.
 */
import { openSync, writeSync } from 'node:fs'
import * as f from '../../lib/index.js'
import { randomOf } from '../cases/case.js'
import type { PublicCall } from '../cases/sound.js'
import { publicCalls } from './calls.js'

const [, , seedText = '1', secondsText = '5', path = '', countText = 'Infinity'] = process.argv
const seed = Number(seedText)
const random = randomOf(seed)
const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T

/** Sizes that a machine can hold, or that none can. Sizes in between would only be slow. */
const wrongNumbers = [
  ...[0, 1, 2, 5, -1, -3, -0, 0.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  ...[1e300, -1e300, 2 ** 40, 2 ** 53, -(2 ** 40)],
]

const freed = () => {
  const x = f.rand([2, 3])
  x.dispose()
  return x
}
const wrongTensors: readonly (() => f.Tensor)[] = [
  freed,
  () => f.rand([]),
  () => f.rand([0]),
  () => f.rand([0, 3]),
  () => f.rand([7]),
  () => f.rand([2, 3]),
  () => f.rand([3, 2]).transpose(0, 1),
  () => f.rand([2, 2, 2, 2, 2]),
  () => f.rand([1, 1]).expand([2, 3]),
  () => f.randint(-5, 100, [2, 3]),
  () => f.randint(-5, 100, [3]),
  () => f.rand([2, 3]).gt(0.5),
  () => f.rand([2, 3]).sub(2).log(),
  () => f.rand([2, 3], { device: 'reference' }),
  () => f.rand([2, 3], { device: 'reference' }).to('float64'),
]
const wrongThings: readonly (() => unknown)[] = [
  ...[undefined, null, '', 'x', true, {}, [], [[]], 10n].map((value) => () => value),
  () => pick(wrongNumbers),
  () => pick(wrongTensors)(),
  () => [pick(wrongNumbers), pick(wrongNumbers)],
  () => [pick(wrongTensors)(), pick(wrongTensors)()],
  () => ({ shape: [2, 3] }),
  () => new Float32Array(3),
  () => () => 1,
]

/** Whether the compiler would have refused the last call for something other than a value in place of a tensor. */
let miscompiled = false

function wrongThing(inPlaceOfTensor: boolean): unknown {
  if (!inPlaceOfTensor) miscompiled = true
  return pick(wrongThings)()
}

/** Another value in place of the given one, usually of the same kind. */
function spoil(value: unknown): unknown {
  if (random() < 0.2) return wrongThing(value instanceof f.Tensor)
  if (typeof value === 'number') return pick(wrongNumbers)
  if (value instanceof f.Tensor) return pick(wrongTensors)()
  if (Array.isArray(value) && value.length > 0) {
    const copy = [...value]
    const at = Math.floor(random() * copy.length)
    const how = random()
    if (how < 0.2) copy.splice(at, 1)
    else if (how < 0.4) copy.push(copy[at])
    else copy[at] = spoil(copy[at])
    return copy
  }
  if (value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    const key = pick(Object.keys(value))
    return { ...value, [key]: spoil((value as { [name: string]: unknown })[key]) }
  }
  return wrongThing(false)
}

const firesteelErrors = [
  ...[f.ShapeError, f.DTypeError, f.DeviceError, f.ValueError, f.IndexOutOfRangeError, f.DisposedError],
  ...[f.OutOfMemoryError, f.AutogradError, f.StateDictError, f.InternalError],
]

/** The fault of an error, or null. */
function fault(error: unknown, { names }: PublicCall): string | null {
  const typed = firesteelErrors.some((each) => error instanceof each)
  if (!(error instanceof Error)) return 'threw something that is no error'
  if (!typed && !(error instanceof TypeError)) return `threw ${error.name}, which is not one of ours`
  if (error instanceof f.InternalError) return 'let the addon find out'
  if (!typed && miscompiled) unnamed++
  else if (!typed && !names.some((name) => error.message.includes(name))) return 'did not name the operator'
  if (typed && !/^\[[\w. ]+\] ./.test(error.message)) return 'did not begin with the operator'
  return null
}

function describe(value: unknown, depth = 0): string {
  if (value instanceof f.Tensor) return value.storage.freed ? 'a freed tensor' : value.describe()
  if (value instanceof f.nn.Module) return value.constructor.name
  if (Array.isArray(value) && depth < 3) return `[${value.map((item) => describe(item, depth + 1)).join(', ')}]`
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'string') return `'${value}'`
  if (value !== null && typeof value === 'object' && depth < 3) {
    const entries = Object.entries(value).slice(0, 6)
    return `{ ${entries.map(([key, item]) => `${key}: ${describe(item, depth + 1)}`).join(', ')} }`
  }
  return String(value)
}

const cpu = f.defaultDevice()

function checkAlive(): void {
  const sum = f
    .fromTypedArray(Float32Array.of(1, 2, 3), [3])
    .add(1)
    .sum()
    .item()
  if (sum !== 9) throw new Error(`1 + 2 + 3 + 3 is ${sum}`)
}

/** Reads all tensors of the result, so that late errors show. */
function settle(result: unknown): void {
  cpu.synchronize()
  f.device('reference').synchronize()
  for (const value of Array.isArray(result) ? result : [result])
    if (value instanceof f.Tensor && value.numel < 1e6) value.detach().dataSync()
}

const faults = new Map<string, string>()
let calls = 0
/** TypeErrors of the language itself, for arguments that the compiler refuses. Only their stack names the operator. */
let unnamed = 0
let thrown = 0

function once(entry: PublicCall, wrong: number, file: number): void {
  const args = entry.args()
  miscompiled = false
  for (let k = 0; k < wrong && args.length > 0; k++) {
    const at = Math.floor(random() * args.length)
    if (random() < 0.05) {
      args.length = at
      miscompiled = true
    } else args[at] = spoil(args[at])
  }
  if (file >= 0)
    writeSync(file, `call ${calls}: ${entry.names[0]}(${describe(args).slice(1, -1)})`.padEnd(600).slice(0, 600), 0)
  calls++
  try {
    settle(entry.call(...(args as never[])))
  } catch (error) {
    thrown++
    const found = wrong === 0 ? 'failed with sound arguments' : fault(error, entry)
    if (found !== null) {
      const { name, message } = error as Error
      const key = `${entry.names[0]} ${found}`
      if (!faults.has(key))
        faults.set(key, `${key}: ${entry.names[0]}(${describe(args).slice(1, -1)}) -> ${name}: ${message}`)
    }
    try {
      cpu.synchronize()
    } catch {
      // This is a second, late error of the same call, which has two wrong arguments.
    }
  }
}

const file = path === '' ? -1 : openSync(path, 'r+')
f.manualSeed(seed)
for (const entry of publicCalls) f.scope(() => once(entry, 0, file))
const end = performance.now() + 1000 * Number(secondsText)
while (performance.now() < end && calls < Number(countText)) {
  f.scope(() => once(pick(publicCalls), pick([1, 1, 2]), file))
  if (calls % 200 === 0) checkAlive()
}
checkAlive()
process.stdout.write(
  `seed ${seed}: ${calls} calls of ${publicCalls.length} functions, ${thrown} threw, ${unnamed} of them the language's TypeError\n`,
)
if (faults.size > 0) {
  process.stderr.write(`${faults.size} kinds of faults:\n${[...faults.values()].sort().join('\n')}\n`)
  process.exitCode = 1
}
