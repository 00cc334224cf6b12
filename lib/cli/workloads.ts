/** The work that `firesteel bench` times: operators with their gradients, and training steps, in three sizes. */
import type { Device } from '../core/device.js'
import { Generator } from '../core/generator.js'
import type { Tensor } from '../core/tensor.js'
import { gpt2 } from '../models/gpt2.js'
import * as nn from '../nn/index.js'
import { conv2d, div, flatten, matmul, ones, randint, randn, scaledDotProductAttention } from '../ops/index.js'
import { AdamW } from '../optim/index.js'

/** Small ones take the reference backend milliseconds, and large ones fill a GPU. */
export const sizes = ['small', 'medium', 'large'] as const
export type Size = (typeof sizes)[number]

export interface Workload {
  readonly name: string
  /** The kind of work and its sizes, so that another library can do the same. */
  readonly kind: 'matmul' | 'conv' | 'lstm' | 'attention' | 'mlp' | 'cnn' | 'gpt'
  readonly sizes: { readonly [name: string]: number }
  /** Whether a step returns a loss, which must be the same on each device. */
  readonly trains: boolean
  /** Makes the tensors on the device, and returns a step. */
  readonly make: (device: Device) => () => Tensor | undefined
}

function backwardFromOnes(out: Tensor): undefined {
  out.backward({ gradient: ones(out.shape, { device: out.device }) })
}

/** A step of AdamW on a model, with the loss that `lossOf` computes. */
function trainingStep(model: nn.Module, lossOf: () => Tensor): () => Tensor {
  const optimizer = new AdamW(model.parameters(), { lr: 1e-3 })
  return () => {
    optimizer.zeroGrad()
    const loss = lossOf()
    loss.backward()
    optimizer.step()
    return loss
  }
}

/** The workloads of a size. Weights and inputs are the same on every device. */
export function workloads(size: Size): readonly Workload[] {
  const pick = (small: number, medium: number, large: number) => [small, medium, large][sizes.indexOf(size)] as number
  const inputs = (device: Device) => ({ device, generator: new Generator(0) })
  const n = pick(64, 256, 4096)
  const images = pick(2, 8, 64)
  const channels = pick(4, 32, 256)
  const side = pick(8, 28, 56)
  const [rows, time, width] = [pick(4, 32, 128), pick(4, 8, 128), pick(8, 64, 512)]
  const [heads, tokens, headWidth] = [pick(2, 4, 32), pick(16, 128, 2048), pick(8, 32, 64)]
  const [inner, digits] = [pick(16, 128, 4096), pick(8, 64, 1024)]
  const [deep, layers, vocabulary] = [pick(32, 128, 768), pick(1, 2, 12), pick(64, 512, 50304)]
  const gptHeads = Math.max(1, deep / 64)
  const [texts, length] = [pick(2, 4, 8), pick(8, 32, 512)]
  return [
    {
      name: `matmul ${n}`,
      kind: 'matmul',
      sizes: { n },
      trains: false,
      make(device) {
        const options = inputs(device)
        const [a, b] = [randn([n, n], options), randn([n, n], options)]
        return () => void matmul(a, b)
      },
    },
    {
      name: `conv 3x3 ${images}x${channels}x${side}x${side} and back`,
      kind: 'conv',
      sizes: { images, channels, side },
      trains: false,
      make(device) {
        const options = { ...inputs(device), requiresGrad: true }
        const x = randn([images, channels, side, side], options)
        const weight = randn([channels, channels, 3, 3], options)
        return () => backwardFromOnes(conv2d(x, weight, null, { padding: 1 }))
      },
    },
    {
      name: `lstm ${rows}x${time}x${width} and back`,
      kind: 'lstm',
      sizes: { rows, time, width },
      trains: false,
      make(device) {
        const options = inputs(device)
        const layer = new nn.LSTM(width, width, options)
        const x = randn([rows, time, width], options)
        return () => backwardFromOnes(layer.forward(x).output)
      },
    },
    {
      name: `attention ${heads}x${tokens}x${headWidth} and back`,
      kind: 'attention',
      sizes: { heads, tokens, width: headWidth },
      trains: false,
      make(device) {
        const options = { ...inputs(device), requiresGrad: true }
        const input = () => randn([1, heads, tokens, headWidth], options)
        const [q, k, v] = [input(), input(), input()]
        return () => backwardFromOnes(scaledDotProductAttention(q, k, v, { isCausal: true }))
      },
    },
    {
      name: `training step, MLP 784-${inner}-10, ${digits} rows`,
      kind: 'mlp',
      sizes: { inner, rows: digits },
      trains: true,
      make(device) {
        const options = inputs(device)
        const model = new nn.Sequential(
          new nn.Linear(784, inner, options),
          new nn.ReLU(),
          new nn.Linear(inner, 10, options),
        )
        const x = randn([digits, 784], options)
        const labels = randint(0, 10, [digits], options)
        return trainingStep(model, () => nn.functional.crossEntropy(model.forward(x), labels))
      },
    },
    {
      name: `training step, CNN of ${channels} channels, ${images} rows`,
      kind: 'cnn',
      sizes: { images, channels, side },
      trains: true,
      make(device) {
        const options = inputs(device)
        const convolution = new nn.Conv2d(3, channels, 3, { ...options, padding: 1 })
        const head = new nn.Linear(channels * 16, 10, options)
        const model = new nn.Sequential(convolution, new nn.ReLU(), new nn.AdaptiveAvgPool2d(4))
        const x = randn([images, 3, side, side], options)
        const labels = randint(0, 10, [images], options)
        const both = new nn.ModuleList([model, head])
        return trainingStep(both, () =>
          nn.functional.crossEntropy(head.forward(flatten(model.forward(x), 1)) as Tensor, labels),
        )
      },
    },
    {
      name: `training step, GPT of ${layers} x ${deep}, ${texts}x${length} tokens`,
      kind: 'gpt',
      sizes: { width: deep, layers, vocabulary, rows: texts, tokens: length, heads: gptHeads },
      trains: true,
      make(device) {
        const options = inputs(device)
        const model = gpt2({
          ...options,
          ...{ vocabSize: vocabulary, context: length, width: deep, layers, heads: gptHeads, dropout: 0 },
        })
        const ids = randint(0, vocabulary, [texts, length], options)
        return trainingStep(model, () => {
          const { total, count } = model.loss(ids)
          return div(total, count)
        })
      },
    },
  ]
}
