/** Every operator with a composite, on devices that lack one of its kernels: in float64 and on the other devices. */
import { describe, expect, it } from 'vitest'
import { operators } from '../../lib/autograd/operator.js'
import * as f from '../../lib/index.js'
import { lacking } from './lacking.js'
import { allCases, casesFor, compare, devices, nameOf, reference, runCase } from './support.js'

const composed = new Map(
  operators()
    .filter((operator) => operator.composite !== null)
    .map((operator) => [operator.name, operator]),
)

/** Each case, once for each kernel of its operator. */
const fallbacks = casesFor('composite', (c) => composed.has(c.op)).flatMap((each) => {
  const { kernels } = composed.get(each.case.op) ?? { kernels: { forward: [], backward: [] } }
  return [...kernels.forward, ...kernels.backward].map(
    (kernel) => [`${nameOf(each)}, without ${kernel}`, each.case, kernel] as const,
  )
})

it('finds a composite for each operator whose gradient is fused, and cases for each composite', () => {
  const fused = operators().filter((operator) => operator.gradient?.fused || operator.kernels.backward.length > 0)
  expect(fused.filter((operator) => operator.composite === null).map((operator) => operator.name)).toEqual([])
  const cases = new Set(allCases.map((each) => each.case.op))
  expect([...composed.keys()].filter((name) => !cases.has(name))).toEqual([])
  for (const { name, kernels } of composed.values()) expect(kernels.forward, name).not.toEqual([])
})

describe('float64 on the reference', () => {
  it.each(fallbacks)('%s', (_name, c, kernel) => {
    const composite = runCase(c, lacking(reference, [kernel]), 'float64')
    compare(c, runCase(c, reference, 'float64'), composite, 'float64')
  })
})

describe.each(devices.filter((device) => device !== reference).map((device) => [device.name, device] as const))(
  'float32 on %s',
  (_device, device) => {
    it.each(fallbacks)('%s', (_name, c, kernel) => {
      const composite = runCase(c, lacking(device, [kernel]), 'float32')
      compare(c, composite, runCase(c, reference, 'float64'), 'float32')
    })
  },
)

describe.each(devices.map((device) => [device.name, device] as const))('on %s', (_name, device) => {
  it('keeps the fused forward where only backward is missing and no gradient is wanted', () => {
    const without = lacking(device, ['gelu_backward'])
    const x = f.ones([3], { device: without })
    const names = (run: () => unknown) => f.trace(() => void run(), without).kernels.map(({ kernel }) => kernel)
    expect(names(() => f.nn.functional.gelu(x))).toEqual(['gelu'])
    x.requiresGrad = true
    expect(names(() => f.nn.functional.gelu(x))).not.toContain('gelu')
    expect(names(() => f.noGrad(() => f.nn.functional.gelu(x)))).toEqual(['gelu'])
  })

  it.each([
    ['ties with both limits', -1, 0.5],
    ['no limit below', undefined, 0.5],
    ['no limit above', -1, undefined],
    ['one value', 0.5, 0.5],
    ['limits in reverse', 0.5, -1],
    ['NaN below', Number.NaN, 0.5],
    ['NaN above', -1, Number.NaN],
  ])('clamps as the kernel does: %s', (_case, min, max) => {
    const run = (on: f.Device) => {
      const x = f.tensor([-2, -1, 0, 0.5, 1, Number.NaN, Number.POSITIVE_INFINITY], { device: on, requiresGrad: true })
      const y = f.clamp(x, min, max)
      y.sum().backward()
      return [y.toArray(), x.grad?.toArray()]
    }
    expect(run(lacking(device, ['clamp', 'clamp_backward']))).toEqual(run(device))
  })

  it('clamps integers from one side', () => {
    const x = f.tensor([-9, 2, 9], { dtype: 'int32', device: lacking(device, ['clamp']) })
    expect(f.clamp(x, -3).toArray()).toEqual([-3, 2, 9])
    expect(f.clamp(x, undefined, 4).toArray()).toEqual([-9, 2, 4])
  })

  it.each(['mean', 'variance'])('a batch norm updates a running %s that is alone', (which) => {
    const run = (on: f.Device) => {
      const x = f.tensor([[1], [2], [6]], { device: on })
      const running = f.ones([1], { device: on })
      const [mean, variance] = which === 'mean' ? [running, null] : [null, running]
      f.batchNorm(x, mean, variance, { training: true, momentum: 0.5 })
      return running.item()
    }
    // The mean is 3. The squares about it sum to 14, with two degrees of freedom.
    const expected = which === 'mean' ? 2 : 4
    expect(run(device)).toBeCloseTo(expected, 6)
    expect(run(lacking(device, ['batch_norm_forward', 'batch_norm_backward']))).toBeCloseTo(expected, 6)
  })

  it('names the operator that was called in errors of a composite', () => {
    const without = lacking(device, ['silu', 'mul'])
    expect(() => f.silu(f.ones([2, 3], { device: without }))).toThrow(/^\[silu\] .*lacks mul/)
  })
})
