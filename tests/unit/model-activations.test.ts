import { describe, expect, it } from 'vitest'
import { setDefaultDevice } from '../../lib/backend/devices.js'
import { type ActivationName, activationNames, activationOf } from '../../lib/models/activation.js'
import { Parameter } from '../../lib/nn/module.js'
import { fromTypedArray } from '../../lib/ops/creation.js'

setDefaultDevice('cpu')
const at = [-12, -3, -1.25, -0.5, 0, 0.5, 1.25, 3, 7, 12]
const exact = [0, -0.004049694, -0.1320622, -0.1542688, 0, 0.3457312, 1.117938, 2.99595, 7, 12]
const byTanh = [0, -0.003637392, -0.1322858, -0.154286, 0, 0.345714, 1.117714, 2.996363, 7, 12]
const silu = [-7.37301e-5, -0.1422776, -0.2783752, -0.1887703, 0, 0.3112297, 0.9716248, 2.857722, 6.993623, 11.99993]

/** The values of transformers' ACT2FN there, in float64. */
const expected: { readonly [name in ActivationName]: readonly number[] } = {
  gelu: exact,
  gelu_python: exact,
  gelu_new: byTanh,
  gelu_fast: byTanh,
  gelu_accurate: byTanh,
  gelu_pytorch_tanh: byTanh,
  gelu_python_tanh: byTanh,
  gelu_10: [...exact.slice(0, -1), 10],
  quick_gelu: [-1.618642e-8, -0.01807131, -0.1330657, -0.1496116, 0, 0.3503884, 1.116934, 2.981929, 6.999953, 12],
  relu: [0, 0, 0, 0, 0, 0.5, 1.25, 3, 7, 12],
  relu2: [0, 0, 0, 0, 0, 0.25, 1.5625, 9, 49, 144],
  relu6: [0, 0, 0, 0, 0, 0.5, 1.25, 3, 6, 6],
  leaky_relu: [-0.12, -0.03, -0.0125, -0.005, 0, 0.5, 1.25, 3, 7, 12],
  silu,
  swish: silu,
  hardswish: [0, 0, -0.3645833, -0.2083333, 0, 0.2916667, 0.8854167, 3, 7, 12],
  mish: [-7.373032e-5, -0.1456475, -0.308414, -0.2207438, 0, 0.3752452, 1.13187, 2.986535, 6.999988, 12],
  sigmoid: [6.144175e-6, 0.04742587, 0.2227001, 0.3775407, 0.5, 0.6224593, 0.7772999, 0.9525741, 0.9990889, 0.9999939],
  tanh: [-1, -0.9950548, -0.8482836, -0.4621172, 0, 0.4621172, 0.8482836, 0.9950548, 0.9999983, 1],
  sqrtsoftplus: [
    0.002478748, 0.2204254, 0.5019254, 0.6885325, 0.8325546, 0.9869534, 1.225532, 1.74602, 2.645924, 3.464103,
  ],
  laplace: [0, 0, 1.991851e-12, 9.383381e-6, 0.00609446, 0.2314211, 0.9728543, 1, 1, 1],
  linear: at,
}

describe('activations by the names of config.json', () => {
  for (const name of activationNames)
    it(`${name} gives what transformers gives, and a gradient`, () => {
      const x = new Parameter(fromTypedArray(Float32Array.from(at), [at.length]))
      const y = activationOf(name)(x)
      const values = Array.from(y.dataSync() as Float32Array)
      for (const [i, value] of values.entries()) expect(value).toBeCloseTo(expected[name][i] as number, 5)
      y.sum().backward()
      expect(Array.from(x.grad?.dataSync() as Float32Array).every(Number.isFinite)).toBe(true)
    })
})
