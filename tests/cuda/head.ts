/**
 * The fused head in float32 and bfloat16: sizes around its blocks, its groups of rows and the copies of tensor cores,
 * with rows between the others that do not count. Compared with the reference device in float64, forward and backward,
 * and twice to the same bits. Any difference is an error.
 */
import { device } from '../../lib/backend/devices.js'
import { fromBfloat16, toBfloat16 } from '../../lib/backend/reference/half.js'
import * as f from '../../lib/index.js'

const gpu = device('cuda')
const reference = device('reference')
const checks = process.env['FIRESTEEL_EMULATOR_CHECK'] === '1'

interface Head {
  readonly rows: number
  readonly classes: number
  readonly features: number
  readonly dtype: 'float32' | 'bfloat16'
  /** One row in so many is ignored. */
  readonly ignoredEvery: number
  readonly reduction: 'mean' | 'none'
  readonly softcap?: number
  readonly smoothing?: number
}

let state = 5
const random = (): number => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return state / 2 ** 31 - 1
}

/** Numbers that both dtypes can hold. */
const numbers = (count: number): Float64Array =>
  Float64Array.from({ length: count }, () => fromBfloat16(toBfloat16(random())))

/** The loss, and the gradients of x, weight and bias. */
function outcome(
  on: f.Device,
  dtype: 'float32' | 'float64' | 'bfloat16',
  head: Head,
  given: readonly Float64Array[],
  labels: Int32Array,
) {
  return f.scope(() => {
    const { rows, classes, features, reduction, softcap, smoothing = 0 } = head
    const make = (values: Float64Array, shape: number[]) =>
      f.fromTypedArray(dtype === 'float64' ? values : Float32Array.from(values), shape, { device: on }).to(dtype)
    const [x, weight, linearBias] = [
      make(given[0] as Float64Array, [rows, features]),
      make(given[1] as Float64Array, [classes, features]),
      make(given[2] as Float64Array, [classes]),
    ] as const
    const inputs = [x, weight, linearBias]
    for (const input of inputs) input.requiresGrad = true
    const target = f.fromTypedArray(labels, [rows], { device: on })
    const options = {
      linearBias,
      softcap,
      reduction,
      labelSmoothing: smoothing,
      weight: make(given[3] as Float64Array, [classes]),
    }
    const loss = f.linearCrossEntropy(x, weight, target, options)
    // The sum is scaled to about the size of a mean, so that one bound holds for both.
    const total = reduction === 'none' ? loss.mul(1 / rows).sum() : loss
    const gradients = f.grad([total], inputs)
    return [loss, ...gradients].map((t) =>
      Array.from((t as f.Tensor).to(on === gpu ? 'float32' : 'float64').dataSync()),
    )
  })
}

function check(head: Head): void {
  const { rows, classes, features, dtype, ignoredEvery } = head
  const given = [numbers(rows * features), numbers(classes * features), numbers(classes)]
  given.push(numbers(classes).map((value) => fromBfloat16(toBfloat16(1 + value / 2))))
  const labels = Int32Array.from({ length: rows }, (_, i) =>
    i % ignoredEvery === ignoredEvery - 1 ? -100 : Math.floor(((random() + 1) / 2) * classes),
  )
  const found = outcome(gpu, dtype, head, given, labels)
  // One run is enough if there are many rows.
  const again = rows > 1000 ? found : outcome(gpu, dtype, head, given, labels)
  const exact = outcome(reference, 'float64', head, given, labels)
  // The terms of each gradient's sum add up to at most 3 in magnitude. Those of bfloat16 are rounded twice.
  const bound = dtype === 'bfloat16' ? 3 * 2 ** -8 : 2 ** -23 * (64 + features + classes)
  for (const [k, values] of exact.entries())
    for (const [i, value] of values.entries()) {
      const [one, two] = [found[k]?.[i] as number, again[k]?.[i] as number]
      const where = `${JSON.stringify(head)}: value ${k}, element ${i}`
      if (!Object.is(one, two)) throw new Error(`${where} is ${one}, then ${two}`)
      const allowed = bound * Math.max(1, Math.abs(value))
      if (!(Math.abs(one - value) <= allowed)) throw new Error(`${where} is ${one}, and should be ${value}`)
    }
}

const plain = { dtype: 'float32', ignoredEvery: 3, reduction: 'mean' } as const
const half = { dtype: 'bfloat16', ignoredEvery: 4, reduction: 'mean' } as const
const heads: Head[] = [
  // Tensor cores: fewer classes than a copy has, exactly one copy, and a rest; numbers of counting rows around a tile.
  ...[7, 8, 9].map((classes) => ({ ...half, rows: 44, classes, features: 8 })),
  { ...half, rows: 172, classes: 16, features: 8, reduction: 'none' },
  // Multiply-adds, with the terms of softcap and smoothing.
  { ...plain, rows: 70, classes: 13, features: 5, softcap: 2, smoothing: 0.1, reduction: 'none' },
  { ...half, rows: 20, classes: 12, features: 3, softcap: 2, smoothing: 0.1 },
]
if (!checks) {
  // Blocks of 256 threads along the rows and the classes; groups of 4096 rows that count.
  for (const size of [255, 256, 257])
    heads.push({ ...plain, rows: size, classes: 3, features: 2 }, { ...plain, rows: 3, classes: size, features: 2 })
  for (const count of [4096, 4097])
    heads.push({ ...plain, rows: count + 1, classes: 2, features: 1, ignoredEvery: count + 1 })
}
for (const head of heads) check(head)
