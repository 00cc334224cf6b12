/**
 * The cost of frozen weights: no kernel for a gradient, and no activation that is kept. Traced for each architecture.
 */
import { describe, expect, it } from 'vitest'
import { applyLora, bitfit, freeze, freezeNorms, unfreeze } from '../../lib/finetune/index.js'
import { memory, nn, noGrad, randn, resetPeakMemory, scope, type Tensor, trace } from '../../lib/index.js'
import { type Shape, shapes } from '../recipes/shapes.js'

const sizes = { layers: 3, width: 16, rows: 2, columns: 8 }
const work = (kernels: readonly { readonly multiplyAdds: number }[]) =>
  kernels.reduce((total, { multiplyAdds }) => total + multiplyAdds, 0)

/**
 * Multiply-adds of the layers with frozen weights, in one forward pass. A language model does not call its head as a
 * layer.
 */
function frozenProducts({ model, loss }: Shape): number {
  let total = 0
  const handles = model.namedModules().flatMap(([path, layer]) => {
    const { weight } = layer as { readonly weight?: unknown }
    if (!(weight instanceof nn.Parameter) || weight.requiresGrad || weight.ndim < 2) return []
    if (layer instanceof nn.Embedding || path === 'lm_head') return []
    const channels = weight.ndim === 4 ? 1 : -1
    return layer.registerForwardHook((_, _inputs, output) => {
      const { numel, sizes } = output as Tensor
      total += (numel * weight.numel) / (sizes.at(channels) as number)
    })
  })
  scope(() => noGrad(() => loss()))
  for (const handle of handles) handle.remove()
  return total
}

/** A step of a model after `prepare`: multiply-adds forward and backward, and bytes that the graph keeps between. */
function step(make: (typeof shapes)[string], prepare: (shape: Shape) => void) {
  const shape = make(sizes)
  prepare(shape)
  const { model } = shape
  // Masks and similar tensors, which a model makes once.
  scope(() => noGrad(() => shape.loss()))
  const before = memory().bytes
  const { result: loss } = trace(() => scope(() => shape.loss()))
  const kept = memory().bytes - before
  const plain = work(trace(() => scope(() => noGrad(() => shape.loss()))).kernels)
  const back = trace(() => loss.backward()).kernels
  loss.dispose()
  for (const [path, parameter] of model.namedParameters())
    expect([path, parameter.peekGrad() !== null]).toEqual([path, parameter.requiresGrad])
  return { kept, plain, back: work(back), kernels: back, learning: model }
}

describe.each(Object.entries(shapes))('%s', (_, make) => {
  const full = step(make, () => {})

  it('has gradients of weights and of inputs where all learns', () => {
    expect(full.back).toBeGreaterThan(1.2 * full.plain)
  })

  it('has nothing but the head’s where the body is frozen', () => {
    const head = step(make, ({ model, head }) => {
      freeze(model)
      unfreeze(model, head)
    })
    expect(head.back).toBeLessThan(0.01 * full.back)
    expect(head.kept).toBeLessThan(0.15 * full.kept)
    expect(head.kernels.length).toBeLessThanOrEqual(5)
  })

  it('goes no further back than the last block that learns', () => {
    const last = step(make, ({ model }) => {
      freeze(model)
      unfreeze(model, { last: 1 })
    })
    // A third of the blocks, and everything after them.
    expect(last.back).toBeLessThan(0.42 * full.back)
    expect(last.kept).toBeLessThan(0.5 * full.kept)
  })

  it('has no gradient of a weight where biases and norms learn, and those of adapters alone with LoRA', () => {
    let products = 0
    const bias = step(make, (shape) => {
      const { model, head } = shape
      bitfit(model, { norms: true, ...(head === 'classifier' && { head }) })
      products = frozenProducts(shape)
    })
    // The gradient of a weight is a product as large as the forward one.
    expect(products).toBeGreaterThan(0)
    expect(bias.back).toBe(full.back - products)
    expect(bias.kept).toBeLessThan(full.kept)
    const lora = step(make, ({ model, adapted }) => void applyLora(model, { rank: 1, targetModules: [...adapted] }))
    expect(lora.plain).toBeGreaterThan(full.plain)
    expect(lora.back).toBeLessThanOrEqual(full.back - products + 2 * (lora.plain - full.plain))
  })

  it('has no statistics to learn in frozen norms', () => {
    const frozen = step(make, ({ model }) => void freezeNorms(model))
    expect(frozen.back).toBe(full.back)
    const norms = frozen.learning.modules().filter((module) => module instanceof nn.BatchNorm2d)
    for (const norm of norms) expect(norm.runningMean?.dataSync()).toEqual(new Float32Array(sizes.width))
    expect(frozen.kernels.length).toBeLessThanOrEqual(full.kernels.length)
  })
})

describe('blocks', () => {
  it.each(Object.entries(shapes))('of %s leave nothing behind but their results', (name, make) => {
    const peak = (layers: number) => {
      const { loss } = make({ ...sizes, layers })
      scope(() => noGrad(loss))
      const before = memory().bytes
      resetPeakMemory()
      scope(() => noGrad(loss))
      return memory().peakBytes - before
    }
    const result = 4 * sizes.rows * sizes.columns * sizes.width
    const stacks = name === 'T5' ? 2 : 1
    expect(peak(8) - peak(4)).toBeLessThanOrEqual(4 * stacks * result)
  })

  it('leave what hooks inside have seen', () => {
    const { model, loss } = (shapes['BERT'] as (typeof shapes)[string])(sizes)
    const inner = model.namedModules().find(([path]) => path.endsWith('layer.1.intermediate'))?.[1] as nn.Module
    const seen: Tensor[] = []
    const handle = inner.registerForwardHook((_, _inputs, output) => void seen.push(output as Tensor))
    loss()
    handle.remove()
    expect(seen[0]?.dataSync().every(Number.isFinite)).toBe(true)
  })
})

it('keeps nothing for products of frozen weights, but the input of one that learns', () => {
  const kept = (frozen: readonly number[]) => {
    const layers = [0, 1, 2, 3].map(() => new nn.Linear(64, 64))
    const model = new nn.Sequential(...layers)
    for (const i of frozen) (layers[i] as nn.Linear).weight.requiresGrad = false
    const x = randn([32, 64])
    const before = memory().bytes
    const y = scope(() => model.forward(x))
    return (memory().bytes - before - 4 * y.numel) / (4 * x.numel)
  }
  expect(kept([])).toBe(3)
  expect(kept([0, 1, 2, 3])).toBe(0)
  expect(kept([0, 1, 3])).toBe(1)
  expect(kept([1])).toBe(2)
})
