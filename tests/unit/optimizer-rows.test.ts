/** The fused kernels of optimisers against the updates that they replace: every option, alone and with others. */
import { describe, expect, it, vi } from 'vitest'
import {
  autocast,
  type Device,
  Generator,
  matmul,
  mul,
  nn,
  optim,
  randn,
  Tensor,
  type TypedArray,
  trace,
} from '../../lib/index.js'
import { devices } from '../suites/support.js'

type Options = { readonly [name: string]: unknown }

/** Every combination of one value of each option. */
const combinations = (options: { readonly [name: string]: readonly unknown[] }): readonly Options[] =>
  Object.entries(options).reduce<readonly Options[]>(
    (all, [name, choices]) => all.flatMap((rest) => choices.map((value) => ({ ...rest, [name]: value }))),
    [{}],
  )

const adam = combinations({
  lr: [0.01],
  betas: [
    [0.9, 0.999],
    [0, 0.5],
  ],
  eps: [1e-8, 0.1],
  weightDecay: [0, 0.3],
  amsgrad: [false, true],
  maximize: [false, true],
})
const sgd = combinations({
  lr: [0.1],
  momentum: [0, 0.9],
  dampening: [0, 0.3],
  weightDecay: [0, 0.3],
  nesterov: [false, true],
  maximize: [false, true],
}).filter(({ momentum, dampening, nesterov }) => !nesterov || (momentum !== 0 && dampening === 0))

const decays = { weightDecay: [0, 0.3], maximize: [false, true] }
const betas = [
  [0.9, 0.999],
  [0, 0.5],
]
const adamax = combinations({ lr: [0.01], betas, eps: [1e-8, 0.1], ...decays })
const nadam = combinations({
  lr: [0.01],
  betas,
  momentumDecay: [4e-3, 0.5],
  decoupledWeightDecay: [false, true],
  ...decays,
})
// A beta2 of 0.5 never makes the average of squares cover enough steps; 0.9 does from the sixth step on.
const radam = combinations({
  lr: [0.01],
  betas: [
    [0.9, 0.5],
    [0.5, 0.9],
  ],
  decoupledWeightDecay: [false, true],
  ...decays,
})
const rmsprop = combinations({ alpha: [0.99, 0.5], momentum: [0, 0.9], centered: [false, true], ...decays })
const adagrad = combinations({ lrDecay: [0, 0.5], initialAccumulatorValue: [0, 0.3], eps: [1e-10, 0.1], ...decays })
const adadelta = combinations({ lr: [1, 0.1], rho: [0.9, 0.5], eps: [1e-6, 0.1], ...decays })
const lion = combinations({
  lr: [0.01],
  betas: [
    [0.9, 0.99],
    [0.5, 0],
  ],
  ...decays,
})

type Make = (params: nn.Parameter[], options: Options) => optim.Optimizer<{ lr: number }, object>
const optimizers: readonly (readonly [string, string, Make, readonly Options[]])[] = [
  ['SGD', 'sgd', (params, options) => new optim.SGD(params, options as never), sgd],
  ['Adam', 'adam', (params, options) => new optim.Adam(params, options), adam],
  ['AdamW', 'adam', (params, options) => new optim.AdamW(params, options), adam],
  ['Adamax', 'adamax', (params, options) => new optim.Adamax(params, options), adamax],
  ['NAdam', 'nadam', (params, options) => new optim.NAdam(params, options), nadam],
  ['RAdam', 'radam', (params, options) => new optim.RAdam(params, options), radam],
  ['RMSprop', 'rmsprop', (params, options) => new optim.RMSprop(params, options), rmsprop],
  ['Adagrad', 'adagrad', (params, options) => new optim.Adagrad(params, options), adagrad],
  ['Adadelta', 'adadelta', (params, options) => new optim.Adadelta(params, options), adadelta],
  ['Lion', 'lion', (params, options) => new optim.Lion(params, options), lion],
]
const all = optimizers.flatMap(([title, kernel, make, choices]) =>
  choices.map((options) => [`${title} ${JSON.stringify(options)}`, kernel, make, options] as const),
)

/** Sizes around the width of a vector, and around the pieces into which a kernel cuts its work. */
const small = [0, 1, 7, 33, 130]
const large = [16_383, 16_384, 16_385, 32_773]
const steps = 7

const bytesOf = (x: Tensor): Buffer => {
  const { buffer, byteOffset, byteLength } = x.detach().dataSync()
  return Buffer.from(buffer, byteOffset, byteLength)
}

/** The parameters after each step, the final states, and the kernels that ran. */
function train(device: Device, make: Make, options: Options, sizes: readonly number[]) {
  const random = (size: number, seed: number): Tensor => randn([size], { generator: new Generator(seed), device })
  const params = sizes.map((size, i): nn.Parameter => new nn.Parameter(random(size, i)))
  const optimizer = make(params, options)
  const numbers: TypedArray[] = []
  const kernels = new Set<string>()
  for (let step = 0; step < steps; step++) {
    // Half of them are read under autocast, so that they have a bfloat16 copy.
    const read = params.filter((p, i) => i % 2 === 1 && p.numel > 0)
    for (const p of read) autocast('bfloat16', () => matmul(p, p))
    for (const [i, p] of params.entries()) p.grad = mul(random(p.numel, 100 + i), 1 + step) as Tensor
    for (const { kernel } of trace(() => optimizer.step(), device).kernels) kernels.add(kernel)
    for (const p of params) numbers.push(p.detach().dataSync())
    for (const p of read) {
      const { shadow, version } = p.storage
      expect(shadow?.version).toBe(version)
      const copy = new Tensor(shadow?.storage as Tensor['storage'], p.shape, p.strides, 0)
      expect(bytesOf(copy).equals(bytesOf(p.detach().to('bfloat16')))).toBe(true)
    }
  }
  for (const { tensors } of optimizer.stateDict().state.values())
    for (const tensor of Object.values(tensors)) numbers.push(tensor.dataSync())
  return { numbers, kernels }
}

/** The largest difference, relative to numbers above 1. */
function distance(a: readonly TypedArray[], b: readonly TypedArray[]): number {
  expect(a.map(({ length }) => length)).toEqual(b.map(({ length }) => length))
  let worst = 0
  for (const [k, values] of a.entries())
    for (let i = 0; i < values.length; i++) {
      const other = b[k]?.[i] as number
      worst = Math.max(worst, Math.abs((values[i] as number) - other) / Math.max(1, Math.abs(other)))
    }
  return worst
}

const fused = devices.filter((device) => device.hasKernel('adam'))

it('the native device has the rows', () => {
  expect(fused.map(({ name }) => name)).toEqual(devices.filter(({ kind }) => kind === 'cpu').map(({ name }) => name))
})

describe.each(fused.map((device) => [device.name, device] as const))('on %s', (_name, device) => {
  const compare = (kernel: string, make: Make, options: Options, sizes: readonly number[]) => {
    const row = train(device, make, options, sizes)
    const hasKernel = vi.spyOn(device, 'hasKernel').mockImplementation((name) => name !== kernel)
    const update = train(device, make, options, sizes)
    hasKernel.mockRestore()
    expect([row.kernels.has(kernel), update.kernels.has(kernel)]).toEqual([true, false])
    // There are sixteen roundings in a step.
    expect(distance(update.numbers, row.numbers)).toBeLessThan(16 * steps * 2 ** -23)
  }
  it.each(all)('%s', (_title, kernel, make, options) => compare(kernel, make, options, small))

  it.each(optimizers)('%s over several pieces of work', (_title, kernel, make, choices) => {
    for (const options of [choices[0], choices.at(-1)]) compare(kernel, make, options as Options, large)
  })
})
