/**
 * Functions, their gradients and second derivatives at zeros, infinities, NaN, ties and the ends of the range, compared
 * with special-values.json. It has the results of PyTorch 2.13 in float64, and in float32 if these differ. Keys there:
 * y the result, g[i] the gradient of its sum for input i, h[i][j] the gradient of g[i]'s sum for input j; null where
 * PyTorch throws.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import * as ops from '../../lib/ops/index.js'
import { families } from '../cases/index.js'

type Stored = number | 'NaN' | 'Infinity' | '-Infinity' | '-0'
interface Values {
  readonly y: readonly Stored[]
  readonly g: readonly (readonly Stored[])[]
  readonly h: readonly (readonly (readonly Stored[])[])[]
}
interface ByDType<V> {
  readonly float64: V
  readonly float32?: V
}
interface Goldens {
  readonly values: readonly Stored[]
  readonly pairs: readonly (readonly Stored[])[]
  readonly rows: readonly (readonly Stored[])[]
  readonly unary: { readonly [name: string]: ByDType<Values> }
  readonly binary: { readonly [name: string]: ByDType<Values> }
  readonly reductions: { readonly [name: string]: ByDType<readonly (Values | null)[]> }
}
const goldens = JSON.parse(
  readFileSync(new URL('../goldens/data/special-values.json', import.meta.url), 'utf8'),
) as Goldens

type Fn = (...inputs: f.Tensor[]) => f.Tensor

/** The functions of the file that have the same names here. */
const named = (stored: object): { readonly [name: string]: Fn } =>
  Object.fromEntries(
    Object.entries(ops as unknown as { readonly [name: string]: Fn }).filter(([name]) => name in stored),
  )

const unary: { readonly [name: string]: Fn } = {
  ...named(goldens.unary),
  'logit eps': (x) => f.logit(x as f.Tensor, { eps: 0.2 }),
  'celu alpha 0.7': (x) => f.celu(x as f.Tensor, { alpha: 0.7 }),
  hardtanh: (x) => f.hardtanh(x as f.Tensor, { minVal: -1, maxVal: 2 }),
  threshold: (x) => f.threshold(x as f.Tensor, 0.5, -1),
  'gelu tanh': (x) => f.gelu(x as f.Tensor, { approximate: 'tanh' }),
  'softplus beta -1': (x) => f.softplus(x as f.Tensor, { beta: -1 }),
  'softplus beta 2 threshold 2': (x) => f.softplus(x as f.Tensor, { beta: 2, threshold: 2 }),
  'elu alpha 0.7': (x) => f.elu(x as f.Tensor, { alpha: 0.7 }),
  'leakyRelu -0.5': (x) => f.leakyRelu(x as f.Tensor, { negativeSlope: -0.5 }),
  clamp: (x) => f.clamp(x as f.Tensor, -1, 2),
  'clamp min': (x) => f.clamp(x as f.Tensor, 0),
  'clamp NaN': (x) => f.clamp(x as f.Tensor, Number.NaN, 1),
  'add NaN': (x) => f.add(x as f.Tensor, Number.NaN),
  'mul NaN': (x) => f.mul(x as f.Tensor, Number.NaN),
  'mul 0': (x) => f.mul(x as f.Tensor, 0),
  'mul Infinity': (x) => f.mul(x as f.Tensor, Number.POSITIVE_INFINITY),
  'sub from 0': (x) => f.sub(0, x as f.Tensor),
  'div 0': (x) => f.div(x as f.Tensor, 0),
  '1 div': (x) => f.div(1, x as f.Tensor),
  'maximum 1': (x) => f.maximum(x as f.Tensor, 1),
  'minimum NaN': (x) => f.minimum(x as f.Tensor, Number.NaN),
  ...Object.fromEntries(
    [2, 0, -1, Number.POSITIVE_INFINITY].map((base) => [`${base} pow`, (x: f.Tensor) => f.pow(base, x)]),
  ),
  ...Object.fromEntries(
    [0, 1, 2, 3, 0.5, -0.5, -1, -2, 1.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].map((e) => [
      `pow ${e}`,
      (x: f.Tensor) => f.pow(x, e),
    ]),
  ),
}

const binary: { readonly [name: string]: Fn } = {
  ...named(goldens.binary),
  'trunc of div': (a, b) => f.div(a as f.Tensor, b as f.Tensor, { roundingMode: 'trunc' }),
}

const reductions: { readonly [name: string]: (x: f.Tensor) => f.Tensor } = {
  ...named(goldens.reductions),
  cumsum: (x) => f.cumsum(x, 0),
  var: (x) => f.variance(x),
  'var correction 0': (x) => f.variance(x, null, { correction: 0 }),
  'std correction 0': (x) => f.std(x, null, { correction: 0 }),
  'var correction 3': (x) => f.variance(x, null, { correction: 3 }),
  'var correction 9': (x) => f.variance(x, null, { correction: 9 }),
  'std correction 9': (x) => f.std(x, null, { correction: 9 }),
  norm: (x) => f.sqrt(f.sum(f.square(x))),
  'root mean square': (x) => f.sqrt(f.mean(f.square(x))),
  'mean of abs': (x) => f.mean(f.abs(x)),
}

/**
 * Values that differ from PyTorch's and are right too: the function, the number of its result, the inputs, and the
 * values.
 */
interface Exception {
  readonly of: RegExp
  readonly values: RegExp
  at(first: number, second: number): boolean
  readonly also: number | 'not NaN' | 'any'
  /** Whether PyTorch's own value is not accepted, because it depends on the number of elements. */
  readonly only?: true
  readonly because: string
  readonly dtype?: 'float32'
}
const exceptions: readonly Exception[] = [
  {
    of: /^(asin|acos|acosh|atanh)$/,
    values: /^h/,
    at: (x) => Math.abs(x) >= 1,
    also: 'any',
    because: 'the slope is infinite there',
  },
  {
    of: /^acosh$/,
    values: /g/,
    at: (x) => x === -1,
    also: Number.NEGATIVE_INFINITY,
    because: 'the function has no value there',
  },
  {
    of: /^logit$/,
    values: /^h/,
    at: (x) => !(x > 1e-20 && x < 1),
    also: 'any',
    because: 'the slope is infinite there, or the function has none',
  },
  {
    of: /^logit eps$/,
    values: /^h/,
    at: (x) => !(x > 0.2 && x < 0.8),
    also: 'any',
    because: 'PyTorch gives NaN where the function is constant',
  },
  {
    of: /^logaddexp of two$/,
    values: /g|h/,
    at: (x, y) => !(Math.abs(x) < 1e30 && Math.abs(y) < 1e30),
    also: 'any',
    because: 'PyTorch gives NaN where two infinities meet, and where one is far from the other',
  },
  {
    of: /^xlogy of two$/,
    values: /g|h/,
    at: (x) => x === 0,
    also: 'not NaN',
    because: 'PyTorch divides 0 by 0 where the function is constant',
  },
  {
    of: /^(fmod|remainder) of two$/,
    values: /^y/,
    at: (x, y) => Math.abs(x) === 1e30 && y === 1e-30,
    also: 'not NaN',
    because: 'the quotient leaves the range of float32 on the way in PyTorch only',
    dtype: 'float32',
  },
  {
    of: /^(mish|gelu|gelu tanh)$/,
    values: /./,
    at: (x) => Math.abs(x) >= 90 && Number.isFinite(x),
    also: 'not NaN',
    because: 'PyTorch gives NaN, in float32 or in its second derivative, where the limit is finite',
  },
  {
    of: /^gelu$/,
    values: /^y/,
    at: (x) => x === Number.POSITIVE_INFINITY,
    also: Number.POSITIVE_INFINITY,
    because: 'PyTorch gives NaN in float32 only',
  },
  {
    of: /^([cs]?elu.*|hardswish)$/,
    values: /g/,
    at: Number.isNaN,
    also: Number.NaN,
    only: true,
    because: "PyTorch's loop over vectors gives NaN, and that over the last few elements 1",
  },
  {
    of: /^[cs]?elu.*$/,
    values: /^h/,
    at: Number.isNaN,
    also: Number.NaN,
    only: true,
    because: "PyTorch's loop over vectors gives NaN, and that over the last few elements 0",
  },
  {
    of: /^(hardtanh|relu6|softshrink|hardshrink)$/,
    values: /g/,
    at: Number.isNaN,
    also: 0,
    only: true,
    because: "PyTorch's loop over vectors gives 0, as for clamp, and that over the last few elements 1",
  },
  {
    of: /^softplus beta 2 threshold 2$/,
    values: /^h/,
    at: (x) => x === 1,
    also: 0.2099871708,
    because: 'PyTorch takes the threshold itself for beyond, but in the second derivative only',
  },
  {
    of: /^0 pow$/,
    values: /^h/,
    at: () => true,
    also: 0,
    because: 'it is constant, where PyTorch multiplies 0 by log 0',
  },
  {
    of: /^pow -?\d.5$/,
    values: /./,
    at: (x) => x === Number.NEGATIVE_INFINITY || Object.is(x, -0),
    also: 'not NaN',
    because: "C's pow, and PyTorch's own of two tensors, give infinity or 0; its pow with a number takes a square root",
  },
  {
    of: /^pow of two$/,
    values: /^h/,
    at: (x, y) => y === 0 && (x < 0 || x === Number.POSITIVE_INFINITY),
    also: 'any',
    because: 'x^y log x has no derivative in y there',
  },
  {
    of: /^pow of two$/,
    values: /^h/,
    at: (x, y) => y === 0 || (x === 0 && y >= 0),
    also: 'not NaN',
    because: 'PyTorch gives NaN for x = 0, and for y = 0 forgets that y x^(y - 1) depends on y',
  },
  {
    of: /^(std|var).*1e.*30/,
    values: /./,
    at: () => true,
    also: 'any',
    because: 'the variance leaves the range of float32',
    dtype: 'float32',
  },
]

const near = (a: number, b: number, float: 'float32' | 'float64') =>
  a === b ||
  (Number.isNaN(a) && Number.isNaN(b)) ||
  // The distance to an infinity is infinite, and so is any share of it.
  (Number.isFinite(b) && Math.abs(a - b) <= (float === 'float64' ? 1e-7 : 1e-4) * Math.max(Math.abs(b), 0.1))

/** All differing values of a function, as text. */
function differences(name: string, fn: Fn, at: readonly (readonly Stored[])[], stored: Values, on: Place): string[] {
  const inputs = at.map((values) => {
    const x = f.tensor(values.map(Number), { device: on.device, dtype: on.dtype })
    x.requiresGrad = true
    return x
  })
  const read = (x: f.Tensor | null, like: readonly unknown[]) => (x ? [...x.detach().dataSync()] : like.map(() => 0))
  const y = fn(...inputs)
  const plain = f.grad([f.sum(y)], inputs, { allowUnused: true, retainGraph: true })
  const first = f.grad([f.sum(y)], inputs, { allowUnused: true, createGraph: true })
  const wrong: string[] = []
  const compare = (what: string, values: readonly number[], wanted: readonly Stored[]) => {
    wanted.forEach((want, i) => {
      const place = at.map((each) => Number(each[Math.min(i, each.length - 1)])) as [number, number]
      const got = values[i] as number
      const exception = exceptions.find(
        (e) => e.of.test(name) && e.values.test(what) && e.at(...place) && (e.dtype ?? on.dtype) === on.dtype,
      )
      const also = exception?.also
      const right =
        (exception?.only !== true && near(got, Number(want), on.dtype)) ||
        also === 'any' ||
        (also === 'not NaN' ? !Number.isNaN(got) : also !== undefined && near(got, also, on.dtype))
      if (!right) wrong.push(`${what} at ${place} is ${got}, not ${want}`)
    })
  }
  compare('y', read(y, stored.y), stored.y)
  stored.g.forEach((wanted, i) => {
    compare(`g${i}`, read(plain[i] ?? null, wanted), wanted)
    // A gradient with its own graph takes another path.
    compare(`graph of g${i}`, read(first[i] ?? null, wanted), wanted)
    const g = first[i]
    const second = g?.requiresGrad ? f.grad([f.sum(g)], inputs, { allowUnused: true, retainGraph: true }) : []
    stored.h[i]?.forEach((values, j) => {
      compare(`h${i}${j}`, read(second[j] ?? null, values), values)
    })
  })
  return wrong
}

interface Place {
  readonly device: string
  readonly dtype: 'float32' | 'float64'
}
const places: readonly Place[] = [
  { device: 'reference', dtype: 'float64' },
  { device: 'reference', dtype: 'float32' },
  { device: 'cpu', dtype: 'float32' },
]

/** Functions of single elements that the file lacks, by the call of one of their cases. */
const unknown = new Map(
  (families['elementwise']?.cases ?? []).flatMap(({ op, name, inputs: [x, ...others], call }): [string, Fn][] => {
    const isOne = others.length === 0 && x?.kind === 'float' && x.differentiable && name === '[31]'
    return isOne && Object.hasOwn(ops, op) && !(op in goldens.unary) ? [[op, call as Fn]] : []
  }),
)

describe.each(places.filter(({ dtype }) => dtype === 'float32'))('on $device in $dtype', (on) => {
  it.each([...unknown])('%s', (name, fn) => {
    const inputs = goldens.values.map(Number)
    const exact = (device: string, dtype: 'float32' | 'float64') => {
      const x = f.tensor(inputs, { device, dtype, requiresGrad: true })
      const y = fn(x)
      const [g] = f.grad([f.sum(y)], [x])
      return [y, g as f.Tensor].map((values) => [...values.detach().dataSync()])
    }
    const wanted = exact('reference', 'float64')
    const wrong = exact(on.device, on.dtype).flatMap((values, k) =>
      values.flatMap((value, i) => {
        // A gradient may be beyond float32.
        const want = Math.fround(wanted[k]?.[i] as number)
        return near(value, want, on.dtype)
          ? []
          : [`${k === 0 ? 'y' : 'g'} of ${name} at ${inputs[i]} is ${value}, not ${want}`]
      }),
    )
    expect(wrong).toEqual([])
  })
})

describe.each(places)('on $device in $dtype', (on) => {
  const of = <V>(stored: ByDType<V>): V =>
    on.dtype === 'float32' ? (stored.float32 ?? stored.float64) : stored.float64

  it.each(Object.keys(goldens.unary))('%s', (name) => {
    const stored = of(goldens.unary[name] as ByDType<Values>)
    expect(differences(name, unary[name] as Fn, [goldens.values], stored, on)).toEqual([])
  })

  it.each(Object.keys(goldens.binary))('%s of two tensors', (name) => {
    const stored = of(goldens.binary[name] as ByDType<Values>)
    expect(differences(`${name} of two`, binary[name] as Fn, goldens.pairs, stored, on)).toEqual([])
  })

  it.each(Object.keys(goldens.reductions))('%s of rows', (name) => {
    const all = of(goldens.reductions[name] as ByDType<readonly (Values | null)[]>)
    goldens.rows.forEach((row, i) => {
      const stored = all[i] as Values | null
      if (stored === null)
        expect(() => (reductions[name] as Fn)(f.tensor(row.map(Number), on)), String(row)).toThrow(f.ValueError)
      else
        expect(differences(`${name} of [${row}]`, reductions[name] as Fn, [row], stored, on), String(row)).toEqual([])
    })
  })
})

/** Other calls: the values of the inputs, and PyTorch's result and gradients of its sum. */
const others: readonly {
  readonly name: string
  readonly call: Fn
  readonly at: readonly (readonly number[])[]
  readonly y: readonly number[]
  readonly g: readonly (readonly number[])[]
}[] = [
  ...(['max', 'min'] as const).map((op) => ({
    name: `${op} with NaN`,
    call: f[op] as Fn,
    at: [[1, Number.NaN, 3, Number.NaN]],
    y: [Number.NaN],
    g: [[0, 0.5, 0, 0.5]],
  })),
  {
    name: 'prod with infinity',
    call: (x) => f.prod(x as f.Tensor),
    at: [[Number.POSITIVE_INFINITY, 1, 2]],
    y: [Number.POSITIVE_INFINITY],
    g: [[Number.NaN, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]],
  },
  { name: 'prod of nothing', call: (x) => f.prod(x as f.Tensor), at: [[]], y: [1], g: [[]] },
  ...(['median', 'nanmedian'] as const).map((op) => ({
    name: `${op} of nothing`,
    call: (x: f.Tensor) => f[op](x),
    at: [[]],
    y: [Number.NaN],
    g: [[]],
  })),
  {
    // PyTorch also gives the upper limit a gradient where it is not taken.
    name: 'clamp by a lower limit of NaN',
    call: (x, low, high) => f.clamp(x as f.Tensor, low, high),
    at: [
      [5, Number.POSITIVE_INFINITY, 1],
      [Number.NaN, Number.NaN, 0],
      [1, 0, 2],
    ],
    y: [Number.NaN, Number.NaN, 1],
    g: [
      [0, 0, 1],
      [0, 0, 0],
    ],
  },
  {
    name: 'lerp by a tensor beside infinity',
    call: (a, b, weight) => f.lerp(a as f.Tensor, b as f.Tensor, weight as f.Tensor),
    at: [
      [Number.POSITIVE_INFINITY, 0, 0, 1],
      [0, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, 3],
      [0.25, 0.25, 0.75, 0.5],
    ],
    y: [Number.NaN, Number.NEGATIVE_INFINITY, Number.NaN, 2],
    g: [
      [0.75, 0.75, 0.25, 0.5],
      [0.25, 0.25, 0.75, 0.5],
      [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, 2],
    ],
  },
  ...[
    { p: 0, y: 1, g: [0, 0] },
    { p: 0.5, y: 1, g: [1, 0] },
    { p: 2, y: 1, g: [1, 0] },
    { p: Number.POSITIVE_INFINITY, y: 1, g: [1, 0] },
  ].map(({ p, y, g }) => ({
    name: `pairwiseDistance for p = ${p} with an equal coordinate`,
    call: ((a: f.Tensor, b: f.Tensor) => f.pairwiseDistance(a, b, { p, eps: 0 })) as Fn,
    at: [
      [1, 2],
      [0, 2],
    ],
    y: [y],
    g: [g, g.map((value) => -value)],
  })),
]

describe.each(places)('on $device in $dtype', (on) => {
  it.each(others)('$name', ({ name, call, at, y, g }) => {
    const inputs = at.map((values) => f.tensor([...values], { ...on, requiresGrad: true }))
    const result = call(...inputs)
    f.sum(result).backward()
    const got = [result, ...inputs.map((x) => x.grad as f.Tensor)].map((x) => [...x.detach().dataSync()])
    ;[y, ...g].forEach((wanted, k) => {
      const right = wanted.map((want, i) => near(got[k]?.[i] as number, want, on.dtype))
      expect(right, `${name}: ${got[k]}, not ${wanted}`).toEqual(wanted.map(() => true))
    })
  })
})

it('every function of the file is tried, and every function here is in it', () => {
  expect(Object.keys(unary).sort()).toEqual(Object.keys(goldens.unary).sort())
  expect(Object.keys(binary).sort()).toEqual(Object.keys(goldens.binary).sort())
  expect(Object.keys(reductions).sort()).toEqual(Object.keys(goldens.reductions).sort())
})
