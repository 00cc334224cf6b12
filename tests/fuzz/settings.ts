/**
 * Compares settings of public calls, drawn at random, with PyTorch in float64: results, shapes, gradients, and which
 * settings are refused (tests/fuzz/settings).
 *
 * `tsx settings.ts PYTHON SEED COUNT [FAMILY]`: PYTHON is an interpreter that has torch and numpy. Without a family
 * all take turns. Ends with `N passed, N failed`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import * as f from '../../lib/index.js'
import { randomOf } from '../cases/case.js'
import { families } from './settings/families.js'
import { Choices, type Given, type Setting } from './settings/setting.js'

interface Told {
  readonly shape: f.Shape
  readonly dtype: string
  readonly values: string
}

type Answer = { readonly error: string } | { readonly results: readonly Told[]; readonly gradients: readonly Told[] }

const [, , python = 'python3', seedText = '1', countText = '1000', only] = process.argv
const draw = new Choices(randomOf(Number(seedText)))
const script = fileURLToPath(new URL('settings_answers.py', import.meta.url))
const peer = spawn(python, [script], { stdio: ['pipe', 'pipe', 'inherit'] })
const answers = createInterface({ input: peer.stdout })[Symbol.asyncIterator]()

const encoded = (values: readonly number[]) => Buffer.from(Float64Array.from(values).buffer).toString('base64')
const decoded = (text: string) => new Float64Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer)

async function answerOf({ python: expression, inputs }: Setting): Promise<Answer> {
  const told = inputs.map(({ shape, dtype, values, wanted }) => ({ shape, dtype, values: encoded(values), wanted }))
  peer.stdin.write(`${JSON.stringify({ python: expression, inputs: told })}\n`)
  const { value, done } = await answers.next()
  if (done) throw new Error('PyTorch ended without an answer')
  return JSON.parse(value)
}

/** The gradient that comes in at a result. */
const weightOf = (y: f.Tensor, float: 'float32' | 'float64') => {
  const values = Float64Array.from({ length: y.numel }, (_, i) => (((i * 37 + 11) % 17) - 8) / 8)
  return f.fromTypedArray(values, y.shape, { dtype: float, device: y.device }).to(y.dtype)
}

const make = ({ shape, dtype, values, wanted }: Given, device: f.Device, float: 'float32' | 'float64') => {
  const of = dtype === 'float' ? float : dtype
  const plain = f.fromTypedArray(Float64Array.from(values), shape, { dtype: 'float64', device: 'reference' })
  const x = f.clone(plain.to(of).to(device))
  x.requiresGrad = wanted
  return x
}

/** The first difference from PyTorch's answer, or null. */
function differenceOn(device: f.Device, float: 'float32' | 'float64', setting: Setting, answer: Answer): string | null {
  let results: readonly f.Tensor[]
  let gradients: readonly (f.Tensor | null)[] = []
  let inputs: readonly f.Tensor[]
  try {
    inputs = setting.inputs.map((given) => make(given, device, float))
    const all = setting.call(inputs)
    results = (Array.isArray(all) ? all : [all]) as readonly f.Tensor[]
    const roots = results.filter((y) => y.requiresGrad)
    const wanted = inputs.filter((x) => x.requiresGrad)
    if (roots.length > 0 && wanted.length > 0)
      gradients = f.grad(roots, wanted, { gradOutputs: roots.map((y) => weightOf(y, float)), allowUnused: true })
    for (const y of results) y.detach().dataSync()
  } catch (error) {
    if (setting.mayDiffer !== undefined || 'error' in answer) return null
    return `refused: ${(error as Error).message}`
  }
  if ('error' in answer) return setting.mayDiffer === undefined ? `PyTorch refuses: ${answer.error}` : null
  if (results.length !== answer.results.length) return `${results.length} results, not ${answer.results.length}`
  const wanted = inputs.filter((x) => x.requiresGrad)
  const pairs: [string, f.Tensor | null, Told | undefined][] = results.map((y, i) => [
    `result ${i}`,
    y,
    answer.results[i],
  ])
  const given = answer.gradients
  if (given.length > 0) for (const i of wanted.keys()) pairs.push([`gradient ${i}`, gradients[i] ?? null, given[i]])
  for (const [what, ours, theirs] of pairs) {
    if (theirs === undefined) return `${what} is missing in PyTorch`
    const exact = decoded(theirs.values)
    if (ours === null) {
      if (exact.some((value) => value !== 0)) return `${what} is missing`
      continue
    }
    if (ours.shape.join() !== theirs.shape.join()) return `${what} has shape [${ours.shape}], not [${theirs.shape}]`
    const dtype = theirs.dtype.replace('torch.int64', 'int32')
    const isFloat = setting.inputs.some((each) => each.dtype === 'float') && dtype === 'float64'
    if (!isFloat && ours.dtype !== dtype) return `${what} is ${ours.dtype}, not ${dtype}`
    const narrow = { bfloat16: 2 ** -7, float16: 2 ** -9 }[ours.dtype as string]
    const unit = narrow ?? (float === 'float64' && isFloat ? 1e-10 : 3e-5)
    const values = ours.detach().dataSync()
    let largest = 1
    for (const value of exact) if (Number.isFinite(value)) largest = Math.max(largest, Math.abs(value))
    for (const [i, value] of exact.entries()) {
      const own = Number(values[i])
      if (Object.is(own, value) || own === value || Math.abs(own - value) <= unit * largest) continue
      return `${what}[${i}] of [${theirs.shape}] is ${own}, not ${value}`
    }
  }
  return null
}

// Layers warn of tensors in place of their parameters, which families put there so that they get gradients.
process.removeAllListeners('warning')

const names = only === undefined ? Object.keys(families) : [only]
const faults = new Map<string, string[]>()
const tally = { passed: 0, failed: 0, refused: 0 }
try {
  for (let i = 0; i < Number(countText); i++) {
    const family = names[i % names.length] as string
    const setting = families[family]?.(draw)
    if (setting === undefined)
      throw new Error(`there is no family ${family}; there are ${Object.keys(families).join(', ')}`)
    const answer = await answerOf(setting)
    if ('error' in answer) tally.refused++
    const shapes = setting.inputs.map(({ dtype, shape }) => `${dtype}[${shape}]`).join(' ')
    let isRight = true
    for (const [device, float] of [
      ['reference', 'float64'],
      ['cpu', 'float32'],
    ] as const) {
      const difference = f.scope(() => differenceOn(f.device(device), float, setting, answer))
      if (difference === null) continue
      isRight = false
      faults.set(family, [...(faults.get(family) ?? []), `${device}: ${setting.python} of ${shapes}: ${difference}`])
    }
    tally[isRight ? 'passed' : 'failed']++
  }
} finally {
  peer.stdin.end()
  await once(peer, 'close')
}

for (const [family, list] of faults) {
  console.error(`${family}: ${list.length} differences`)
  for (const fault of list.slice(0, 8)) console.error(`  ${fault}`)
}
const refused = `${tally.refused} of these refused by PyTorch`
console.log(`settings against PyTorch, seed ${seedText}: ${tally.passed} passed, ${tally.failed} failed (${refused})`)
process.exitCode = tally.failed > 0 ? 1 : 0
