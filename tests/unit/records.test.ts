/** Facts that operators read from the rows of their kernels: dtypes of inputs, unwanted results, impossible calls. */
import { describe, expect, it } from 'vitest'
import { apply } from '../../lib/autograd/operator.js'
import * as f from '../../lib/index.js'
import { like } from '../../lib/ops/common.js'
import { kernel, operator } from '../../lib/ops/operator.js'
import { operatorNamed } from '../cases/case.js'

describe.each(['cpu', 'reference'])('records on %s', (device) => {
  const ones = (shape: f.Shape, dtype: f.DType = 'float32') => f.ones(shape, { dtype, device })

  it('name every input of a wrong dtype, and what the first one asks of the others', () => {
    expect(() => f.layerNorm(ones([2, 3]), [3], ones([3], 'int32'), ones([3], 'bool'))).toThrow(
      "[layerNorm] weight is int32, but must be float32; bias is bool, but must be float32; convert them with .to('float32')",
    )
    expect(() => f.conv2d(ones([1, 1, 3, 3], 'int32'), ones([1, 1, 2, 2]))).toThrow(
      /^\[conv2d\] x is int32, but must be float32 or float64/,
    )
    expect(() => f.indexSelect(ones([3]), 0, ones([1]))).toThrow('[indexSelect] index is float32, but must be int32')
  })

  it('want a tensor where a row does, and none where it does not', () => {
    expect(() => f.conv2d(ones([1, 1, 3, 3]), null as unknown as f.Tensor)).toThrow(
      '[conv2d] weight must be a tensor, but is null',
    )
    expect(() => f.softmax([1] as unknown as f.Tensor, 0)).toThrow('[softmax] x must be a tensor, but is an array')
    expect(f.linear(ones([2, 3]), ones([4, 3]), null).shape).toEqual([2, 4])
  })

  it('check shapes in infer, where tensors without elements and derivatives come by', () => {
    const { infer } = operatorNamed('layerNorm')
    expect(() => infer([ones([2, 3]), null, null], { normalizedShape: [4], eps: 0 })).toThrow(/must end in \[4\]/)
    const { infer: lossOf } = operatorNamed('crossEntropy')
    const attrs = { reduction: 'mean', ignoreIndex: -1, smoothing: 0 }
    expect(() => lossOf([ones([2, 3]), ones([4], 'int32'), null], attrs)).toThrow(/target is \[4\]/)
  })

  it('refuse a gradient for what their kernels count as a constant, which only a composite would give', () => {
    const weight = ones([3])
    weight.requiresGrad = true
    const [logits, labels] = [ones([2, 3]), f.zeros([2], { dtype: 'int32', device })]
    const loss = () => f.crossEntropy(logits, labels, { weight })
    expect(loss).toThrow(f.AutogradError)
    expect(loss).toThrow('[crossEntropy] weight wants a gradient, but counts as a constant here; give its detach()')
    expect(() => f.nllLoss(logits, labels, { weight })).toThrow('[nllLoss] weight wants a gradient')
    expect(f.noGrad(loss).item()).toBeCloseTo(Math.log(3))
    expect(f.crossEntropy(logits, labels, { weight: weight.detach() }).requiresGrad).toBe(false)
    const x = ones([4, 3])
    expect(() => f.batchNorm(x, weight, ones([3]))).toThrow('[batchNorm] runningMean wants a gradient')
    expect(() => f.batchNorm(x, ones([3]), weight)).toThrow('[batchNorm] runningVar wants a gradient')
  })

  it('make no result that only a backward would read', () => {
    const weights = [{ wIh: ones([12, 2]), wHh: ones([12, 3]), bIh: null, bHh: null }]
    const x = ones([5, 4, 2])
    const written = () =>
      f
        .trace(() => void f.lstm(x, weights), device)
        .kernels.filter((record) => record.kernel === 'lstm_forward')
        .map((record) => record.writtenBytes)
    const [without] = written()
    x.requiresGrad = true
    const [withGradient] = written()
    // There are four gates and a cell for each state.
    expect((withGradient as number) - (without as number)).toBe(5 * 5 * 4 * 3 * 4)
  })
})

it('floats of 64 bits do not mix with others where others mix', () => {
  const [x, weight] = [
    f.ones([2, 3], { dtype: 'float64', device: 'reference' }),
    f.ones([4, 3], { device: 'reference' }),
  ]
  expect(() => f.linear(x, weight.to('float64'), f.ones([4], { device: 'reference' }))).toThrow(
    '[linear] bias is float32, but must be float64, as x is',
  )
  const target = f.zeros([2], { dtype: 'int32', device: 'reference' })
  expect(() => f.crossEntropy(x, target, { weight: f.ones([3], { device: 'reference' }) })).toThrow(
    '[crossEntropy] weight is float32, but must be float64, as logits is',
  )
})

it('a gradient that is a kernel needs a composite, and a row that explains it', () => {
  const gradient = {
    saves: () => ({ inputs: [0] }),
    backward: kernel('silu_backward', (ctx: { input(i: 0): f.Tensor }, [dy]: readonly [f.Tensor], { dx }) => ({
      dx,
      dy,
      x: ctx.input(0),
    })),
  }
  const infer = ([x]: [x: f.Tensor]) => like(x)
  expect(() =>
    operator<[x: f.Tensor]>({
      name: 'without a composite',
      infer,
      forward: kernel('silu', ([x], _attrs, { out }) => ({ out, x })),
      gradient,
    }),
  ).toThrow(/without a composite has a kernel for its gradient, so it needs a composite/)
  expect(() =>
    operator<[x: f.Tensor]>({ name: 'of a function', infer, forward: ([x]) => x, composite: ([x]) => x, gradient }),
  ).toThrow(/of a function has a kernel for its gradient/)
})

it('a call without any tensor is refused', () => {
  expect(() => apply(operatorNamed('neg'), [null], null)).toThrow('[neg] x must be a tensor, but is null')
  expect(() => f.cat([])).toThrow('[cat] there is nothing to join')
})
