/**
 * Compares attention in bfloat16 with the composite in float64 on the reference device. Sizes and strides choose each
 * of the kernels: sizes around tiles, heads of each width, keys that masks and windows hide, and NaN where no query may
 * see it. Any difference, also between two runs, is an error. Under the checker, which is slow, only the smaller cases
 * run.
 */
import { device } from '../../lib/backend/devices.js'
import { fromBfloat16, toBfloat16 } from '../../lib/backend/reference/half.js'
import * as f from '../../lib/index.js'

interface Problem {
  /** Batches, heads of queries and of keys, queries, keys, features of keys and of values. */
  readonly sizes: readonly [number, number, number, number, number, number, number]
  readonly options?: f.AttentionOptions
  readonly mask?: 'bool' | 'added'
  readonly lengths?: readonly number[]
  /** Queries, keys and values are NaN from this position on. There must be as many queries as keys, and a window. */
  readonly nan?: number
  /** The number of elements beyond the features of each row. */
  readonly gap?: number
}

const gpu = device('cuda')
const reference = device('reference')
const checks = process.env['FIRESTEEL_EMULATOR_CHECK'] === '1'

let state = 7
function next(): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return state / 2 ** 31 - 1
}

/** Numbers of bfloat16 in rows of `size`. */
function numbers(rows: number, size: number, unseen: (row: number) => boolean = () => false): Float64Array {
  return Float64Array.from({ length: rows * size }, (_, i) =>
    unseen(Math.floor(i / size)) ? Number.NaN : fromBfloat16(toBfloat16(Math.fround(next()))),
  )
}

/** Outputs, and gradients of q, k and v. */
function attend(on: f.Device, problem: Problem, data: readonly Float64Array[]): Float64Array[] {
  const { sizes, mask, lengths, gap = 0 } = problem
  const [b, hq, hk, tq, tk, d, dv] = sizes
  const dtype = on === gpu ? 'bfloat16' : 'float64'
  return f.scope(() => {
    const make = (values: Float64Array, shape: readonly number[]) => {
      const x = f.fromTypedArray(values, [...shape], { dtype: 'float64', device: reference })
      return x
        .to(on === gpu ? 'float32' : 'float64')
        .to(on)
        .to(dtype)
    }
    const apart = (x: f.Tensor) => (gap === 0 ? x : f.cat([x, x.narrow(-1, 0, gap)], -1))
    const inputs = [
      apart(make(data[0] as Float64Array, [b, hq, tq, d])),
      apart(make(data[1] as Float64Array, [b, hk, tk, d])),
      apart(make(data[2] as Float64Array, [b, hk, tk, dv])),
    ]
    for (const x of inputs) x.requiresGrad = true
    const [q, k, v] = inputs.map((x, i) => (gap === 0 ? x : x.narrow(-1, 0, i === 2 ? dv : d))) as [
      f.Tensor,
      f.Tensor,
      f.Tensor,
    ]
    const bits = (data[4] as Float64Array).map((x) => (mask === 'bool' ? Number(x > -0.4) : x))
    const attnMask =
      mask === undefined
        ? null
        : f.fromTypedArray(mask === 'bool' ? Uint8Array.from(bits) : Float32Array.from(bits), [1, 1, tq, tk], {
            dtype: mask === 'bool' ? 'bool' : 'float32',
            device: on,
          })
    const out = f.scaledDotProductAttention(q, k, v, {
      ...problem.options,
      attnMask: mask === 'added' && on === reference ? (attnMask?.to('float64') ?? null) : attnMask,
      lengths: lengths === undefined ? null : f.tensor([...lengths], { dtype: 'int32', device: on }),
      generator: new f.Generator(5),
    })
    const dy = make(data[3] as Float64Array, [b, hq, tq, dv])
    const gradients = f.grad([out], inputs, { gradOutputs: [dy] })
    return [out, ...gradients].map((x) => Float64Array.from((x as f.Tensor).to('float32').dataSync() as Float32Array))
  })
}

function check(problem: Problem): void {
  const [b, hq, hk, tq, tk, d, dv] = problem.sizes
  const { nan = Number.POSITIVE_INFINITY, options } = problem
  const queries = (row: number) => row % tq >= nan
  const keys = (row: number) => row % tk >= nan
  const data = [
    numbers(b * hq * tq, d, queries),
    numbers(b * hk * tk, d, keys),
    numbers(b * hk * tk, dv, keys),
    numbers(b * hq * tq, dv, queries),
    numbers(tq, tk),
  ]
  // The composite consists of products, which spread NaN, so it gets zeros instead. Keys that a query of NaN sees
  // become NaN too.
  const clean = [nan, nan, nan + 1 - (options?.window ?? 1), nan + 1 - (options?.window ?? 1)]
  const exact = attend(
    reference,
    problem,
    data.map((values) => values.map((x) => (Number.isNaN(x) ? 0 : x))),
  )
  const found = attend(gpu, problem, data)
  const again = attend(gpu, problem, data)
  const title = JSON.stringify(problem)
  for (const [n, values] of found.entries()) {
    const right = exact[n] as Float64Array
    let largest = 0
    for (const x of right) largest = Math.max(largest, Math.abs(x))
    for (const [i, value] of values.entries()) {
      if (!Object.is(value, again[n]?.[i])) throw new Error(`${title}: ${n}, element ${i} is ${value}, then another`)
      const row = Math.floor(i / (n === 0 || n === 3 ? dv : d)) % tq
      if (row >= (clean[n] as number)) {
        if (Number.isNaN(value)) continue
        throw new Error(`${title}: ${['out', 'dq', 'dk', 'dv'][n]}[${i}] is ${value}, but should be NaN`)
      }
      // Weights, outputs and gradients of weights are rounded to 8 bits.
      if (Math.abs(value - (right[i] as number)) <= 2 ** -6 * Math.max(largest, 2 ** -4)) continue
      throw new Error(`${title}: ${['out', 'dq', 'dk', 'dv'][n]}[${i}] is ${value}, and should be ${right[i]}`)
    }
  }
}

const causal = { isCausal: true }
const small: readonly Problem[] = [
  // A warp's rows, a tile of keys of the backward pass and one more, and heads in groups.
  { sizes: [1, 2, 1, 17, 33, 16, 24], options: causal },
  { sizes: [2, 1, 1, 3, 65, 64, 64], options: { ...causal, offset: 62 } },
  // Dropped weights, a mask, and lengths.
  { sizes: [2, 1, 1, 9, 40, 8, 8], mask: 'bool', lengths: [33, 5], options: { dropoutP: 0.4 } },
  { sizes: [1, 1, 1, 20, 20, 72, 40], mask: 'added', options: { ...causal, window: 7 } },
  // NaN in a tile that some rows see.
  { sizes: [1, 1, 1, 24, 24, 16, 16], nan: 20, options: { ...causal, window: 4 } },
  { sizes: [1, 1, 1, 24, 24, 5, 5], nan: 20, options: { ...causal, window: 4 } },
  // Sizes that no copy of 8 fits.
  { sizes: [1, 2, 2, 5, 9, 6, 7], options: causal },
  { sizes: [1, 1, 1, 7, 66, 16, 16], gap: 4 },
]
const large: readonly Problem[] = [
  { sizes: [1, 2, 1, 129, 130, 32, 64], options: causal },
  { sizes: [1, 1, 1, 70, 66, 256, 136], options: { ...causal, window: 40 } },
  { sizes: [1, 1, 1, 40, 40, 128, 128] },
]

for (const problem of checks ? small : [...small, ...large]) check(problem)
