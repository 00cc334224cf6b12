import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'

const { nn } = f

describe('an error names what the program called, and what is wrong there', () => {
  it.each([
    ['sum', (x: f.Tensor) => x.sum()],
    ['amax', (x: f.Tensor) => x.amax()],
    ['var', (x: f.Tensor) => x.var()],
    ['std', (x: f.Tensor) => x.std()],
    ['logsumexp', (x: f.Tensor) => x.logsumexp()],
    ['mul', (x: f.Tensor) => x.mul(2)],
    ['sub', (x: f.Tensor) => f.sub(1, x)],
    ['lt', (x: f.Tensor) => x.lt(0.5)],
    ['embedding', (x: f.Tensor) => f.embedding(f.tensor([0], { dtype: 'int32' }), x)],
  ])('a freed tensor in %s', (name, fn) => {
    const x = f.tensor([[1, 2, 4]])
    x.dispose()
    expect(() => fn(x)).toThrow(f.DisposedError)
    expect(() => fn(x)).toThrow(`[${name}] `)
    const whole = f.tensor([[1, 2, 4]], { dtype: 'int32' })
    whole.dispose()
    if (name === 'lt') expect(() => whole.lt(-1e9)).toThrow('[lt] ')
  })

  it('an error in a layer, whose stack names it once, as its message does', () => {
    let thrown: unknown
    try {
      new nn.Linear(4, 2).forward(f.ones([1, 3]) as never)
    } catch (error) {
      thrown = error
    }
    const { name, message, stack = '' } = thrown as Error
    expect(message.match(/\(in /g)).toHaveLength(1)
    expect(stack.startsWith(`${name}: ${message}\n    at `)).toBe(true)
  })

  it('tensors on different devices, of which those that are left out are none', () => {
    expect(() => f.linear(f.ones([2, 3]), f.ones([4, 3], { device: 'reference' }), null)).toThrow(
      '[linear] the tensors are on different devices: cpu, reference; move them',
    )
    expect(() =>
      f.batchNorm(f.ones([2, 3]), null, null, { bias: f.ones([3], { device: 'reference' }), training: true }),
    ).toThrow('are on different devices: cpu, reference; ')
  })

  it.each(['cpu', 'reference'])('ids outside of an embedding on %s', (device) => {
    const layer = new nn.Embedding(3, 2, { device })
    expect(() => layer.forward(f.tensor([1, 3], { dtype: 'int32', device })).toArray()).toThrow(
      /^\[embedding\] index 3 .*size 3/,
    )
    expect(() => f.embedding(f.ones([2]), layer.weight)).toThrow('[embedding] ids is float32, but must be int32')
  })

  it('an input of another size than a recurrent layer takes', () => {
    const [wIh, wHh] = [f.ones([16, 3]), f.ones([16, 4])]
    expect(() => f.lstm(f.ones([5, 2, 2]), [{ wIh, wHh, bIh: null, bHh: null }])).toThrow(
      '[lstm] x is [5, 2, 2], but the first layer takes 3 numbers a step (wIh is [16, 3]): the last size of x must be 3',
    )
  })

  it.each([
    ['var', (x: f.Tensor) => f.variance(x)],
    ['std', (x: f.Tensor) => f.std(x)],
    ['logsumexp', (x: f.Tensor) => f.logsumexp(x)],
    ['mean', (x: f.Tensor) => f.mean(x)],
  ])('%s of integers', (name, fn) => {
    expect(() => fn(f.tensor([1, 2], { dtype: 'int32' }))).toThrow(`[${name}] x is int32`)
  })

  it('the wider of two dtypes is what to convert to, whichever comes first', () => {
    const [truth, bytes, whole] = (['bool', 'uint8', 'int32'] as const).map((dtype) => f.ones([2], { dtype }))
    const [floats, halves] = (['float32', 'bfloat16'] as const).map((dtype) => f.ones([2], { dtype }))
    const other = f.ones([2], { dtype: 'float16' })
    const hint = (a: f.Tensor | undefined, b: f.Tensor | undefined, fn: typeof f.matmul = f.matmul) => {
      try {
        return fn(a as f.Tensor, b as f.Tensor) && 'nothing'
      } catch (error) {
        return (error as Error).message.replace(/.*convert /, '')
      }
    }
    expect(hint(truth, floats)).toBe("a with .to('float32')")
    expect(hint(floats, truth)).toBe("b with .to('float32')")
    expect(hint(whole, floats)).toBe("a with .to('float32')")
    expect(hint(halves, floats)).toBe("a with .to('float32')")
    expect(hint(whole, halves)).toBe("a with .to('bfloat16')")
    // Neither can be multiplied, and neither holds the other.
    expect(hint(truth, bytes)).toBe("both with .to('float32')")
    expect(hint(whole, bytes)).toBe("both with .to('float32')")
    expect(hint(other, halves)).toBe("both with .to('float32')")
  })
})
