/** Operators that a program makes from a forward and a backward. */
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { normal, positive } from '../cases/case.js'
import { checkFirstDerivatives, checkSecondDerivatives } from '../suites/derivatives.js'
import { devices } from '../suites/support.js'

/** x^power, saved by argument. */
const power = f.customOperator({
  name: 'power',
  forward: (_, x: f.Tensor, exponent: number) => ({ output: f.pow(x, exponent), saved: { x, exponent } }),
  backward: ({ saved: { x, exponent } }, g) => [g.mul(f.pow(x, exponent - 1)).mul(exponent), null],
})

/** The sum and the product of broadcast tensors. There are two outputs, one of which is saved. */
const both = f.customOperator({
  name: 'both',
  forward({ needs }, a: f.Tensor, b: f.Tensor | null) {
    if (b === null) return { output: [a, f.exp(a)] as const, saved: null }
    const output = [a.add(b), a.mul(b)] as const
    return { output, saved: { product: output[1], factors: [needs[1] ? a : null, b] as const } }
  },
  backward({ saved, needs }, sum, product) {
    if (saved === null) throw new Error('not used')
    const [a, b] = saved.factors
    const total = (parts: readonly (f.Tensor | null | undefined)[]): f.Tensor | null =>
      parts.reduce<f.Tensor | null>((all, part) => (all && part ? all.add(part) : (all ?? part ?? null)), null)
    const da = total([sum, product?.mul(b)])
    const db = a && total([sum?.sum(0), product?.mul(a).sum(0)])
    return [needs[0] ? da : null, needs[1] ? db : null]
  },
})

/** e^x, which saves its output. */
const grow = f.customOperator({
  name: 'grow',
  forward(_, x: f.Tensor) {
    const output = f.exp(x)
    return { output, saved: output }
  },
  backward: ({ saved }, g) => [g.mul(saved)],
})

/** -x, whose gradient needs nothing of x. */
const negated = f.customOperator({
  name: 'negated',
  forward: (_, x: f.Tensor) => ({ output: x.neg() }),
  backward: ({ saved }, g) => {
    expect(saved).toBe(undefined)
    return [g.neg()]
  },
})

describe('a custom operator passes the check of gradients', () => {
  const cases = [
    { name: 'negated', inputs: [normal([4])], call: (x: f.Tensor) => negated(x).square() },
    { name: 'power', inputs: [positive([3, 4])], call: (x: f.Tensor) => power(x, 2.5) },
    { name: 'both', inputs: [normal([3, 4]), normal([4])], call: (a: f.Tensor, b: f.Tensor) => both(a, b) },
    { name: 'grow', inputs: [normal([5])], call: (x: f.Tensor) => grow(x) },
    {
      name: 'all of them, checkpointed',
      inputs: [normal([3, 4]), normal([4])],
      call: (a: f.Tensor, b: f.Tensor) =>
        f.checkpoint((x: f.Tensor, y: f.Tensor) => both(grow(x), power(grow(y), 3))[1], a, b),
    },
  ]
  for (const { name, inputs, call } of cases) {
    const c = { op: name, name, inputs, call, length: 4 }
    it(`${name}: first derivatives`, () => checkFirstDerivatives(c))
    it(`${name}: second derivatives`, () => checkSecondDerivatives(c))
  }

  it('and does not, where its backward is wrong', () => {
    const wrong = f.customOperator({
      name: 'wrong',
      forward: (_, x: f.Tensor) => ({ output: x.square(), saved: x }),
      backward: ({ saved }, g) => [g.mul(saved)],
    })
    const c = { op: 'wrong', name: 'wrong', inputs: [normal([3])], call: (x: f.Tensor) => wrong(x) }
    expect(() => checkFirstDerivatives(c)).toThrow('differences say')
  })
})

describe.each(devices.map((device) => [device.name, device] as const))('a custom operator on %s', (_name, device) => {
  const leaf = (values: number[]) => f.tensor(values, { device, requiresGrad: true })

  it('types its arguments and outputs', () => {
    const x = leaf([1, 2])
    // @ts-expect-error a tensor is asked for
    expect(() => power(3, 2)).toThrow()
    // @ts-expect-error an argument is missing
    expect(() => power(x)).toThrow('[pow')
    const [sum, product]: readonly [f.Tensor, f.Tensor] = both(x, x)
    expect([sum.toArray(), product.toArray()]).toEqual([
      [2, 4],
      [1, 4],
    ])
    f.customOperator({
      name: 'typed',
      forward: (_, a: f.Tensor, n: number) => ({ output: a, saved: n }),
      // @ts-expect-error the number has no gradient
      backward: ({ saved }, g) => [g.mul(saved), g],
    })
  })

  it('computes only what is needed, and without gradients nothing of the graph', () => {
    const seen: (readonly boolean[])[] = []
    const op = f.customOperator({
      name: 'seen',
      forward({ needs }, a: f.Tensor, n: number, b: f.Tensor) {
        seen.push(needs)
        expect(f.isGradEnabled()).toBe(false)
        return { output: a.mul(b).mul(n), saved: { a: needs[2] ? a : null, b: needs[0] ? b : null, n } }
      },
      backward({ saved: { a, b, n }, needs }, g) {
        seen.push(needs)
        return [b && g.mul(b).mul(n), null, a && g.mul(a).mul(n)]
      },
    })
    const [a, b] = [leaf([1, 2]), f.tensor([3, 4], { device })]
    const y = op(a, 2, b)
    expect(f.savedForBackward(y).tensors).toBe(1)
    y.sum().backward()
    expect(a.grad?.toArray()).toEqual([6, 8])
    expect(f.noGrad(() => op(a, 2, b)).requiresGrad).toBe(false)
    expect(op(a.detach(), 2, b).requiresGrad).toBe(false)
    const some = [true, false, false]
    const none = [false, false, false]
    expect(seen).toEqual([some, some, none, none])
  })

  it('gives null for outputs that nothing came back to, and leaves integers out of the graph', () => {
    const given: unknown[] = []
    const op = f.customOperator({
      name: 'parts',
      forward: (_, x: f.Tensor) => ({ output: [x.mul(2), x.argmax(0), x] as const, saved: null }),
      backward(_, ...gradients) {
        given.push(gradients.map((gradient) => gradient?.toArray() ?? null))
        return [gradients[0]?.mul(2) ?? gradients[2]]
      },
    })
    const x = leaf([1, 5])
    const [twice, at, same] = op(x)
    expect([at.requiresGrad, at.item(), same === x, same.requiresGrad]).toEqual([false, 1, false, true])
    twice.sum().backward()
    op(x)[2].sum().backward()
    expect(given).toEqual([
      [[1, 1], null, null],
      [null, null, [1, 1]],
    ])
    expect(x.grad?.toArray()).toEqual([3, 3])
    expect([x.isLeaf, x.requiresGrad]).toEqual([true, true])
  })

  it('gives its own memory to a gradient that is what was saved, also where that is computed again', () => {
    // The factor of `a * factor` is the gradient for an incoming gradient of ones.
    const scale = f.customOperator({
      name: 'scale',
      forward: (_, x: f.Tensor, factor: f.Tensor) => ({ output: x.mul(factor), saved: factor }),
      backward: ({ saved }) => [saved, null],
    })
    for (const checkpointed of [false, true]) {
      const x = leaf([1, 2])
      const work = (y: f.Tensor) => scale(y, f.exp(y.detach()))
      f.scope(() => {
        const y = x.mul(2)
        const z = checkpointed ? f.checkpoint(work, y) : work(y)
        z.sum().backward()
        return null
      })
      expect(x.grad?.toArray()).toEqual(
        [2 * Math.fround(Math.exp(2)), 2 * Math.fround(Math.exp(4))].map((v) => expect.closeTo(v, 3)),
      )
      x.mul(1).sum().backward()
      expect(x.grad?.toArray()).toEqual([2 * Math.exp(2) + 1, 2 * Math.exp(4) + 1].map((v) => expect.closeTo(v, 3)))
    }
  })

  it('gets one dtype under autocast, and gives each leaf a gradient of its own', () => {
    const seen: string[] = []
    const product = (precision?: 'low' | 'float32' | 'widest') =>
      f.customOperator({
        name: 'product',
        ...(precision ? { precision } : {}),
        forward(_, a: f.Tensor, b: f.Tensor) {
          const output = a.matmul(b)
          seen.push([a, b, output].map(({ dtype }) => dtype).join())
          return { output, saved: [a, b] as const }
        },
        backward: ({ saved: [a, b] }, g) => [g.matmul(b.transpose(0, 1)), a.transpose(0, 1).matmul(g)],
      })
    const a = f.ones([2, 3], { device, requiresGrad: true })
    const b = f.ones([3, 2], { device, requiresGrad: true })
    for (const precision of ['low', 'float32', 'widest', undefined] as const)
      f.autocast('bfloat16', () => product(precision)(a, b.to('bfloat16')))
        .to('float32')
        .sum()
        .backward()
    expect(seen).toEqual([
      'bfloat16,bfloat16,bfloat16',
      'float32,float32,float32',
      'float32,float32,float32',
      'float32,float32,float32',
    ])
    expect([a.grad?.dtype, a.grad?.toArray()]).toEqual([
      'float32',
      [
        [8, 8, 8],
        [8, 8, 8],
      ],
    ])
  })

  it('refuses wrong gradients by its name', () => {
    const x = leaf([1, 2, 3])
    const other = f.device(device.name === 'cpu' ? 'reference' : 'cpu')
    const fails = (gradients: unknown, error: new (...args: never[]) => Error, message: string | RegExp) => {
      const op = f.customOperator({
        name: 'mine',
        forward: (_, a: f.Tensor, n: number) => ({ output: a.mul(n), saved: null }),
        backward: () => gradients as [null, null],
      })
      const run = () => op(x, 2).sum().backward()
      expect(run).toThrow(error)
      expect(run).toThrow(message)
    }
    const g = f.ones([3], { device })
    fails([g], f.AutogradError, '[mine] backward gave 1 gradients for 2 arguments')
    fails([g, null, null], f.AutogradError, '[mine] backward gave 3 gradients for 2 arguments')
    fails(g, f.AutogradError, '[mine] backward gave')
    fails([undefined, null], f.AutogradError, '[mine] backward gave undefined for argument 0')
    fails([3, null], f.AutogradError, 'for argument 0')
    fails([g, g], f.AutogradError, '[mine] backward gave a gradient for argument 1, which is not a tensor')
    fails([f.ones([1], { device }), null], f.ShapeError, '[mine] backward gave a gradient of [1] for argument 0 of [3]')
    fails([f.ones([3, 1], { device }), null], f.ShapeError, 'a gradient of [3, 1]')
    fails([f.ones([3], { device, dtype: 'int32' }), null], f.DTypeError, '[mine] backward gave a gradient in int32')
    fails([f.ones([3], { device: other }), null], f.DeviceError, `[mine] backward gave a gradient on ${other.name}`)
    fails(Promise.resolve([g, null]), f.ValueError, '[mine] the function returned a promise')
    expect(x.grad).toBe(null)
  })

  it('refuses what would give wrong gradients, or none, without a word', () => {
    const x = leaf([1, 2])
    const w = leaf([3, 4])
    const make = (forward: (x: f.Tensor) => { output: f.Tensor; saved: unknown }) =>
      f.customOperator({
        name: 'mine',
        forward: (_, a: f.Tensor) => forward(a),
        backward: ({ saved }, g) => [g.mul(saved as f.Tensor)],
      })
    expect(() => make((a) => ({ output: a.mul(w), saved: { w } }))(x)).toThrow('[mine] saved.w wants a gradient')
    const lists = f.customOperator({
      name: 'lists',
      forward: (_, list: readonly f.Tensor[]) => ({ output: (list[0] as f.Tensor).mul(2), saved: null }),
      backward: () => [null],
    })
    expect(() => lists([x])).toThrow('[lists] argument 0 holds a tensor that wants a gradient (at [0])')
    expect(lists([x.detach()]).toArray()).toEqual([2, 4])
    // Tensors computed on the way have first derivatives, but no second ones.
    const cube = make((a) => ({ output: a.mul(a).mul(a), saved: a.square().mul(3) }))
    cube(x).sum().backward()
    expect(x.grad?.toArray()).toEqual([3, 12])
    expect(() => f.grad(cube(x).sum(), [x], { createGraph: true })).toThrow(
      '[mine] saved is neither an argument nor an output',
    )
    // A saved tensor must not be written.
    const y = x.mul(1)
    const z = make((a) => ({ output: a.square().mul(0.5), saved: a }))(y)
    f.noGrad(() => y.fill_(3))
    expect(() => z.sum().backward()).toThrow(/\[mine\].*fill_ has overwritten/)
  })

  it('looks into Maps, Sets and objects of classes', () => {
    class Box {
      constructor(readonly inner: unknown) {}
    }
    const square = (hold: (x: f.Tensor) => unknown, take: (saved: unknown) => f.Tensor) =>
      f.customOperator({
        name: 'mine',
        forward: (_, a: f.Tensor) => ({ output: a.square(), saved: hold(a) as { of: unknown } }),
        backward: ({ saved }, g) => [g.mul(take(saved)).mul(2)],
      })
    const ways: [(x: f.Tensor) => unknown, (saved: unknown) => f.Tensor][] = [
      [(x) => new Map([['x', [x]]]), (saved) => (saved as Map<string, [f.Tensor]>).get('x')?.[0] as f.Tensor],
      [(x) => new Map([[x, 1]]), (saved) => [...(saved as Map<f.Tensor, number>).keys()][0] as f.Tensor],
      [(x) => ({ of: new Set([x]) }), (saved) => [...(saved as { of: Set<f.Tensor> }).of][0] as f.Tensor],
    ]
    for (const [hold, take] of ways) {
      const x = leaf([3, 4])
      square(hold, take)(x).sum().backward()
      expect(x.grad?.toArray()).toEqual([6, 8])
      const y = x.mul(1)
      const z = square(hold, take)(y)
      f.noGrad(() => y.fill_(3))
      expect(() => z.sum().backward()).toThrow(/\[mine\].*fill_ has overwritten/)
    }
    const boxed = square(
      (x) => ({ of: new Box({ x }) }),
      () => f.ones([2]),
    )
    expect(() => boxed(leaf([3, 4]))).toThrow('[mine] saved.of is a Box that holds a tensor (at .inner.x)')
    class Named extends Map<string, f.Tensor> {}
    const named = square(
      (x) => new Named([['x', x]]),
      () => f.ones([2]),
    )
    expect(() => named(leaf([3, 4]))).toThrow('[mine] saved is a Named that holds a tensor')
    // A value without tensors remains the same object.
    const box = new Box([1])
    let found: unknown
    square(
      (x) => [x, box],
      (saved) => {
        found = (saved as [f.Tensor, Box])[1]
        return (saved as [f.Tensor, Box])[0]
      },
    )(leaf([3, 4]))
      .sum()
      .backward()
    expect(found).toBe(box)

    const takes = f.customOperator({
      name: 'takes',
      forward: (_, a: f.Tensor, __: unknown) => ({ output: a.mul(2), saved: null }),
      backward: (_, g) => [g.mul(2), null],
    })
    const x = leaf([1, 2])
    const loop: { self?: unknown; x: f.Tensor } = { x }
    loop.self = loop
    for (const value of [new Map([['x', x]]), new Map([[x, 1]]), new Set([[x]]), new Box(x), loop])
      expect(() => takes(leaf([1, 2]), value)).toThrow('[takes] argument 1 holds a tensor that wants a gradient (at ')
    expect(takes(leaf([1, 2]), new Box(new Map([['x', x.detach()]]))).toArray()).toEqual([2, 4])
    expect(() => takes(leaf([1, 2]), new Box(Array.from({ length: 100_001 }, () => ({}))))).toThrow(
      '[takes] argument 1 is a Box with too many objects',
    )
  })

  it('refuses a forward or a definition that is none', () => {
    const x = leaf([1])
    const backward = () => [null] as [null]
    const fails = (forward: unknown, message: string) =>
      expect(() =>
        f.customOperator({
          name: 'mine',
          forward: forward as () => { output: f.Tensor; saved: null },
          backward,
        } as never)(x as never),
      ).toThrow(message)
    fails(() => x, '[mine] forward gave')
    fails(() => ({ output: 3 }), '[mine] the output of forward is')
    fails(() => ({ output: [x, null] }), '[mine] output 1 of forward is null')
    fails(() => ({ output: [] }), '[mine] forward gave an empty list')
    fails(async () => ({ output: x }), 'promise')
    fails(3, '[customOperator] forward of mine')
    const define = (operator: unknown) => expect(() => f.customOperator(operator as never))
    define(null).toThrow('[customOperator]')
    define({ name: '', forward: () => x, backward }).toThrow('[customOperator] the name')
    define({ name: 'a', forward: () => x, backward, saves: 1 }).toThrow('saves')
    define({ name: 'a', forward: () => x, backward, precision: 'high' }).toThrow("precision of a is 'high'")
    x.dispose()
    expect(() => power(x, 2)).toThrow(f.DisposedError)
  })
})
