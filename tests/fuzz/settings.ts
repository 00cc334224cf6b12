/**
 * Compares settings of public calls, drawn at random, with PyTorch in float64: results, shapes, gradients, and which
 * settings are refused (tests/fuzz/settings).
 *
 * `tsx settings.ts PYTHON SEED COUNT [FAMILY]`: PYTHON is an interpreter that has torch and numpy. Without a family
 * all take turns. Ends with `N passed, N failed`.
 */
import * as f from '../../lib/index.js'
import { randomOf } from '../cases/case.js'
import { families } from './settings/families.js'
import { type Answer, outcomeOf, Peer, type Told } from './settings/peer.js'
import { Choices, type Setting } from './settings/setting.js'

const [, , python = 'python3', seedText = '1', countText = '1000', only] = process.argv
const draw = new Choices(randomOf(Number(seedText)))
const peer = new Peer(python)

/** The first difference from PyTorch's answer, or null. */
function differenceOn(device: f.Device, float: 'float32' | 'float64', setting: Setting, answer: Answer): string | null {
  let results: readonly f.Tensor[]
  let gradients: readonly (f.Tensor | null)[]
  let wanted: readonly f.Tensor[]
  try {
    ;({ results, gradients, wanted } = outcomeOf(setting, device, float))
    for (const y of results) y.detach().dataSync()
  } catch (error) {
    if (setting.mayDiffer !== undefined || 'error' in answer) return null
    return `refused: ${(error as Error).message}`
  }
  if ('error' in answer) return setting.mayDiffer === undefined ? `PyTorch refuses: ${answer.error}` : null
  if (results.length !== answer.results.length) return `${results.length} results, not ${answer.results.length}`
  const pairs: [string, f.Tensor | null, Told | undefined][] = results.map((y, i) => [
    `result ${i}`,
    y,
    answer.results[i],
  ])
  const given = answer.gradients
  if (given.length > 0) for (const i of wanted.keys()) pairs.push([`gradient ${i}`, gradients[i] ?? null, given[i]])
  for (const [what, ours, theirs] of pairs) {
    if (theirs === undefined) return `${what} is missing in PyTorch`
    const exact = theirs.values
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
    const answer = await peer.answerOf(setting)
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
  await peer.close()
}

for (const [family, list] of faults) {
  console.error(`${family}: ${list.length} differences`)
  for (const fault of list.slice(0, 8)) console.error(`  ${fault}`)
}
const refused = `${tally.refused} of these refused by PyTorch`
console.log(`settings against PyTorch, seed ${seedText}: ${tally.passed} passed, ${tally.failed} failed (${refused})`)
process.exitCode = tally.failed > 0 ? 1 : 0
