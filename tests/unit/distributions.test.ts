/**
 * Distributions beside PyTorch's numbers (tests/goldens/distributions.py writes them), by finite differences, and by the
 * moments of their samples. It is one long file, because every part goes through the same distributions.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import * as d from '../../lib/distributions/index.js'
import * as f from '../../lib/index.js'

type Numbers = number | string | readonly Numbers[]

interface Row {
  readonly name: string
  readonly parameters: readonly Numbers[]
  readonly value: Numbers
  readonly shares: readonly number[]
  readonly logProb: Numbers
  readonly entropy: Numbers
  readonly mean: Numbers
  readonly variance: Numbers
  readonly stddev: Numbers
  readonly mode: Numbers
  /** Null if PyTorch or the library has none. */
  readonly cdf: Numbers | null
  readonly icdf: Numbers | null
}

interface Pair {
  readonly p: string
  readonly q: string
  readonly a: readonly Numbers[]
  readonly b: readonly Numbers[]
  readonly value: Numbers
}

const all = JSON.parse(
  readFileSync(new URL('../goldens/data/distributions.json', import.meta.url), 'utf8'),
) as readonly (Row | Pair)[]
const rows = all.filter((each): each is Row => 'parameters' in each)
const pairs = all.filter((each): each is Pair => 'p' in each)

const isList = (x: unknown): x is readonly Numbers[] => Array.isArray(x)
const flat = (x: Numbers): number[] => (isList(x) ? x.flatMap(flat) : [Number(`${x}`.replace('inf', 'Infinity'))])
const shapeOf = (x: Numbers): number[] => (isList(x) ? [x.length, ...shapeOf(x[0] as Numbers)] : [])

const wide = { dtype: 'float64', device: 'reference' } as const
const narrow = { dtype: 'float32', device: 'cpu' } as const
type Place = typeof wide | typeof narrow

const tensorOf = (x: Numbers, place: Place = wide): f.Tensor =>
  f.fromTypedArray(Float64Array.from(flat(x)), shapeOf(x), place)

const classes = {
  Normal: d.Normal,
  LogNormal: d.LogNormal,
  Laplace: d.Laplace,
  Uniform: d.Uniform,
  Exponential: d.Exponential,
  Gamma: d.Gamma,
  Beta: d.Beta,
  Dirichlet: d.Dirichlet,
}

/** A distribution of a name such as `Normal` or `Bernoulli.probs`. */
function made(name: string, parameters: readonly f.Tensor[]): d.Distribution {
  const [family = '', key] = name.split('.')
  if (key !== undefined) {
    const Class = family === 'Bernoulli' ? d.Bernoulli : d.Categorical
    return new Class({ [key]: parameters[0] as f.Tensor })
  }
  const Class = classes[family as keyof typeof classes] as new (...given: readonly f.Tensor[]) => d.Distribution
  return new Class(...parameters)
}

/** Expects numbers to be equal up to a relative and an absolute error, and NaN and infinities where they are. */
function expectNear(x: f.Tensor, expected: Numbers, relative: number, absolute: number, what: string): void {
  const right = flat(expected)
  const got = Array.from(x.detach().dataSync(), Number)
  expect(got.length, what).toBe(right.length)
  const wrong = got.filter((each, i) => {
    const other = right[i] as number
    if (!Number.isFinite(other)) return !Object.is(each, other)
    return !(Math.abs(each - other) <= relative * Math.abs(other) + absolute)
  })
  expect(wrong, `${what}: ${got} instead of ${right}`).toEqual([])
}

const results = ['mean', 'variance', 'stddev', 'mode'] as const

describe('as in PyTorch', () => {
  it.each(rows.map((row) => [row.name, row] as const))('%s in float64', (name, row) => {
    const p = made(
      name,
      row.parameters.map((each) => tensorOf(each)),
    )
    const near = (x: f.Tensor, expected: Numbers, what: string) => expectNear(x, expected, 1e-9, 1e-14, what)
    for (const each of results) if (isList(row[each])) near(p[each], row[each], each)
    near(p.logProb(tensorOf(row.value)), row.logProb, 'logProb')
    near(p.entropy(), row.entropy, 'entropy')
    if (isList(row.cdf)) near(p.cdf(tensorOf(row.value)), row.cdf, 'cdf')
    if (isList(row.icdf)) near(p.icdf(tensorOf(row.shares.map((each) => [each]))), row.icdf, 'icdf')
    expect(p.logProb(tensorOf(row.value)).dtype).toBe('float64')
  })

  // Probabilities of 0 and 1 have other logarithms in float32, which are tested below.
  it.each(rows.filter(({ name }) => !name.endsWith('.probs')).map((row) => [row.name, row] as const))(
    '%s in float32 on the native device',
    (name, row) => {
      const p = made(
        name,
        row.parameters.map((each) => tensorOf(each, narrow)),
      )
      expectNear(p.logProb(tensorOf(row.value, narrow)), row.logProb, 3e-5, 3e-5, 'logProb')
      expectNear(p.entropy(), row.entropy, 3e-5, 1e-5, 'entropy')
      expectNear(p.variance, row.variance, 1e-5, 1e-7, 'variance')
    },
  )

  // torch.distributions.Bernoulli(probs=torch.tensor([0., 1.])).log_prob(torch.tensor([1., 0.])), and
  // Categorical(torch.tensor([0., 1., 3.])).log_prob(torch.tensor([0, 1, 2])), in float32.
  it('probabilities of 0 and 1 are taken as the next ones in float32', () => {
    const certain = new d.Bernoulli({ probs: f.tensor([0, 1]) })
    expectNear(certain.logProb(f.tensor([1, 0])), [-15.942384719848633, -15.942384719848633], 1e-6, 0, 'Bernoulli')
    const choice = new d.Categorical({ probs: f.tensor([0, 1, 3]) })
    const expected = [-15.942384719848633, -1.3862943649291992, -0.28768205642700195]
    expectNear(choice.logProb(f.tensor([0, 1, 2], { dtype: 'int32' })), expected, 1e-6, 0, 'Categorical')
  })

  it.each(pairs.map((pair) => [pair.p, pair.q, pair] as const))('klDivergence of %s and %s', (_p, _q, pair) => {
    const [p, q] = [
      made(
        pair.p,
        pair.a.map((each) => tensorOf(each)),
      ),
      made(
        pair.q,
        pair.b.map((each) => tensorOf(each)),
      ),
    ]
    expectNear(d.klDivergence(p, q), pair.value, 1e-9, 1e-12, 'klDivergence')
  })

  it('every pair of PyTorch is among them', () => {
    expect(new Set(pairs.map(({ p, q }) => `${p} ${q}`)).size).toBe(38)
  })
})

const soft: { readonly [name: string]: readonly Numbers[] } = {
  Normal: [
    [0.3, -1],
    [0.7, 2],
  ],
  LogNormal: [
    [0.3, -1],
    [0.7, 0.4],
  ],
  Laplace: [
    [0.3, -1],
    [0.7, 2],
  ],
  Uniform: [
    [-0.3, -1],
    [0.9, 2],
  ],
  Exponential: [[0.7, 2]],
  Gamma: [
    [0.6, 3],
    [0.7, 2],
  ],
  Beta: [
    [0.6, 3],
    [0.7, 2],
  ],
  Dirichlet: [
    [
      [0.6, 3, 1.5],
      [2, 0.7, 1],
    ],
  ],
  'Bernoulli.probs': [[0.2, 0.7]],
  'Bernoulli.logits': [[-1, 0.6]],
  'Categorical.probs': [
    [
      [0.2, 0.3, 1.5],
      [0.4, 0.1, 0.5],
    ],
  ],
  'Categorical.logits': [
    [
      [-1, 2, 0.3],
      [0.1, 0.2, 0.3],
    ],
  ],
}
const names = Object.keys(soft)

/** A value that each distribution can have. */
const drawnBy = (name: string): Numbers =>
  name === 'Dirichlet'
    ? [
        [0.2, 0.3, 0.5],
        [0.6, 0.3, 0.1],
      ]
    : /^(Bernoulli|Categorical)/.test(name)
      ? [1, 0]
      : [0.4, 0.25]

/** Compares gradients of the sum of `run` with central differences, for every number of the parameters. */
function checkGradients(parameters: readonly Numbers[], run: (tensors: readonly f.Tensor[]) => f.Tensor): void {
  const tensors = parameters.map((each) => tensorOf(each))
  for (const tensor of tensors) tensor.requiresGrad = true
  run(tensors).sum().backward()
  const step = 1e-5
  for (const [place, tensor] of tensors.entries()) {
    const gradient = Array.from((tensor.grad ?? f.zerosLike(tensor)).dataSync(), Number)
    const slope = gradient.map((_, i) => {
      const at = (moved: number) => {
        const given = parameters.map((each, k) => {
          const list = flat(each)
          if (k === place) list[i] = (list[i] as number) + moved
          return f.fromTypedArray(Float64Array.from(list), shapeOf(each), wide)
        })
        return run(given).sum().item()
      }
      return (at(step) - at(-step)) / (2 * step)
    })
    expectNear(f.fromTypedArray(Float64Array.from(gradient), [gradient.length], wide), slope, 1e-5, 1e-7, `${place}`)
  }
}

describe('gradients by finite differences', () => {
  it.each(names)('of logProb and entropy of %s', (name) => {
    const value = tensorOf(drawnBy(name))
    checkGradients(soft[name] as readonly Numbers[], (given) => made(name, given).logProb(value))
    checkGradients(soft[name] as readonly Numbers[], (given) => made(name, given).entropy())
  })

  it.each(['Normal', 'LogNormal', 'Laplace', 'Exponential', 'Gamma', 'Beta'])(
    'of logProb of %s by its value',
    (name) => {
      const p = made(
        name,
        (soft[name] as readonly Numbers[]).map((each) => tensorOf(each)),
      )
      checkGradients([drawnBy(name)], ([value]) => p.logProb(value as f.Tensor))
    },
  )

  it.each(['Normal', 'LogNormal', 'Laplace', 'Uniform', 'Exponential'])('of rsample of %s', (name) => {
    checkGradients(soft[name] as readonly Numbers[], (given) => {
      const drawn = made(name, given).rsample([5], { generator: new f.Generator(7) })
      return drawn.square().mul(0.1)
    })
  })

  it.each(
    pairs.filter(({ value }) => flat(value).every(Number.isFinite)).map((pair) => [pair.p, pair.q, pair] as const),
  )('of klDivergence of %s and %s', (p, q, { a, b }) => {
    // A uniform beside itself has no slope on one side either.
    if (p === q && JSON.stringify(a) === JSON.stringify(b)) return
    // The ends of probabilities have no slope on one side, and the ends of a uniform are the ends of others.
    if ([...a, ...b].flatMap(flat).some((each) => each === 0 || each === 1)) return
    checkGradients([...a, ...b], (given) =>
      d.klDivergence(made(p, given.slice(0, a.length)), made(q, given.slice(a.length))),
    )
  })
})

describe('100,000 samples', () => {
  const count = 100_000
  it.each(names.filter((name) => !name.startsWith('Categorical')))('of %s have its moments', (name) => {
    const p = made(
      name,
      (soft[name] as readonly Numbers[]).map((each) => tensorOf(each, narrow)),
    )
    const x = p.sample([count], { generator: new f.Generator(11) })
    expect(x.requiresGrad).toBe(false)
    expect(x.shape).toEqual([count, ...p.batchShape, ...p.eventShape])
    const [mean, variance] = [flat(p.mean.toArray() as Numbers), flat(p.variance.toArray() as Numbers)]
    const columns = mean.length
    const drawn = Float64Array.from(x.dataSync())
    for (let column = 0; column < columns; column++) {
      const [m, v] = [mean[column] as number, variance[column] as number]
      let [first, second, fourth] = [0, 0, 0]
      for (let i = column; i < drawn.length; i += columns) {
        const distance = (drawn[i] as number) - m
        first += distance / count
        second += distance ** 2 / count
        fourth += distance ** 4 / count
      }
      expect(Math.abs(first), `the mean of column ${column}`).toBeLessThan(5 * Math.sqrt(v / count))
      const error = Math.sqrt(Math.max(fourth - v * v, 1e-12) / count)
      expect(Math.abs(second - v), `the variance of column ${column}`).toBeLessThan(5 * error)
    }
  })

  it.each(['Categorical.probs', 'Categorical.logits'])('of %s have its frequencies', (name) => {
    const p = made(name, [tensorOf((soft[name] as readonly Numbers[])[0] as Numbers, narrow)]) as d.Categorical
    const x = p.sample([count], { generator: new f.Generator(12) })
    expect([x.dtype, x.shape]).toEqual(['int32', [count, 2]])
    const drawn = Array.from(x.dataSync(), Number)
    const probs = flat(p.probs.toArray() as Numbers)
    for (const [place, chance] of probs.entries()) {
      const [row, index] = [Math.floor(place / 3), place % 3]
      const share = drawn.filter((each, i) => i % 2 === row && each === index).length / count
      expect(Math.abs(share - chance)).toBeLessThan(5 * Math.sqrt((chance * (1 - chance)) / count))
    }
  })

  it.each(['Normal', 'Laplace', 'Uniform', 'Exponential', 'LogNormal'])('of %s have uniform shares', (name) => {
    const p = made(
      name,
      (soft[name] as readonly Numbers[]).map((each) => tensorOf(each, narrow)),
    )
    const shares = Array.from(p.cdf(p.sample([count / 2], { generator: new f.Generator(13) })).dataSync(), Number)
    for (const limit of [0.01, 0.25, 0.5, 0.9, 0.999]) {
      const below = shares.filter((each) => each < limit).length / shares.length
      expect(Math.abs(below - limit)).toBeLessThan(5 * Math.sqrt((limit * (1 - limit)) / shares.length))
    }
  })
})

describe('seeds', () => {
  it.each(names)('repeat samples of %s', (name) => {
    const p = made(
      name,
      (soft[name] as readonly Numbers[]).map((each) => tensorOf(each, narrow)),
    )
    const draw = (seed: number) => [...p.sample([20], { generator: new f.Generator(seed) }).dataSync()]
    expect(draw(3)).toEqual(draw(3))
    expect(draw(3)).not.toEqual(draw(4))
    const drawByDefault = () => {
      f.manualSeed(3)
      return [...p.sample([20]).dataSync()]
    }
    expect(drawByDefault()).toEqual(drawByDefault())
  })
})

describe('shapes', () => {
  it('are those of the batch and of the event', () => {
    const p = new d.Normal(f.zeros([2, 1]), f.ones([3]))
    expect([p.batchShape, p.eventShape]).toEqual([[2, 3], []])
    expect(p.sample().shape).toEqual([2, 3])
    expect(p.rsample([4]).shape).toEqual([4, 2, 3])
    expect(p.logProb(0).shape).toEqual([2, 3])
    const choice = new d.Categorical({ logits: f.zeros([2, 5]) })
    expect([choice.batchShape, choice.eventShape]).toEqual([[2], []])
    expect(choice.logProb(f.zeros([7, 1], { dtype: 'int32' })).shape).toEqual([7, 2])
    expect(choice.sample([0]).shape).toEqual([0, 2])
    const shares = new d.Dirichlet(f.ones([2, 5]))
    expect([shares.batchShape, shares.eventShape, shares.sample([4]).shape]).toEqual([[2], [5], [4, 2, 5]])
  })

  it('each sample has the place of its batch', () => {
    const p = new d.Categorical({
      probs: f.tensor([
        [1, 0, 0],
        [0, 0, 1],
      ]),
    })
    expect(p.sample([2]).toArray()).toEqual([
      [0, 2],
      [0, 2],
    ])
  })

  it.each(names)('of %s expand', (name) => {
    const p = made(
      name,
      (soft[name] as readonly Numbers[]).map((each) => tensorOf(each)),
    )
    const large = p.expand([3, 2])
    expect(large.batchShape).toEqual([3, 2])
    expect(large.eventShape).toEqual(p.eventShape)
    expect(large.constructor).toBe(p.constructor)
    const value = tensorOf(drawnBy(name))
    const twice = large.logProb(value)
    expect(twice.shape).toEqual([3, 2])
    for (const row of twice.toArray() as number[][]) expect(row).toEqual(p.logProb(value).toArray())
    expect(() => large.logProb(f.full(large.eventShape, Number.NaN, wide))).toThrow(/\.logProb\]/)
    expect(() => p.expand([5])).toThrow(expect.objectContaining({ name: 'ShapeError' }))
  })

  it('Independent sums over its event', () => {
    const base = new d.Normal(f.zeros([4, 2, 3]), f.full([3], 2))
    const p = new d.Independent(base, 2)
    expect([p.batchShape, p.eventShape, p.hasRsample]).toEqual([[4], [2, 3], true])
    const x = p.rsample([5])
    expect(x.shape).toEqual([5, 4, 2, 3])
    expectNear(p.logProb(x), base.logProb(x).sum([-1, -2]).toArray() as Numbers, 1e-6, 0, 'logProb')
    expectNear(p.entropy(), base.entropy().sum([-1, -2]).toArray() as Numbers, 1e-6, 0, 'entropy')
    const q = new d.Independent(new d.Normal(f.ones([2, 3]), 1), 2)
    expectNear(d.klDivergence(p, q), d.klDivergence(base, q.base).sum([-1, -2]).toArray() as Numbers, 1e-6, 0, 'KL')
    expect(p.expand([6, 4]).sample().shape).toEqual([6, 4, 2, 3])
    const choices = new d.Independent(new d.Categorical({ logits: f.zeros([2, 5]) }), 1)
    expect(choices.hasRsample).toBe(false)
    expect(choices.logProb(choices.sample([3])).shape).toEqual([3])
    expect(() => p.logProb(f.zeros([4, 3]))).toThrow('[Independent.logProb] value is [4, 3], but must end with')
  })
})

describe('dtypes and places', () => {
  it.each(names)('of %s stay bfloat16', (name) => {
    const p = made(
      name,
      (soft[name] as readonly Numbers[]).map((each) => tensorOf(each, narrow).to('bfloat16')),
    )
    expect(p.dtype).toBe('bfloat16')
    for (const x of [p.mean, p.variance, p.entropy()]) expect(x.dtype).toBe('bfloat16')
    if (!name.startsWith('Categorical')) expect(p.sample([2]).dtype).toBe('bfloat16')
    const exact = made(
      name,
      (soft[name] as readonly Numbers[]).map((each) => tensorOf(each, narrow)),
    )
    expectNear(p.entropy(), exact.entropy().toArray() as Numbers, 0.1, 0.1, 'entropy')
  })

  it('numbers follow tensors', () => {
    const p = new d.Normal(tensorOf([0, 1]), 2)
    expect([p.scale.dtype, p.device.name, p.sample().dtype]).toEqual(['float64', 'reference', 'float64'])
    expect(new d.Normal(0, 1).sample().dtype).toBe('float32')
  })

  it('elements of meta are not read', () => {
    const p = new d.Normal(f.zeros([2], { device: 'meta' }), f.ones([2], { device: 'meta' }))
    expect(p.logProb(p.sample([3])).shape).toEqual([3, 2])
    expect(new d.Gamma(f.zeros([2], { device: 'meta' }), 1).sample([3]).shape).toEqual([3, 2])
  })

  it('two backward passes of one distribution are two graphs', () => {
    const logits = f.tensor([1, 2, 3], { requiresGrad: true })
    const p = new d.Categorical({ logits })
    p.logProb(1).backward()
    p.logProb(2).backward()
    expect(logits.grad?.shape).toEqual([3])
  })
})

describe('a refusal of', () => {
  const x = f.tensor([1, 2, 3])
  it.each<readonly [string, () => unknown, string, string]>([
    ['a negative scale', () => new d.Normal(x, f.tensor([1, -2, 3])), 'ValueError', '[Normal] scale holds -2'],
    ['a scale of NaN', () => new d.Laplace(0, Number.NaN), 'ValueError', '[Laplace] scale is NaN'],
    ['a place of NaN', () => new d.LogNormal(f.full([2], Number.NaN), 1), 'ValueError', '[LogNormal] loc holds NaN'],
    ['a text', () => new d.Normal('0' as never, 1), 'ValueError', "[Normal] loc is '0', but must be a tensor or a num"],
    ['integers', () => new d.Normal(f.tensor([1], { dtype: 'int32' }), 1), 'DTypeError', '[Normal] loc is int32'],
    ['two devices', () => new d.Normal(x, tensorOf([1])), 'DeviceError', '[Normal] scale is on reference'],
    ['misfits', () => new d.Normal(x, f.ones([2])), 'ShapeError', '[Normal] '],
    [
      'a wrong option',
      () => new d.Normal(0, 1, { validate: true } as never),
      'ValueError',
      'there is no option validate',
    ],
    ['a wrong flag', () => new d.Gamma(1, 1, { validateArgs: 1 as never }), 'ValueError', 'validateArgs is 1'],
    [
      'an empty range',
      () => new d.Uniform(f.tensor([0, 2]), f.tensor([1, 2])),
      'ValueError',
      'high holds 2, but must be',
    ],
    ['no chances', () => new d.Bernoulli({}), 'ValueError', '[Bernoulli] needs probs or logits, but neither is'],
    ['both chances', () => new d.Categorical({ probs: x, logits: x }), 'ValueError', 'but both are'],
    [
      'a chance of 2',
      () => new d.Bernoulli({ probs: f.tensor([2]) }),
      'ValueError',
      'probs holds 2, but must be from 0',
    ],
    ['a negative chance', () => new d.Categorical({ probs: f.tensor([2, -1]) }), 'ValueError', 'probs holds -1'],
    ['no chance at all', () => new d.Categorical({ probs: f.zeros([2]) }), 'ValueError', 'the sum of probs holds 0'],
    [
      'logits of -Infinity',
      () => new d.Categorical({ logits: f.full([2], -Infinity) }),
      'ValueError',
      'logits holds NaN',
    ],
    ['no class', () => new d.Categorical({ logits: f.tensor(1) }), 'ShapeError', 'logits are [], but must be [..., n]'],
    ['no share', () => new d.Dirichlet(f.zeros([2, 0])), 'ShapeError', 'concentration is [2, 0]'],
    ['an index of 3', () => new d.Categorical({ probs: x }).logProb(3), 'ValueError', 'integer from 0 to 2'],
    [
      'half an index',
      () => new d.Categorical({ probs: x }).logProb(0.5),
      'ValueError',
      '[Categorical.logProb] value holds 0.5',
    ],
    ['half a truth', () => new d.Bernoulli({ probs: 0.5 }).logProb(0.5), 'ValueError', 'must be 0 or 1'],
    ['a negative time', () => new d.Exponential(x).logProb(-1), 'ValueError', 'must be 0 or more'],
    ['a value outside', () => new d.Uniform(0, x).cdf(2), 'ValueError', 'must be from low to high'],
    [
      'shares beyond 1',
      () => new d.Dirichlet(x).logProb(f.tensor([0.5, 0.5, 0.5])),
      'ValueError',
      'sum of value holds 1.5',
    ],
    ['another shape', () => new d.Normal(x, 1).logProb(f.zeros([2])), 'ShapeError', '[Normal.logProb]'],
    ['rsample', () => new d.Beta(x, 1).rsample(), 'ValueError', '[Beta.rsample] no gradient passes'],
    ['cdf', () => new d.Gamma(x, 1).cdf(1), 'ValueError', '[Gamma.cdf] there is no cdf of Gamma'],
    ['a shape of 1.5', () => new d.Normal(x, 1).sample([1.5]), 'ValueError', '[Normal.sample]'],
    ['no base', () => new d.Independent(x as never, 1), 'ValueError', '[Independent] base is a Tensor'],
    [
      'too many dimensions',
      () => new d.Independent(new d.Normal(x, 1), 2),
      'ValueError',
      'must be an integer from 0 to 1',
    ],
    [
      'a pair',
      () => d.klDivergence(new d.Normal(x, 1), new d.Bernoulli({ probs: 0.5 })),
      'ValueError',
      'no formula for p of N',
    ],
    ['events', () => d.klDivergence(new d.Normal(x, 1), new d.Dirichlet(x)), 'ShapeError', 'the events of p are []'],
    ['no distribution', () => d.klDivergence(new d.Normal(x, 1), 3 as never), 'ValueError', 'q is the number 3'],
  ])('%s names it', (_, run, name, message) => {
    expect(run).toThrow(expect.objectContaining({ name, message: expect.stringContaining(message) }))
  })

  it('nothing, if validateArgs is false', () => {
    const p = new d.Normal(f.tensor([1]), f.tensor([-1]), { validateArgs: false })
    const value = f.full([1], Number.NaN)
    expect(p.logProb(value).toArray()).toEqual([Number.NaN])
    const grey = new d.Bernoulli({ logits: f.tensor([0.5]), validateArgs: false })
    const loss = f.nn.functional.binaryCrossEntropyWithLogits(f.tensor([0.5]), f.tensor([0.3]))
    expect(grey.logProb(0.3).item()).toBeCloseTo(-loss.item(), 6)
    expect(p.expand([2]).logProb(value).shape).toEqual([2])
  })
})
