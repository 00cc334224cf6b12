/** The memory of a leaf's gradient is its own, however it was computed, and however long scopes live. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { deviceNames } from '../suites/support.js'

/** One step of a random graph: an operator, and the earlier tensors that it takes. */
interface Step {
  readonly op: number
  readonly a: number
  readonly b: number
}

const shape = [2, 2] as const

/** Operators that are linear in all their inputs together, so that gradients can be read off exactly. */
const linear: readonly ((a: f.Tensor, b: f.Tensor) => f.Tensor)[] = [
  (a, b) => f.add(a, b),
  (a, b) => f.sub(a, b),
  (a) => f.reshape(a, [2, 2]),
  (a) => f.reshape(f.reshape(a, [4]), [2, 2]),
  (a) => f.transpose(a, 0, 1),
  (a) => f.mul(a, 1),
  (a) => f.neg(a),
  (a) => f.clone(a),
  (a) => f.expand(f.narrow(a, 0, 1, 1), [2, 2]),
  (a, b) => f.cat([f.select(a, 0, 0), f.select(b, 0, 1)]).view([2, 2]),
]

function build(leaves: readonly f.Tensor[], steps: readonly Step[]): f.Tensor {
  const made = [...leaves]
  for (const { op, a, b } of steps) {
    const pick = (index: number) => made[index % made.length] as f.Tensor
    made.push((linear[op] as (typeof linear)[number])(pick(a), pick(b)))
  }
  return made.reduce((sum, x) => f.add(sum, x))
}

const steps = fc.array(
  fc.record({ op: fc.nat({ max: linear.length - 1 }), a: fc.nat({ max: 20 }), b: fc.nat({ max: 20 }) }),
  { maxLength: 6 },
)

describe.each(deviceNames)('gradients of leaves on %s', (device) => {
  const before = f.defaultDevice()
  beforeAll(() => f.setDefaultDevice(device))
  afterAll(() => f.setDefaultDevice(before))

  const leaf = (value: f.NestedArray) => f.tensor(value, { requiresGrad: true })
  // The sign of a zero is ignored.
  const list = (x: f.Tensor | null) => x && [...x.dataSync()].map((value) => value + 0)

  const item = (x: f.Tensor | null) => x?.item()
  /** The gradient, which the tensor then no longer has. */
  const taken = (x: f.Tensor) => {
    const { grad } = x
    x.grad = null
    return grad as f.Tensor
  }

  it.each([false, true])('are right and share no memory, in random graphs (createGraph: %s)', (createGraph) => {
    fc.assert(
      fc.property(steps, fc.nat({ max: 1 }), (graph, hooked) => {
        f.scope(() => {
          const leaves = [0, 1].map(() => f.zeros(shape, { requiresGrad: true }))
          const shown: f.Tensor[] = []
          leaves[hooked]?.registerHook((g) => void shown.push(g))
          const root = f.tensor([
            [1, 2],
            [4, 8],
          ])
          build(leaves, graph).backward({ gradient: root, createGraph })
          // The graph is linear, so each unit of a leaf gives its column.
          const expected = leaves.map((_, k) =>
            [0, 1, 2, 3].map((i) => {
              const at = leaves.map((__, j) =>
                f
                  .tensor(
                    [0, 1, 2, 3].map((e) => (j === k && e === i ? 1 : 0)),
                    {},
                  )
                  .view([2, 2]),
              )
              return f.sum(f.mul(build(at, graph), root)).item()
            }),
          )
          expect(leaves.map(({ grad }) => list(grad))).toEqual(expected)
          const all = [root, ...leaves.map(({ grad }) => grad as f.Tensor), ...shown]
          leaves.forEach((x, k) => {
            const others = all.filter((other) => other !== x.grad)
            const values = others.map(list)
            f.noGrad(() => x.grad?.fill_(100 + k))
            expect(others.map(list)).toEqual(values)
          })
          // A pass that adds in place adds only to its own leaf's gradient.
          const values = all.map(list)
          f.sum(f.mul(leaves[0] as f.Tensor, 3)).backward()
          expect(all.map(list)).toEqual(values.map((v, i) => (i === 1 ? [103, 103, 103, 103] : v)))
        })
      }),
      { numRuns: 60 },
    )
  })

  it('with a graph are neither the given gradient nor each other', () => {
    const [a, b, g] = [leaf([1, 1]), leaf([1, 1]), f.ones([2])]
    f.add(a, b).backward({ gradient: g, createGraph: true })
    f.sum(f.mul(a, 3)).backward()
    expect([g, a.grad, b.grad].map(list)).toEqual([
      [1, 1],
      [4, 4],
      [1, 1],
    ])
  })

  it('with a graph can be added to where they came as one expanded number', () => {
    const [a, b] = [leaf([1, 1]), leaf([1, 1])]
    f.sum(f.add(a, b)).backward({ createGraph: true })
    f.sum(f.mul(a, 3)).backward()
    expect([list(a.grad), list(b.grad)]).toEqual([
      [4, 4],
      [1, 1],
    ])
  })

  it('with a graph survive zeroGrad of another leaf', () => {
    const [a, b] = [leaf([1, 1]), leaf([1, 1])]
    f.sum(f.add(a, b)).backward({ createGraph: true })
    f.zeroGrad([a])
    expect(list(b.grad)).toEqual([1, 1])
  })

  it('with a graph survive the scope they came in, with what their graph needs', () => {
    const x = leaf([3])
    f.scope(() => f.sum(f.mul(f.square(x), x)).backward({ createGraph: true }))
    expect(item(x.grad)).toBe(27)
    const first = taken(x)
    f.scope(() => f.scope(() => f.sum(f.mul(first, 1)).backward({ createGraph: true })))
    expect(item(x.grad)).toBe(18)
    const second = taken(x)
    f.sum(second).backward()
    expect(item(x.grad)).toBe(6)
  })

  it('with a graph add up over passes, and with passes that have none', () => {
    const x = leaf([2])
    const pass = (createGraph: boolean) => f.scope(() => f.sum(f.square(x)).backward({ createGraph }))
    for (const createGraph of [true, true, false, true, false]) pass(createGraph)
    expect(item(x.grad)).toBe(20)
  })

  it('from grad() are apart too, with a graph', () => {
    const [a, b, g] = [leaf([1, 1]), leaf([1, 1]), f.ones([2])]
    const found = f.grad(f.add(a, b), [a, b], { gradOutputs: [g], createGraph: true }) as f.Tensor[]
    f.noGrad(() => found[0]?.fill_(7))
    expect([list(g), ...found.map(list)]).toEqual([
      [1, 1],
      [7, 7],
      [1, 1],
    ])
  })

  it('leave what a hook was shown as it was, also for another leaf of the same sum', () => {
    const [a, b] = [leaf([1, 1]), leaf([1, 1])]
    const shown: f.Tensor[] = []
    a.registerHook((g) => void shown.push(g))
    f.sum(f.mul(f.add(a, b), 5)).backward()
    f.sum(f.mul(b, 3)).backward()
    expect([shown.map(list), list(b.grad)]).toEqual([[[5, 5]], [8, 8]])
    // The hook sees the gradient in the middle of a sum: `early` adds to the gradient of `d` after `late` has given it
    // to both.
    const c = leaf([1, 1])
    c.registerHook((g) => void shown.push(g))
    const d = f.mul(b, 2)
    const early = f.mul(d, 10)
    const late = f.add(c, d)
    f.sum(f.add(f.mul(late, 3), early)).backward()
    expect(list(shown[1] as f.Tensor)).toEqual([3, 3])
  })

  it('take what a hook returns, in another dtype, layout or as the gradient that is there', () => {
    const x = leaf([1, 2])
    f.sum(x).backward()
    const undo = x.registerHook(() => x.grad as f.Tensor<[2]>)
    f.sum(x).backward()
    expect(list(x.grad)).toEqual([2, 2])
    undo()
    x.registerHook(() => f.ones([1], { dtype: 'bfloat16' }).expand([2]))
    f.sum(x).backward()
    expect(list(x.grad)).toEqual([3, 3])
    const wrong = (value: unknown, error: unknown) => {
      const y = leaf([1, 2])
      y.registerHook(() => value as f.Tensor)
      expect(() => f.sum(y).backward()).toThrow(error as Error)
    }
    wrong(5, f.DTypeError)
    wrong(f.ones([2], { dtype: 'int32' }), f.DTypeError)
    for (const other of deviceNames) if (other !== device) wrong(f.ones([2], { device: other }), f.DeviceError)
    expect(() => x.registerHook(null as never)).toThrow(/^\[registerHook\] the hook must be a function, but is null/)
  })
})

describe.each(deviceNames)('a gradient that the program sets, on %s', (device) => {
  const leaf = (value: f.NestedArray) => f.tensor(value, { requiresGrad: true, device })
  const rows = (x: f.Tensor) => x.grad?.toArray()

  it('must have the shape, dtype and device of its tensor', () => {
    const x = leaf([
      [1, 2, 3],
      [4, 5, 6],
    ])
    const set = (value: unknown) => () => {
      x.grad = value as f.Tensor
    }
    expect(set(f.ones([3, 2], { device }))).toThrow(f.ShapeError)
    expect(set(f.ones([3, 2], { device }))).toThrow(/^\[grad\] .*\[3, 2\].*\[2, 3\]/)
    expect(set(f.ones([2, 3], { device, dtype: 'int32' }))).toThrow(/^\[grad\] .*int32.*float32/)
    expect(set(f.ones([2, 3], { device, dtype: 'bfloat16' }))).toThrow(f.DTypeError)
    expect(set(5)).toThrow(/^\[grad\] must be a tensor or null, but is the number 5/)
    expect(set(undefined)).toThrow(f.DTypeError)
    expect(set(x)).toThrow(/^\[grad\] .*its own gradient/)
    const freed = f.ones([2, 3], { device })
    freed.dispose()
    expect(set(freed)).toThrow(f.DisposedError)
    for (const other of deviceNames)
      if (other !== device) {
        expect(set(f.ones([2, 3], { device: other }))).toThrow(f.DeviceError)
        expect(set(f.ones([2, 3], { device: other }))).toThrow(new RegExp(`\\[grad\\] .*${other}.*${device}`))
      }
    expect(x.grad).toBeNull()
  })

  it('may be expanded or transposed: passes add to it, and optimisers step with it', () => {
    const x = leaf([
      [1, 2, 3],
      [4, 5, 6],
    ])
    const one = f.ones([1], { device })
    x.grad = one.expand([2, 3])
    f.sum(f.mul(x, 2)).backward()
    expect(rows(x)).toEqual([
      [3, 3, 3],
      [3, 3, 3],
    ])
    expect(one.item()).toBe(1)
    x.grad = f.arange(0, 6, 1, { dtype: 'float32', device }).view([3, 2]).transpose(0, 1) as never
    f.sum(f.mul(x, 2)).backward()
    expect(rows(x)).toEqual([
      [2, 4, 6],
      [3, 5, 7],
    ])
    ;(x.peekGrad() as f.Tensor).dispose()
    expect(() => f.sum(x).backward()).toThrow(f.DisposedError)
  })

  it('and what backward() is given, likewise, but in any floating dtype', () => {
    const x = leaf([1, 2])
    const run = (gradient: unknown) => f.mul(x, 2).backward({ gradient: gradient as f.Tensor })
    run(f.ones([2], { device, dtype: 'bfloat16' }))
    expect(rows(x)).toEqual([2, 2])
    expect(() => run(f.ones([1], { device }))).toThrow(/^\[backward\] gradient is \[1\], .*\[2\]/)
    expect(() => run(f.ones([2], { device, dtype: 'int32' }))).toThrow(/^\[backward\] gradient is int32.*float/)
    expect(() => run([1, 1])).toThrow(/^\[backward\] gradient must be a tensor/)
    for (const other of deviceNames)
      if (other !== device) expect(() => run(f.ones([2], { device: other }))).toThrow(/^\[backward\] gradient is on/)
  })

  it('and requiresGrad refuses what it cannot be', () => {
    const set = (x: f.Tensor, value: unknown) => () => {
      x.requiresGrad = value as boolean
    }
    expect(set(f.ones([1], { device, dtype: 'int32' }), true)).toThrow(f.DTypeError)
    expect(set(f.mul(leaf([1]), 2), false)).toThrow(f.AutogradError)
    expect(set(leaf([1]), 'no')).toThrow(/^\[requiresGrad\] .*'no'/)
  })
})
