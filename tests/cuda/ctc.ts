/**
 * Connectionist temporal classification, with numbers of states and classes around a block's threads, repeated labels,
 * and labels that are the blank. Compared with the reference device in float64, forward and backward, and twice to the
 * same bits. Wrong lengths and labels must be refused by name. Any difference is an error.
 */
import assert from 'node:assert/strict'
import { device } from '../../lib/backend/devices.js'
import * as f from '../../lib/index.js'

const gpu = device('cuda')
const reference = device('reference')

let state = 11
const random = (): number => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return state / 2 ** 32
}

/** A tensor, which on the reference device is float64. */
const place = (values: Float32Array, shape: readonly number[], on: f.Device): f.Tensor =>
  on === reference
    ? f.fromTypedArray(Float64Array.from(values), [...shape], { dtype: 'float64', device: on })
    : f.fromTypedArray(values, [...shape], { device: on })

interface Sizes {
  readonly steps: number
  readonly classes: number
  readonly labels: number
  readonly blank: number
}

function check({ steps, classes, labels, blank }: Sizes): void {
  const values = Float32Array.from({ length: steps * 2 * classes }, () => 4 * random())
  // There are so few classes that labels are repeated.
  const targets = Int32Array.from({ length: 2 * labels }, () => Math.floor(random() * Math.min(classes, 5)))
  const outcome = (on: f.Device) =>
    f.scope(() => {
      const x = place(values, [steps, 2, classes], on)
      x.requiresGrad = true
      const target = f.fromTypedArray(targets, [2, labels], { device: on })
      const lengths = [
        [steps, steps - 1],
        [labels, Math.max(labels - 3, 0)],
      ] as const
      const loss = f.ctcLoss(f.logSoftmax(x, 2), target, lengths[0], lengths[1], { blank, reduction: 'none' })
      const [gradient] = f.grad([loss.sum()], [x])
      return [loss, gradient as f.Tensor].map((t) => Array.from(t.dataSync()))
    })
  const found = outcome(gpu)
  // One run is enough if there are many steps.
  const again = steps > 100 ? found : outcome(gpu)
  for (const [k, exact] of outcome(reference).entries())
    for (const [i, value] of exact.entries()) {
      const [one, two] = [found[k]?.[i] as number, again[k]?.[i] as number]
      const where = `${steps} steps, ${classes} classes, ${labels} labels: value ${k}, element ${i}`
      if (!Object.is(one, two)) throw new Error(`${where} is ${one}, then ${two}`)
      // Each step adds roundings to the logarithms of sums over all steps.
      const allowed = 2 ** -23 * (64 + 8 * steps) * Math.max(1, k === 0 ? Math.abs(value) / 16 : 1)
      if (!(Object.is(one, value) || Math.abs(one - value) <= allowed))
        throw new Error(`${where} is ${one}, and should be ${value}`)
    }
}

check({ steps: 14, classes: 7, labels: 5, blank: 3 })
check({ steps: 3, classes: 3, labels: 0, blank: 0 })
// 255 and 257 states; 257 classes.
if (process.env['FIRESTEEL_EMULATOR_CHECK'] !== '1') {
  for (const labels of [127, 128]) check({ steps: 240, classes: 6, labels, blank: 5 })
  for (const classes of [255, 256, 257]) check({ steps: 4, classes, labels: 2, blank: 0 })
}

const logits = f.zeros([4, 2, 3], { device: gpu })
const list = (...values: number[]) => f.tensor(values, { dtype: 'int32', device: gpu })
const wrong = (target: number[][], steps: f.Tensor, labels: f.Tensor, message: RegExp): void =>
  assert.throws(
    () => f.ctcLoss(logits, f.tensor(target, { dtype: 'int32', device: gpu }), steps, labels).item(),
    (error) => error instanceof f.IndexOutOfRangeError && message.test(error.message),
  )
wrong([[1], [1]], list(4, 5), list(1, 1), /\[ctcLoss\] sequence 1 has 5 steps, but there are 4/)
wrong([[1], [1]], list(4, 4), list(-1, 1), /\[ctcLoss\] sequence 0 has -1 labels, but there are 1/)
wrong([[1], [3]], list(4, 4), list(1, 1), /\[ctcLoss\] label 3 of sequence 1 is outside \[0, 3\)/)
