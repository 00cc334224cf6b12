/**
 * Frequencies of scaled rotary positions, for 16 rotated features, compared with those of Hugging Face's transformers
 * 5.24 (`ROPE_INIT_FUNCTIONS`, float32), where `length` is the sequence's length.
 */
import { expect, it } from 'vitest'
import { type RotaryScaling, rotaryEmbedding, tensor } from '../../lib/index.js'
import { rotaryFrequencies } from '../../lib/ops/attention/rope-scaling.js'

interface Row {
  readonly scaling: RotaryScaling
  readonly length: number
  readonly base: number
  readonly radians: readonly number[]
  readonly factor: number
}

const transformers: readonly Row[] = [
  {
    scaling: { type: 'linear', factor: 4.0 },
    length: 1,
    base: 10000,
    radians: [0.25, 0.079056941, 0.025, 0.0079056947, 0.0024999999, 0.00079056947, 0.00025000001, 7.9056947e-5],
    factor: 1.0,
  },
  {
    scaling: { type: 'dynamic', factor: 4.0, originalMaxPositions: 64 },
    length: 32,
    base: 10000,
    radians: [1.0, 0.31622776, 0.1, 0.031622779, 0.0099999998, 0.0031622779, 0.001, 0.00031622779],
    factor: 1.0,
  },
  {
    scaling: { type: 'dynamic', factor: 4.0, originalMaxPositions: 64 },
    length: 200,
    base: 10000,
    radians: [1.0, 0.22925837, 0.052559398, 0.012049682, 0.0027624907, 0.00063332409, 0.00014519485, 3.3287135e-5],
    factor: 1.0,
  },
  {
    scaling: { type: 'yarn', factor: 4.0, originalMaxPositions: 64 },
    length: 1,
    base: 10000,
    radians: [1.0, 0.23717082, 0.049999997, 0.0079056947, 0.0024999999, 0.00079056947, 0.00025000001, 7.9056947e-5],
    factor: 1.138629436111989,
  },
  {
    scaling: { type: 'yarn', factor: 4.0, originalMaxPositions: 64, betaFast: 4, betaSlow: 0.5, truncate: false },
    length: 1,
    base: 10000,
    radians: [1.0, 0.29152563, 0.050664395, 0.0079056947, 0.0024999999, 0.00079056947, 0.00025000001, 7.9056947e-5],
    factor: 1.138629436111989,
  },
  {
    scaling: { type: 'yarn', factor: 40.0, originalMaxPositions: 4096, mscale: 1.2, mscaleAllDim: 0.7 },
    length: 1,
    base: 10000,
    radians: [1.0, 0.31622776, 0.1, 0.023914725, 0.0051249997, 0.00084986218, 2.4999999e-5, 7.9056945e-6],
    factor: 1.1465910125110204,
  },
  {
    scaling: { type: 'yarn', factor: 4.0, originalMaxPositions: 64, attentionFactor: 0.9 },
    length: 1,
    base: 10000,
    radians: [1.0, 0.23717082, 0.049999997, 0.0079056947, 0.0024999999, 0.00079056947, 0.00025000001, 7.9056947e-5],
    factor: 0.9,
  },
  {
    scaling: { type: 'llama3', factor: 8.0, lowFreqFactor: 1.0, highFreqFactor: 4.0, originalMaxPositions: 64 },
    length: 1,
    base: 500000,
    radians: [1.0, 0.079403013, 0.0047007538, 0.00091158313, 0.00017677668, 3.4281024e-5, 6.6478697e-6, 1.2891732e-6],
    factor: 1.0,
  },
  {
    scaling: {
      type: 'longrope',
      factor: 4.0,
      shortFactor: [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7],
      longFactor: [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5],
      originalMaxPositions: 64,
    },
    length: 32,
    base: 10000,
    radians: [1.0, 0.28747976, 0.083333336, 0.024325214, 0.0071428572, 0.0021081853, 0.00062499999, 0.00018601633],
    factor: 1.1547005383792517,
  },
  {
    scaling: {
      type: 'longrope',
      factor: 4.0,
      shortFactor: [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7],
      longFactor: [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5],
      originalMaxPositions: 64,
    },
    length: 100,
    base: 10000,
    radians: [1.0, 0.2108185, 0.050000001, 0.012649111, 0.0033333334, 0.00090350793, 0.00025000001, 7.0272836e-5],
    factor: 1.1547005383792517,
  },
  {
    scaling: { type: 'yarn', factor: 4, originalMaxPositions: 1100 },
    length: 1,
    base: 12,
    radians: [1.0, 0.73299724, 0.53728497, 0.39382839, 0.28867513, 0.21159808, 0.14346825, 0.0966352],
    factor: 1.138629436111989,
  },
]

it.each(transformers)(
  '$scaling of $length positions turns as transformers does',
  ({ scaling, length, base, radians, factor }) => {
    const found = rotaryFrequencies(16, base, scaling, length)
    expect(found.radians).toHaveLength(radians.length)
    found.radians.forEach((value, i) => void expect(value / (radians[i] as number), `pair ${i}`).toBeCloseTo(1, 6))
    expect(found.factor).toBeCloseTo(factor, 6)
    // The operator does so too: a pair (1, 0) at position 1 becomes the cosine and the sine, times the factor.
    const x = tensor([Array.from({ length: 16 }, (_, i) => (i < 8 ? 1 : 0))])
    const positions = tensor([1], { dtype: 'int32' })
    const turned = rotaryEmbedding(x, { base, scaling, positions, length }).dataSync()
    radians.forEach((radian, i) => {
      expect(turned[i], `cosine ${i}`).toBeCloseTo(Math.cos(radian) * factor, 5)
      expect(turned[i + 8], `sine ${i}`).toBeCloseTo(Math.sin(radian) * factor, 5)
    })
  },
)
