import { describe, expect, it } from 'vitest'
import { fromTypedArray, nn, type Tensor, tensor } from '../../lib/index.js'
import { deviceNames } from '../suites/support.js'

const { functional: F } = nn

// Kernels that scale by adding to the exponent's bits can turn a NaN into a number, depending on its other bits.
const words = [0x7fc00000, 0x7fc00001, 0x7fc001ff, 0xffc00123, 0x7fffffff]

describe.each(deviceNames)('a NaN of whatever bits on %s', (device) => {
  /** Halves, with the NaN at 3, in two lengths, one of which is whole vectors and a rest. */
  const each = (check: (x: Tensor<[number]>) => void) => {
    for (const word of words)
      for (const n of [5, 40]) {
        const bits = new Uint32Array(n).fill(0x3f000000)
        bits[3] = word
        check(fromTypedArray(new Float32Array(bits.buffer), [n], { device }))
      }
  }
  const functions = {
    exp: (x) => x.exp(),
    log: (x) => x.log(),
    sigmoid: (x) => x.sigmoid(),
    tanh: (x) => x.tanh(),
    gelu: (x) => x.gelu(),
    silu: (x) => F.silu(x),
    softplus: (x) => F.softplus(x),
    elu: (x) => F.elu(x),
    sin: (x) => x.sin(),
    pow: (x) => x.pow(1.5),
    softmax: (x) => x.softmax(-1),
    logSoftmax: (x) => F.logSoftmax(x, -1),
    layerNorm: (x) => F.layerNorm(x, x.shape),
    'softmax down columns': (x) => x.view([x.numel, 1]).expand([x.numel, 3]).softmax(0).select(1, 1) as Tensor,
  } satisfies { [name: string]: (x: Tensor<[number]>) => Tensor }
  it.each(Object.entries(functions))('stays one through %s', (_, fn) => {
    each((x) => expect(fn(x).dataSync()[3]).toBeNaN())
  })
  it('stays one in what is made of all elements', () => {
    each((x) => {
      const { numel: n } = x
      const label = tensor([1], { dtype: 'int32', device })
      expect(F.crossEntropy(x.view([1, n]), label).item()).toBeNaN()
      for (const y of [x.sum(), x.amax(), x.logsumexp()]) expect(y.item()).toBeNaN()
      const rows = x.view([1, 1, n, 1]).expand([1, 1, n, 8])
      const halves = fromTypedArray(new Float32Array(8 * n).fill(0.5), [1, 1, n, 8], {
        device,
      })
      expect(F.scaledDotProductAttention(rows, halves, halves).dataSync()[3 * 8]).toBeNaN()
      expect(F.scaledDotProductAttention(halves, rows, halves).dataSync()[0]).toBeNaN()
      expect(F.scaledDotProductAttention(halves, halves, rows).dataSync()[0]).toBeNaN()
    })
  })
})
