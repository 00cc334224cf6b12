/** Activation checkpointing: activations that are computed again instead of being kept. */
import { describe, expect, it } from 'vitest'
import { applyLora, withoutAdapters } from '../../lib/finetune/index.js'
import * as f from '../../lib/index.js'
import { devices } from '../suites/support.js'

type Wrap = <const In extends readonly unknown[], Out extends object>(fn: (...inputs: In) => Out, ...inputs: In) => Out
const plainly: Wrap = (fn, ...inputs) => fn(...inputs)

const bitsOf = (tensor: f.Tensor) => [...tensor.detach().dataSync()]

describe.each(devices.map((device) => [device.name, device] as const))('checkpoint on %s', (_name, device) => {
  const randn = (shape: number[]) => f.randn(shape, { device })

  /** Loss and gradients of a model of blocks. `wrap` runs each block. */
  function train(
    make: () => f.nn.Module & { forward(x: f.Tensor): f.Tensor },
    wrap: Wrap,
    input: () => f.Tensor,
    mode: <R>(fn: () => R) => R = (fn) => fn(),
  ) {
    f.manualSeed(7)
    const blocks = [make(), make(), make()]
    const x = input()
    x.requiresGrad = true
    const steps = [0, 1].map(() => {
      const loss = f.scope(() => {
        let value = x
        mode(() => {
          for (const block of blocks) value = wrap((y: f.Tensor) => block.forward(y), value)
        })
        const sum = value.to('float32').square().mean()
        sum.backward()
        return sum.detach()
      })
      return loss.item()
    })
    const states = blocks.flatMap((block) => block.namedBuffers().map(([, buffer]) => bitsOf(buffer)))
    const parameters = blocks.flatMap((block) => [...block.parameters()])
    return {
      steps,
      states,
      gradients: [x, ...parameters].map((leaf) => leaf.grad && bitsOf(leaf.grad)),
      after: f.defaultGenerator().stateDict(),
    }
  }

  it('gives the same bits, random numbers of all generators and statistics included', () => {
    const own = new f.Generator(5)
    class Block extends f.nn.Module {
      readonly first = new f.nn.Linear(6, 24, { device })
      readonly norm = new f.nn.BatchNorm1d(24, { device })
      readonly drop = new f.nn.Dropout(0.4)
      readonly other = new f.nn.Dropout(0.3, { generator: own })
      readonly second = new f.nn.Linear(24, 6, { device })
      forward(x: f.Tensor): f.Tensor {
        const y = this.drop.forward(f.tanh(this.norm.forward(this.first.forward(x))))
        return x.add(this.second.forward(this.other.forward(y).mul(y)))
      }
    }
    const run = (wrap: Wrap) => {
      own.loadStateDict({ seed: 5, stream: 0, offset: 0 })
      return {
        ...train(
          () => new Block(),
          wrap,
          () => randn([9, 6]),
        ),
        own: own.stateDict(),
      }
    }
    expect(run(f.checkpoint)).toEqual(run(plainly))
  })

  it('restores autocast, and lets transformer blocks of several inputs be the same', () => {
    const make = () => new f.nn.TransformerEncoderLayer(16, 2, { dimFeedforward: 32, dropout: 0.2, device })
    const under = <R>(fn: () => R) => f.autocast('bfloat16', fn)
    const input = () => randn([2, 5, 16])
    expect(train(make, f.checkpoint, input, under)).toEqual(train(make, plainly, input, under))
  })

  it('restores which adapters were chosen', () => {
    f.manualSeed(2)
    const model = applyLora(new f.nn.Sequential(new f.nn.Linear(4, 4, { device }), new f.nn.Tanh()), {
      rank: 2,
      targetModules: ['0'],
    })
    f.noGrad(() => {
      for (const parameter of model.parameters()) parameter.copy_(randn([...parameter.shape]))
    })
    const x = randn([3, 4])
    x.requiresGrad = true
    const gradient = (wrap: Wrap, chosen: <R>(fn: () => R) => R) => {
      x.grad = null
      const y = chosen(() => wrap((z: f.Tensor) => model.forward(z), x))
      y.sum().backward()
      return x.grad && bitsOf(x.grad)
    }
    const base = <R>(fn: () => R) => withoutAdapters(model, fn)
    const all = <R>(fn: () => R) => fn()
    expect(gradient(f.checkpoint, base)).toEqual(gradient(plainly, base))
    expect(gradient(f.checkpoint, all)).toEqual(gradient(plainly, all))
    expect(gradient(plainly, all)).not.toEqual(gradient(plainly, base))
  })

  it('works within itself', () => {
    const w = [0, 1, 2, 3].map(() => randn([4, 4]))
    for (const each of w) each.requiresGrad = true
    const layer = (x: f.Tensor, i: number) => f.tanh(f.dropout(x.matmul(w[i] as f.Tensor), 0.2))
    const run = (outer: Wrap, inner: Wrap) => {
      f.manualSeed(3)
      f.zeroGrad(w)
      const x = randn([3, 4])
      const pair = (y: f.Tensor, first: number) => {
        const middle = f.exp(inner((z: f.Tensor) => layer(z, first), y.mul(2)))
        return inner((z: f.Tensor, k: number) => layer(layer(z, k), k), middle, first + 1)
      }
      const loss = f.scope(() => {
        const sum = outer((y: f.Tensor) => outer((z: f.Tensor) => pair(z, 2), pair(y, 0)), x).sum()
        sum.backward()
        return sum.detach()
      })
      return [loss, ...w.map((each) => each.grad as f.Tensor)].map(bitsOf)
    }
    const expected = run(plainly, plainly)
    expect(run(f.checkpoint, f.checkpoint)).toEqual(expected)
    expect(run(f.checkpoint, plainly)).toEqual(expected)
    expect(run(plainly, f.checkpoint)).toEqual(expected)
  })

  it('tells hooks once, of complete gradients', () => {
    const w = randn([3])
    w.requiresGrad = true
    const seen: string[] = []
    w.registerHook(() => void seen.push('hook'))
    w.registerPostAccumulateGradHook((leaf) => void seen.push(`ready ${bitsOf(leaf.grad as f.Tensor)}`))
    const x = f.ones([3], { device })
    const y = f.checkpoint((a: f.Tensor) => a.mul(w).mul(2), x)
    f.checkpoint((a: f.Tensor, b: f.Tensor) => a.add(b.mul(w)), y, x)
      .sum()
      .backward()
    expect(seen).toEqual(['hook', 'ready 3,3,3'])
  })

  it('takes and gives several tensors, in lists and objects, and what is no tensor', () => {
    const x = randn([2, 3])
    const w = randn([2, 3])
    w.requiresGrad = true
    const work = ({ a, pair }: { a: f.Tensor; pair: readonly [f.Tensor, f.Tensor] }, factor: number, none: null) => {
      expect(none).toBe(null)
      const product = pair[0].mul(pair[1]).mul(factor)
      return { sum: product.sum(), rest: [f.exp(a), a.argmax(0)] as const }
    }
    const run = (wrap: Wrap, use: (result: ReturnType<typeof work>) => f.Tensor) => {
      w.grad = null
      const inputs = { a: w, pair: [w, x] as const }
      use(wrap(work, inputs, 3, null)).backward()
      return w.grad && bitsOf(w.grad)
    }
    for (const use of [
      ({ sum, rest }: ReturnType<typeof work>) => sum.add(rest[0].sum()),
      ({ sum }: ReturnType<typeof work>) => sum,
      ({ rest }: ReturnType<typeof work>) => rest[0].mean(),
    ])
      expect(run(f.checkpoint, use)).toEqual(run(plainly, use))
  })

  it('works with grad, twice over one graph, and for second derivatives', () => {
    const x = f.tensor([0.3, -0.7, 1.1], { device })
    const w = f.tensor([1.5, 0.5, -0.5], { device })
    for (const leaf of [x, w]) leaf.requiresGrad = true
    const work = (a: f.Tensor) => f.tanh(f.exp(a.mul(w)).mul(a))
    const run = (wrap: Wrap) => {
      const y = wrap(work, x.mul(2))
      const [first] = f.grad(y.sum(), [w], { retainGraph: true }) as [f.Tensor]
      const [again] = f.grad(y.sum(), [w], { retainGraph: true }) as [f.Tensor]
      const [dx, dw] = f.grad(y.sum(), [x, w], { createGraph: true }) as [f.Tensor, f.Tensor]
      const second = f.grad(dx.square().add(dw).sum(), [x, w]) as f.Tensor[]
      return [first, again, dx, dw, ...second].map(bitsOf)
    }
    expect(run(f.checkpoint)).toEqual(run(plainly))
    expect(f.scope(() => run(f.checkpoint))).toEqual(run(plainly))
  })

  it('keeps its inputs only, and frees what it computed again', () => {
    const w = randn([16, 16])
    w.requiresGrad = true
    const x = randn([8, 16])
    const work = (y: f.Tensor) => {
      for (let i = 0; i < 6; i++) y = f.tanh(y.matmul(w))
      return y
    }
    f.scope(() => {
      const y = f.checkpoint(work, x.mul(1))
      expect(f.savedForBackward(y)).toEqual({ tensors: 1, bytes: 8 * 16 * 4 })
      const sum = y.sum()
      const before = device.memory().tensors
      sum.backward()
      // The gradient of w.
      expect(device.memory().tensors).toBe(before + 1)
    })
    f.zeroGrad([w])
    // The remainder of a retained graph is the same.
    f.scope(() => {
      const sum = f.checkpoint(work, x.mul(1)).sum()
      sum.backward({ retainGraph: true })
      const before = device.memory().tensors
      sum.backward()
      expect(device.memory().tensors).toBe(before)
    })
  })

  it('holds its inputs beyond the scope that gave its result', () => {
    const w = f.tensor([2], { device })
    w.requiresGrad = true
    const y = f.scope(() => f.checkpoint((a: f.Tensor) => f.exp(a.mul(w)).mul(a), f.ones([1], { device }).mul(0.5)))
    y.backward()
    expect(w.grad?.item()).toBeCloseTo(0.25 * Math.E, 5)
  })

  it('runs once without gradients, and frees what the function made', () => {
    let calls = 0
    let inner: f.Tensor | null = null
    const x = f.ones([2], { device })
    const y = f.noGrad(() =>
      f.checkpoint((a: f.Tensor) => {
        calls++
        inner = a.mul(2)
        return inner.add(1)
      }, x),
    )
    expect([calls, y.requiresGrad, y.toArray()]).toEqual([1, false, [3, 3]])
    expect(() => inner?.toArray()).toThrow('[toArray]')
  })

  it('refuses what is no result, by name', () => {
    const x = f.ones([2], { device })
    const refused = (fn: () => unknown) => expect(() => f.checkpoint(fn as () => object))
    refused(() => 3).toThrow('[checkpoint] the function gave')
    refused(() => [x, { loss: x.sum().item() }]).toThrow('as result[1].loss')
    refused(() => undefined).toThrow('[checkpoint]')
    refused(() => []).toThrow('which has no tensor')
    refused(async () => x).toThrow('promise')
    expect(() => f.checkpoint(3 as unknown as () => f.Tensor)).toThrow('[checkpoint] needs a function')
  })

  it('refuses to go on where the function or its inputs have changed', () => {
    const w = randn([4])
    w.requiresGrad = true
    const fails = (fn: (x: f.Tensor) => f.Tensor, between: () => void, message: string | RegExp) => {
      const x = f.ones([4], { device })
      const sum = f.checkpoint(fn, x).sum()
      between()
      const before = [device.memory().tensors, f.defaultGenerator().stateDict()]
      expect(() => sum.backward({ retainGraph: true })).toThrow(message)
      expect([device.memory().tensors, f.defaultGenerator().stateDict()]).toEqual(before)
      // The region is unchanged, and can be tried again.
      expect(() => sum.backward({ retainGraph: true })).toThrow(message)
    }
    let deep = 1
    const loop = (x: f.Tensor) => {
      for (let i = 0; i < deep; i++) x = f.exp(x.mul(w))
      return x
    }
    deep = 2
    fails(loop, () => deep--, /\[checkpoint\].*2 tensors were saved.*but 5/)
    let size = 4
    const sized = (x: f.Tensor) => f.exp(x.mul(w).narrow(0, 0, size))
    fails(sized, () => size--, /a \[3\] tensor of float32 where it saved a \[4\] one/)
    let p = 0.5
    fails(
      (x) => f.dropout(f.exp(x.mul(w)), p),
      () => void (p = 0),
      'a different number of random numbers',
    )
    let generator = new f.Generator(1)
    fails(
      (x) => f.dropout(f.exp(x.mul(w)), 0.5, { generator }),
      () => void (generator = new f.Generator(1)),
      'another random generator',
    )
    // The number and the shapes of the draws are the same, but the numbers differ.
    const [one, two] = [0, 1].map(() => new f.nn.Linear(4, 4).to(device.name))
    const layers = [one, two, one] as f.nn.Linear[]
    fails(
      (x) => layers.reduce((y: f.Tensor, layer) => layer.forward(y), x.reshape([1, 4])),
      () => void layers.reverse().push(layers.shift() as f.nn.Linear),
      'saves another parameter of shape [4, 4]',
    )
    let more = 0
    fails(
      (x) => f.exp(more > 0 ? f.exp(x.mul((one as f.nn.Linear).bias as f.Tensor)) : f.exp(x.mul(w))),
      () => void more++,
      'a parameter of shape [4] that it did not read before',
    )
    let of = f.exp
    fails(
      (x) => of(x.mul(w)).mul(w),
      () => void (of = f.sigmoid),
      'a tensor for sigmoid where it saved one for exp',
    )
    fails(
      (x) => x.mul(w).mul(w),
      () => f.noGrad(() => w.fill_(2)),
      /\[checkpoint\].*fill_ has overwritten/,
    )
    const x = f.ones([4], { device })
    const y = f.checkpoint((a: f.Tensor) => f.exp(a.mul(w)), x)
    x.fill_(3)
    expect(() => y.sum().backward()).toThrow(/\[checkpoint\].*fill_ has overwritten it since/)
    const inside = (a: f.Tensor) => f.grad(f.exp(a.mul(w)).sum(), [w], { createGraph: true })[0] as f.Tensor
    expect(() => f.checkpoint(inside, f.ones([4], { device }))).toThrow(/\[checkpoint\] a backward pass inside/)
  })

  it('ends the second run with the last tensor that the backward pass reads', () => {
    const [w, v] = [randn([4, 4]), randn([4, 4])]
    for (const each of [w, v]) each.requiresGrad = true
    const x = randn([2, 4])
    let [started, ended] = [0, 0]
    let more = false
    const block = (a: f.Tensor) => {
      started++
      const drawn = f.dropout(f.exp(a.matmul(w)), 0.5)
      // The product's inputs are saved, but its result is not.
      let y = drawn.matmul(v)
      ended++
      if (more) y = f.exp(y)
      return y.add(a)
    }
    const gradients = () => {
      const bits = [w, v].map((each) => bitsOf(each.grad as f.Tensor))
      f.zeroGrad([w, v])
      return bits
    }
    f.manualSeed(5)
    block(x).sum().backward()
    const plain = gradients()
    const drawn = f.defaultGenerator().stateDict()
    f.manualSeed(5)
    const sum = f.checkpoint(block, x).sum()
    // The function ends at that tensor and never reaches the rest.
    more = true
    sum.backward()
    expect(gradients()).toEqual(plain)
    expect(f.defaultGenerator().stateDict()).toEqual(drawn)
    expect([started, ended]).toEqual([3, 2])
  })

  it('goes on in the second run where the function catches all errors', () => {
    const w = randn([4])
    w.requiresGrad = true
    const stubborn = (a: f.Tensor) => {
      const y = f.exp(a.mul(w))
      try {
        return y.mul(2)
      } catch {
        return y.mul(3).mul(w)
      }
    }
    const x = randn([4])
    stubborn(x).sum().backward()
    const plain = bitsOf(w.grad as f.Tensor)
    w.grad = null
    f.checkpoint(stubborn, x).sum().backward()
    expect(bitsOf(w.grad as unknown as f.Tensor)).toEqual(plain)
  })

  it('takes and gives tensors in Maps and Sets', () => {
    const x = f.ones([2], { device })
    x.requiresGrad = true
    const both = (inputs: Map<string, f.Tensor>) => {
      const a = inputs.get('x') as f.Tensor
      return new Map([
        ['exp', new Set([f.exp(a)])],
        ['square', new Set([a.square()])],
      ])
    }
    const sum = (found: Map<string, Set<f.Tensor>>) =>
      [...found.values()]
        .flatMap((set) => [...set])
        .reduce((a, b) => a.add(b))
        .sum()
    const given = () => new Map([['x', x]])
    sum(f.checkpoint(both, given())).backward()
    const bits = bitsOf(x.grad as f.Tensor)
    x.grad = null
    sum(both(given())).backward()
    expect(bits).toEqual(bitsOf(x.grad as unknown as f.Tensor))
    const y = f.checkpoint(both, given())
    f.noGrad(() => x.fill_(2))
    expect(() => sum(y).backward()).toThrow(/\[checkpoint\].*an input of shape \[2\], but fill_ has overwritten it/)
  })

  it('refuses to go on with parameters that nothing saves, where they were overwritten', () => {
    const embedding = new f.nn.Embedding(2, 1).to(device.name)
    const optimizer = new f.optim.SGD(embedding.parameters(), { lr: 1 })
    const ids = f.tensor([0], { dtype: 'int32', device })
    const look = () => f.checkpoint(() => f.exp(embedding.forward(ids)))
    const [first, second] = [look(), look()]
    first.sum().backward()
    optimizer.step()
    expect(() => second.sum().backward()).toThrow(
      /\[checkpoint\] the function needs a tensor of shape \[2, 1\] as it was, but SGD.step has overwritten/,
    )

    const layer = new f.nn.Linear(2, 2).to(device.name)
    const bias = layer.bias as f.nn.Parameter
    const forward = (x: f.Tensor) => f.exp(layer.forward(x))
    /**
     * This also holds within another checkpoint, for a parameter of the inner one, and under autocast, which reads a
     * copy.
     */
    const ways: ((x: f.Tensor) => f.Tensor)[] = [
      (x) => f.checkpoint(forward, x),
      (x) => f.checkpoint((y: f.Tensor) => f.checkpoint(forward, y), x),
      (x) => f.autocast('bfloat16', () => f.checkpoint(forward, x)),
    ]
    for (const way of ways) {
      const y = way(f.ones([1, 2], { device }))
      f.noGrad(() => bias.copy_(bias.add(1)))
      expect(() => y.sum().backward()).toThrow(/\[checkpoint\].*shape \[2\] as it was, but copy_ has overwritten/)
    }
    // The function may write tensors that it makes itself, and after the backward pass anything may change.
    const y = f.checkpoint(
      (x: f.Tensor) => {
        const made = f.noGrad(() => x.clone().fill_(2))
        return forward(x.mul(made).mul(made))
      },
      f.ones([1, 2], { device }),
    )
    y.sum().backward()
    f.noGrad(() => bias.fill_(0))
    expect(bias.toArray()).toEqual([0, 0])
  })

  it('names the layer of an error that is met the second time', () => {
    let fail = false
    class Inner extends f.nn.Module {
      readonly weight = new f.nn.Parameter(f.ones([2], { device }))
      forward(x: f.Tensor): f.Tensor {
        return f.exp(x.mul(this.weight)).add(f.ones(fail ? [3] : [2], { device }))
      }
    }
    class Outer extends f.nn.Module {
      readonly inner = new Inner()
      forward(x: f.Tensor): f.Tensor {
        return f.checkpoint((y: f.Tensor) => this.inner.forward(y), x)
      }
    }
    const y = new Outer().forward(f.ones([2], { device }))
    fail = true
    expect(() => y.sum().backward()).toThrow(/Outer\.inner/)
  })
})
