/**
 * The promises of autograd besides right numbers: hooks, accumulation, who may use what when, and no unnecessary work.
 */
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { devices, others, reference } from './support.js'

describe.each(devices.map((device) => [device.name, device] as const))('%s', (_name, device) => {
  const leaf = (value: f.NestedArray) => f.tensor(value, { device, requiresGrad: true })
  const constant = (value: f.NestedArray) => f.tensor(value, { device })
  const list = (x: f.Tensor | null) => x && [...x.dataSync()]

  function caught(fn: () => unknown): Error {
    try {
      fn()
    } catch (error) {
      return error as Error
    }
    throw new Error('nothing was thrown')
  }

  it('adds gradients up until zeroGrad', () => {
    const x = leaf([1, 2, 3])
    for (let i = 1; i <= 3; i++) {
      f.sum(f.mul(x, x)).backward()
      expect(list(x.grad)).toEqual([2 * i, 4 * i, 6 * i])
    }
    f.zeroGrad([x])
    expect(x.grad).toBeNull()
    f.sum(x).backward()
    expect(list(x.grad)).toEqual([1, 1, 1])
  })

  it('gives each leaf a gradient of its own where a kernel gives one for two', () => {
    const [t, b, i, h] = [2, 3, 2, 2]
    const [bIh, bHh] = [
      f.zeros([4 * h], { device, requiresGrad: true }),
      f.zeros([4 * h], { device, requiresGrad: true }),
    ]
    const weights = {
      wIh: f.full([4 * h, i], 0.1, { device }),
      wHh: f.full([4 * h, h], 0.2, { device }),
      bIh,
      bHh,
    }
    const run = () => f.sum(f.lstm(f.ones([t, b, i], { device }), [weights]).output).backward()
    run()
    const once = list(bIh.grad) as number[]
    expect(list(bHh.grad)).toEqual(once)
    expect(bIh.grad?.storage).not.toBe(bHh.grad?.storage)
    run()
    expect(list(bIh.grad)).toEqual(once.map((value) => 2 * value))
    expect(list(bHh.grad)).toEqual(list(bIh.grad))
    f.zeroGrad([bIh])
    expect(list(bHh.grad)).toEqual(once.map((value) => 2 * value))
  })

  it('sums over all paths, through views too', () => {
    const x = leaf([
      [1, 2],
      [3, 4],
    ])
    const y = f.add(f.mul(x, x), f.transpose(x, 0, 1))
    const z = f.add(f.select(y, 0, 0), f.select(y, 1, 1))
    f.sum(f.mul(z, y)).backward()
    const numeric = (r: number, c: number) => {
      const at = (by: number) => {
        const v = [
          [1, 2],
          [3, 4],
        ]
        ;(v[r] as number[])[c] = (v[r]?.[c] as number) + by
        const yy = v.map((row, i) => row.map((e, j) => e * e + (v[j]?.[i] as number)))
        const zz = (yy[0] as number[]).map((e, j) => e + (yy[j]?.[1] as number))
        return yy.reduce((sum, row) => sum + row.reduce((s, e, j) => s + e * (zz[j] as number), 0), 0)
      }
      return (at(1e-4) - at(-1e-4)) / 2e-4
    }
    const grad = x.grad?.toArray() as number[][]
    for (const r of [0, 1]) for (const c of [0, 1]) expect(grad[r]?.[c]).toBeCloseTo(numeric(r, c), 2)
  })

  it('frees a gradient that is set to null, unless the program has seen it', () => {
    const x = leaf([1, 2])
    const run = () => f.sum(f.mul(x, 3)).backward()
    run()
    const hidden = x.peekGrad()
    x.grad = null
    expect(hidden?.storage.freed).toBe(true)
    run()
    const seen = x.grad
    x.grad = null
    expect(list(seen)).toEqual([3, 3])
  })

  it('adds to the gradient of a shared weight where it lies, and never to what others hold', () => {
    const w = leaf([
      [1, 2],
      [3, 4],
      [5, 6],
    ])
    const ids = f.tensor([2, 0], { dtype: 'int32', device })
    const head = () => f.sum(f.linear(f.embedding(ids, w), w))
    const { kernels } = f.trace(() => head().backward(), device)
    const names = kernels.map(({ kernel }) => kernel)
    expect(names.filter((name) => name.startsWith('index_a') || name === 'accumulate')).toEqual(['index_accumulate'])
    const once = list(w.grad) as number[]
    // The head gives each row the sum of the looked-up rows, and the embedding gives the looked-up rows the sum of all
    // rows.
    expect(once).toEqual([15, 20, 6, 8, 15, 20])
    head().backward()
    expect(list(w.grad)).toEqual(once.map((x) => 2 * x))
    // The sum of both rows' gradients passes unchanged to two layers. Neither may add to memory that the other reads.
    const square = (...rows: [number[], number[]]) => leaf(rows)
    const [x, a, b] = [leaf([[1, 2]]), square([1, 1], [1, 1]), square([2, 3], [0, 0])]
    f.sum(f.add(x, f.add(f.linear(x, a), f.linear(x, b)))).backward()
    expect(list(x.grad)).toEqual([5, 6])
    const [gradient] = f.grad(f.sum(f.linear(f.embedding(ids, w), w)), [w], { createGraph: true })
    expect(list(gradient as f.Tensor)).toEqual(once)
  })

  it('calls hooks in order, takes what they return, and undoes them', () => {
    const x = leaf([1, 2])
    const seen: string[] = []
    const undo = x.registerHook((g) => {
      seen.push(`first ${list(g)}`)
      return f.mul(g, 10)
    })
    x.registerHook((g) => void seen.push(`second ${list(g)}`))
    x.registerPostAccumulateGradHook((t) => void seen.push(`ready ${list(t.grad)}`))
    f.sum(f.mul(x, 3)).backward()
    expect(seen).toEqual(['first 3,3', 'second 30,30', 'ready 30,30'])
    undo()
    f.sum(f.mul(x, 3)).backward()
    expect(seen.slice(3)).toEqual(['second 3,3', 'ready 33,33'])
    expect(caught(() => f.mul(x, 2).registerHook(() => undefined))).toBeInstanceOf(f.AutogradError)
  })

  it('a hook runs without gradients, says so where one is asked for, and may have its own', () => {
    const x = leaf([1, 2])
    const y = leaf([3, 4])
    const hint = /^\[backward\] .* has no graph: .*; a hook runs without gradients, so make it within enableGrad/
    const undo = x.registerHook((g) => f.sum(f.mul(g, y)).backward())
    expect(caught(() => f.sum(x).backward()).message).toMatch(hint)
    undo()
    x.registerHook((g) => f.enableGrad(() => f.sum(f.mul(g, y))).backward())
    f.sum(f.mul(x, 2)).backward()
    expect([list(x.grad), list(y.grad)]).toEqual([
      [2, 2],
      [2, 2],
    ])
    expect(caught(() => f.sum(constant([1])).backward()).message).not.toContain('hook')
  })

  it('a hook that gives another shape is an error', () => {
    const x = leaf([1, 2])
    x.registerHook(() => constant([1]))
    expect(caught(() => f.sum(x).backward()).message).toMatch(/^\[registerHook\] .*\[1\].*\[2\]/)
  })

  it('goes backward once, or again with retainGraph', () => {
    const x = leaf([1, 2])
    const y = f.sum(f.mul(x, x))
    y.backward({ retainGraph: true })
    y.backward()
    expect(list(x.grad)).toEqual([4, 8])
    const error = caught(() => y.backward())
    expect(error).toBeInstanceOf(f.AutogradError)
    expect(error.message).toMatch(/^\[\w+\] .*retainGraph: true/)
    expect(list(x.grad)).toEqual([4, 8])
  })

  it('names both operators where a saved tensor was overwritten', () => {
    const [x, w] = [leaf([1, 2]), leaf([3, 4])]
    const y = f.sum(f.mul(x, w))
    f.noGrad(() => w.copy_(constant([0, 0])))
    const error = caught(() => y.backward())
    expect(error).toBeInstanceOf(f.AutogradError)
    expect(error.message).toMatch(/^\[mul\] .*copy_.*version.*clone\(\)/)
  })

  it('sees a write through a view, and through the tensor a view was made of', () => {
    const x = leaf([1, 2, 3, 4])
    const w = constant([1, 2, 3, 4])
    const y = f.sum(f.mul(x, w))
    f.narrow(w, 0, 1, 2).copy_(constant([9, 9]))
    expect(w.toArray()).toEqual([1, 9, 9, 4])
    expect(caught(() => y.backward()).message).toContain('copy_')
    const v = f.narrow(w, 0, 0, 2)
    const z = f.sum(f.mul(f.narrow(x, 0, 0, 2), v))
    w.fill_(5)
    expect(v.toArray()).toEqual([5, 5])
    expect(caught(() => z.backward()).message).toContain('fill_')
  })

  it('an optimiser step between forward and backward is such a write', () => {
    const x = leaf([1, 2])
    const y = f.sum(f.mul(x, x))
    x.grad = constant([1, 1])
    new f.optim.SGD([x], { lr: 0.1 }).step()
    expect(caught(() => y.backward())).toBeInstanceOf(f.AutogradError)
  })

  it('writes in place only outside of the graph', () => {
    const x = leaf([1, 2])
    expect(caught(() => x.copy_(constant([0, 0]))).message).toMatch(/^\[copy_\] .*noGrad/)
    expect(caught(() => f.mul(x, 2).fill_(0)).message).toMatch(/^\[fill_\] .*noGrad/)
    f.noGrad(() => x.fill_(7))
    expect(list(x)).toEqual([7, 7])
    expect(x.requiresGrad && x.isLeaf).toBe(true)
  })

  it('detach and noGrad leave the graph', () => {
    const x = leaf([1, 2])
    const cut = f.mul(x, x).detach()
    expect(cut.requiresGrad).toBe(false)
    f.sum(f.mul(cut, x)).backward()
    expect(list(x.grad)).toEqual([1, 4])
    const y = f.noGrad(() => f.mul(x, 2))
    expect(y.requiresGrad).toBe(false)
    expect(caught(() => f.sum(y).backward()).message).toMatch(/^\[backward\] .*noGrad/)
    expect(f.noGrad(() => f.enableGrad(() => f.mul(x, 2).requiresGrad))).toBe(true)
    expect(caught(() => f.noGrad(() => Promise.resolve())).message).toContain('await')
    expect(f.isGradEnabled()).toBe(true)
  })

  it('grad() touches no .grad, and gives null or an error for what is unused', () => {
    const [x, y, z] = [leaf([1, 2]), leaf([3, 4]), leaf([5, 6])]
    const out = f.sum(f.mul(x, y))
    expect(f.grad(out, [x, y], { retainGraph: true }).map(list)).toEqual([
      [3, 4],
      [1, 2],
    ])
    expect(x.grad).toBeNull()
    expect(f.grad(out, [x, z], { retainGraph: true, allowUnused: true }).map(list)).toEqual([[3, 4], null])
    expect(caught(() => f.grad(out, [z])).message).toMatch(/^\[grad\] .*input 0.*allowUnused/)
    expect(caught(() => f.grad(out, [constant([1, 2])])).message).toMatch(/^\[grad\] .*requiresGrad/)
  })

  it('grad() with respect to a tensor in the middle, and to a view', () => {
    const x = leaf([1, 2, 3])
    const middle = f.mul(x, x)
    const part = f.narrow(middle, 0, 1, 2)
    const out = f.sum(f.mul(part, part))
    expect(f.grad(out, [middle, part, x]).map(list)).toEqual([
      [0, 8, 18],
      [8, 18],
      [0, 32, 108],
    ])
  })

  it('a root of several elements needs a gradient of its shape', () => {
    const x = leaf([1, 2])
    expect(caught(() => f.mul(x, 2).backward()).message).toMatch(/^\[backward\] .*\[2\].*gradient/)
    expect(caught(() => f.mul(x, 2).backward({ gradient: constant([1]) }))).toBeInstanceOf(f.ShapeError)
    f.mul(x, 2).backward({ gradient: constant([1, 10]) })
    expect(list(x.grad)).toEqual([2, 20])
  })

  it('derives three times', () => {
    const x = leaf([2])
    const y = f.mul(f.mul(x, x), f.mul(x, x))
    const [first] = f.grad(f.sum(y), [x], { createGraph: true }) as [f.Tensor]
    const [second] = f.grad(f.sum(first), [x], { createGraph: true }) as [f.Tensor]
    const [third] = f.grad(f.sum(second), [x]) as [f.Tensor]
    expect([list(first), list(second), list(third)]).toEqual([[32], [48], [48]])
  })

  it('adds a penalty on gradients to the gradients (createGraph in backward)', () => {
    const x = leaf([3])
    const [g] = f.grad(f.sum(f.mul(x, f.mul(x, x))), [x], { createGraph: true }) as [f.Tensor]
    f.sum(f.mul(g, g)).backward()
    // d (3 x^2)^2 / dx = 36 x^3
    expect(list(x.grad)).toEqual([972])
  })

  it('a frozen layer runs no kernel for its weight', () => {
    const input = f.ones([4, 8], { device })
    const counts = (frozen: boolean) => {
      const [w1, w2] = [f.full([8, 8], 0.1, { device, requiresGrad: true }), f.full([8, 8], 0.1, { device })]
      if (!frozen) w2.requiresGrad = true
      const traced = f.trace(() => {
        f.sum(f.linear(f.linear(input, w1), w2)).backward()
      }, device)
      expect(w2.grad === null).toBe(frozen)
      return traced.count('matmul')
    }
    // There are 2 forward, then dw1, dx of the second, and dw2 unless frozen. The input wants no gradient.
    expect(counts(false)).toBe(5)
    expect(counts(true)).toBe(4)
  })

  it.each([
    ['linear', (x: f.Tensor, w: f.Tensor) => f.linear(x, w) as f.Tensor],
    ['matmul', (x: f.Tensor, w: f.Tensor) => f.matmul(x, w) as f.Tensor],
    ['mul', (x: f.Tensor, w: f.Tensor) => f.mul(x, w) as f.Tensor],
    ['conv2d', (x: f.Tensor, w: f.Tensor) => f.conv2d(f.reshape(x, [1, 1, 8, 8]), f.reshape(w, [1, 1, 8, 8]))],
  ] as const)('%s keeps the input for the weight only, and the weight for the input only', (_op, call) => {
    for (const [frozen, wanted] of [
      [0, 1],
      [1, 0],
    ] as const) {
      const operands = [f.ones([8, 8], { device }), f.ones([8, 8], { device })] as const
      operands[wanted].requiresGrad = true
      const saved = new Set<unknown>()
      call(operands[0], operands[1]).node?.visitSaved((storage) => saved.add(storage), new Set())
      expect(saved.has(operands[frozen].storage)).toBe(true)
      expect(saved.has(operands[wanted].storage)).toBe(false)
    }
  })

  it('copies into any layout, and says which version was written', () => {
    const x = f.zeros([3, 4], { device })
    f.transpose(x, 0, 1).copy_(f.reshape(f.arange(0, 12, 1, { device, dtype: 'float32' }), [4, 3]))
    expect(x.toArray()).toEqual([
      [0, 3, 6, 9],
      [1, 4, 7, 10],
      [2, 5, 8, 11],
    ])
    f.slice(x, [0, 3, 2], [1, 4, 2]).copy_(constant([-1]))
    expect(x.toArray()).toEqual([
      [0, -1, 6, -1],
      [1, 4, 7, 10],
      [2, -1, 8, -1],
    ])
    f.zeros([3, 0], { device }).copy_(constant([[1], [2], [3]]))
    expect(
      caught(() =>
        f
          .zeros([1], { device })
          .expand([3])
          .copy_(constant([1])),
      ),
    ).toMatchObject({
      code: 'ERR_VALUE',
      message: expect.stringMatching(/^\[copy_\] several elements .* clone\(\)/),
    })
    expect(x.storage.version).toBe(2)
    expect(x.storage.writer).toBe('copy_')
    x.copy_(f.tensor([7], { device, dtype: 'int32' }))
    expect(x.toArray()).toEqual([0, 1, 2].map(() => [7, 7, 7, 7]))
  })

  it('convolutions and norms compute only the gradients that are wanted', () => {
    const x = f.ones([2, 3, 6, 6], { device })
    const w = f.full([4, 3, 3, 3], 0.1, { device })
    const kernelsFor = (wants: readonly f.Tensor[]) => {
      for (const t of [x, w]) t.requiresGrad = wants.includes(t)
      const { kernels } = f.trace(() => f.sum(f.conv2d(x, w)).backward(), device)
      return kernels.map((k) => k.kernel).filter((k) => k.startsWith('conv2d') && k !== 'conv2d_forward')
    }
    expect(kernelsFor([w])).toEqual(['conv2d_weight_gradient'])
    expect(kernelsFor([x])).toEqual(['conv2d_input_gradient'])
    expect(kernelsFor([x, w]).sort()).toEqual(['conv2d_input_gradient', 'conv2d_weight_gradient'])
  })

  it('attention between projections copies nothing', () => {
    const width = 8
    const x = leaf(Array.from({ length: 2 * 5 * 3 * width }, (_, i) => Math.sin(i)))
    const attend = () => {
      const [q, k, v] = f
        .reshape(f.square(x), [2, 5, 3 * width])
        .split(width, 2)
        .map((z) => z.view([2, 5, 2, 4]).transpose(1, 2)) as [f.Tensor, f.Tensor, f.Tensor]
      const y = f.scaledDotProductAttention(q, k, v, { isCausal: true })
      f.sum(f.square(y.transpose(1, 2).reshape([2, 5, width]))).backward()
    }
    const ran = f.trace(attend, device)
    expect(ran.copies + ran.count('cat')).toBe(0)
    expect(ran.count('attention_backward')).toBe(1)
  })

  it('nothing runs backward for what is not asked', () => {
    const [x, y] = [leaf([1, 2]), leaf([3, 4])]
    const out = f.sum(f.add(f.exp(x), f.sin(y)))
    const { kernels } = f.trace(() => f.grad(out, [x]), device)
    expect(kernels.some((k) => k.kernel === 'cos')).toBe(false)
  })

  it('an integer result is a constant of the graph', () => {
    const x = leaf([3, 1, 2])
    expect(f.argmax(x).requiresGrad).toBe(false)
    expect(f.gt(x, 1).requiresGrad).toBe(false)
    expect(() => {
      f.argmax(x).requiresGrad = true
    }).toThrow(TypeError)
  })

  it('counts a tensor once for each time that an operator takes it', () => {
    const values = [
      [1, 2],
      [3, 4],
    ]
    const gradientOf = (fn: (x: f.Tensor) => f.Tensor, options: f.BackwardOptions) => {
      const x = leaf(values)
      fn(x).sum().backward(options)
      return list(x.grad)
    }
    const cases: readonly (readonly [(x: f.Tensor) => f.Tensor, readonly number[]])[] = [
      [(x) => f.add(x, x), [2, 2, 2, 2]],
      [(x) => f.sub(x, x), [0, 0, 0, 0]],
      [(x) => f.add(f.add(x, x), x), [3, 3, 3, 3]],
      [(x) => f.add(f.mul(x, 5), f.add(x, x)), [7, 7, 7, 7]],
      [(x) => f.add(f.view(x, [2, 2]), f.view(x, [2, 2])), [2, 2, 2, 2]],
      [(x) => f.where(f.gt(x, 1), x, x), [1, 1, 1, 1]],
      [(x) => f.cat([x, x, x]), [3, 3, 3, 3]],
      [(x) => f.mul(x, x), [2, 4, 6, 8]],
      [(x) => f.matmul(x, x), [7, 11, 9, 13]],
      [(x) => f.linear(x, x), [8, 12, 8, 12]],
    ]
    for (const [fn, expected] of cases)
      for (const createGraph of [false, true]) expect(gradientOf(fn, { createGraph }), String(fn)).toEqual(expected)
    const x = leaf([1, 2])
    const y = f.mul(x, 3)
    const g = constant([1, 10])
    expect(f.grad([y, y], [x], { gradOutputs: [g, g] }).map(list)).toEqual([[6, 60]])
  })

  it('survives a hook that throws: the graph and later passes are as before', () => {
    const x = leaf([1, 2])
    const undo = x.registerHook(() => {
      throw new RangeError('from a hook')
    })
    const y = f.sum(f.mul(x, x))
    expect(() => y.backward({ retainGraph: true })).toThrow('from a hook')
    undo()
    y.backward()
    expect(list(x.grad)).toEqual([2, 4])
  })
})

describe.each(others.map((device) => [device.name, device] as const))(
  'transfer between the reference and %s',
  (_name, device) => {
    it('keeps the bits, and brings gradients back', () => {
      const x = f.randn([5, 7], { device: reference, requiresGrad: true, generator: new f.Generator(3) })
      const there = x.to(device)
      expect(there.device).toBe(device)
      const back = there.to('reference')
      expect([...back.dataSync()]).toEqual([...x.dataSync()])
      f.sum(f.mul(there, there)).backward()
      expect(x.grad?.device).toBe(reference)
      expect([...(x.grad as f.Tensor).dataSync()]).toEqual([...x.dataSync()].map((v) => Math.fround(2 * v)))
      expect([...f.transpose(x.detach(), 0, 1).to(device).dataSync()]).toEqual([
        ...f.transpose(x.detach(), 0, 1).dataSync(),
      ])
      for (const dtype of ['int32', 'uint8', 'bool', 'bfloat16', 'float16'] as const) {
        const narrow = f.mul(f.rand([9], { device: reference }), 9).to(dtype)
        expect([...narrow.to(device).dataSync()]).toEqual([...narrow.dataSync()])
      }
    })
  },
)
