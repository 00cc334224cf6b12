/**
 * Compares operators over logits that are 1, 10, 100 and 1000 times as large as usual (tests/fuzz/settings/logits.ts)
 * with PyTorch, in float32 and bfloat16. The truth is PyTorch's in float64, of the same rounded inputs. An error is the
 * largest difference from it, relative to its largest element, over several draws, because the error of one number is
 * chance. Ours, of each result and each gradient, may be twice PyTorch's in the same dtype, plus a unit in the last
 * place of the largest element. Where PyTorch overflows or lacks the dtype, its error is that of the rounded truth.
 *
 * `tsx logits.ts PYTHON SEED [PATTERN]`: PYTHON is an interpreter that has torch and numpy. PATTERN selects operators.
 * Prints a line for each operator, dtype and factor, and ends with `N passed, N failed`.
 */
import * as f from '../../lib/index.js'
import { randomOf } from '../cases/case.js'
import { type LogitsSetting, operators } from './settings/logits.js'
import { type Answer, make, outcomeOf, Peer } from './settings/peer.js'
import { Choices, type Setting } from './settings/setting.js'

type Dtype = 'float32' | 'bfloat16'

const [, , python = 'python3', seedText = '1', pattern = ''] = process.argv
const peer = new Peer(python)
const devices = [f.device('reference'), f.device('cpu')]
const draws = 4
const steps = { float32: 2 ** -23, bfloat16: 2 ** -7 }
const largest = { float32: (2 - 2 ** -23) * 2 ** 127, bfloat16: (2 - 2 ** -7) * 2 ** 127 }

const numbers = (x: f.Tensor) => Float64Array.from(x.detach().dataSync() as Iterable<number>)

/** The numbers as the dtype holds them. */
const roundedTo = (dtype: Dtype, values: readonly number[]) =>
  numbers(make({ shape: [values.length], dtype, values, wanted: false }, f.device('reference'), dtype))

/** Results and gradients of one computation, in the order of PyTorch's. */
const partsOf = (answer: Answer) =>
  'error' in answer ? null : [...answer.results, ...answer.gradients].map(({ values }) => values)

function ours(setting: Setting, device: f.Device, dtype: Dtype): Float64Array[] {
  const { results, gradients } = outcomeOf(setting, device, dtype)
  return [...results, ...(gradients as f.Tensor[])].map(numbers)
}

/** The largest difference from the truth where the dtype can hold it, relative to `size`. */
function errorOf(values: Float64Array, truth: Float64Array, size: number, dtype: Dtype): number {
  let worst = 0
  for (const [i, exact] of truth.entries()) {
    const value = values[i] as number
    if (Math.abs(exact) > largest[dtype] ? value === Math.sign(exact) * Number.POSITIVE_INFINITY : value === exact)
      continue
    const difference = Math.abs(value - exact)
    worst = Math.max(worst, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference)
  }
  return worst === 0 ? 0 : worst / size
}

interface Errors {
  readonly part: string
  /** The errors on each device. */
  readonly ours: readonly number[]
  readonly theirs: number
  /** A unit in the last place of the largest element, relative to it. */
  readonly unit: number
}

/** The errors of each part of one setting. */
async function errorsOf(drawn: LogitsSetting, dtype: Dtype): Promise<Errors[]> {
  const inputs = drawn.inputs.map((each) =>
    each.dtype === 'float' ? { ...each, values: [...roundedTo(dtype, each.values)] } : each,
  )
  const setting = { ...drawn, inputs }
  const truth = await peer.answerOf({ ...setting, python: drawn.truth ?? drawn.python })
  if ('error' in truth) throw new Error(`PyTorch refuses ${setting.python}: ${truth.error}`)
  const exact = partsOf(truth) as Float64Array[]
  const theirs = partsOf(await peer.answerOf(setting, dtype))
  const own = f.scope(() => devices.map((device) => ours(setting, device, dtype)))
  return exact.map((values, i) => {
    const size = values.reduce((most, x) => (Math.abs(x) <= largest[dtype] ? Math.max(most, Math.abs(x)) : most), 0)
    const error = (part: Float64Array | undefined) => errorOf(part ?? new Float64Array(), values, size, dtype)
    const their = error(theirs?.[i])
    const count = truth.results.length
    return {
      part: i < count ? 'result' : `gradient ${i - count}`,
      ours: own.map((parts) => error(parts[i])),
      theirs: Number.isFinite(their) ? their : error(roundedTo(dtype, [...values])),
      unit: size === 0 ? 0 : (steps[dtype] * 2 ** Math.floor(Math.log2(size))) / size,
    }
  })
}

/** The largest error here as a share of what is allowed. */
const shareOf = ({ ours, theirs, unit }: Errors) =>
  Math.max(...ours) === 0 ? 0 : Math.max(...ours) / (2 * theirs + unit)

/** The worst of each part. */
function worstOf(all: readonly Errors[]): Errors[] {
  const parts = new Map<string, Errors>()
  for (const each of all) {
    const { ours, theirs, unit } = parts.get(each.part) ?? each
    parts.set(each.part, {
      part: each.part,
      ours: ours.map((error, i) => Math.max(error, each.ours[i] as number)),
      theirs: Math.max(theirs, each.theirs),
      unit: Math.max(unit, each.unit),
    })
  }
  return [...parts.values()]
}

const tally = { passed: 0, failed: 0 }
const shown = (error: number) => error.toExponential(1).padStart(8)
try {
  for (const [at, [name, settingOf]] of Object.entries(operators).entries()) {
    if (!new RegExp(pattern).test(name)) continue
    for (const dtype of ['float32', 'bfloat16'] as const)
      for (const factor of [1, 10, 100, 1000]) {
        const all: Errors[] = []
        for (let i = 0; i < draws; i++) {
          const seed = (Number(seedText) * draws + i) * 1000 + at
          all.push(...(await errorsOf(settingOf(new Choices(randomOf(seed)), factor), dtype)))
        }
        const worst = worstOf(all).reduce((a, b) => (shareOf(b) > shareOf(a) ? b : a))
        const isRight = shareOf(worst) <= 1
        tally[isRight ? 'passed' : 'failed']++
        const errors = worst.ours.map((error, i) => `${devices[i]?.name}${shown(error)}`).join(', ')
        console.log(
          `${isRight ? 'ok    ' : 'FAILED'} ${name.padEnd(52)} ${dtype.padEnd(8)} x${String(factor).padEnd(4)} ${worst.part.padEnd(10)} ${errors}, PyTorch${shown(worst.theirs)}`,
        )
      }
  }
} finally {
  await peer.close()
}
console.log(`large logits against PyTorch, seed ${seedText}: ${tally.passed} passed, ${tally.failed} failed`)
process.exitCode = tally.failed > 0 ? 1 : 0
