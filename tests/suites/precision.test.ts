/**
 * Whole trainings under autocast must follow the loss curve of float32. bfloat16 keeps 8 bits, so a forward pass is off
 * by about 2^-8 of its numbers. The loss of a step may differ from float32's by 12 times that. The mean of ten steps
 * and that of a validation may differ by 4 times that. All are relative to the first loss. Both trainings draw the same
 * weights, data and dropout.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { randomOf } from '../cases/case.js'
import { devices } from './support.js'

interface Model extends f.nn.Module {
  forward(x: f.Tensor): f.Tensor
}

/** A small GPT: learned positions, pre-norm blocks, causal attention, a head tied to the embedding. */
class Block extends f.nn.Module {
  readonly ln1: f.nn.LayerNorm
  readonly ln2: f.nn.LayerNorm
  readonly qkv: f.nn.Linear
  readonly proj: f.nn.Linear
  readonly fc: f.nn.Linear
  readonly out: f.nn.Linear
  readonly dropout = new f.nn.Dropout(0.1)
  readonly heads: number

  constructor(d: number, heads: number) {
    super()
    this.heads = heads
    this.ln1 = new f.nn.LayerNorm(d)
    this.ln2 = new f.nn.LayerNorm(d)
    this.qkv = new f.nn.Linear(d, 3 * d)
    this.proj = new f.nn.Linear(d, d)
    this.fc = new f.nn.Linear(d, 4 * d)
    this.out = new f.nn.Linear(4 * d, d)
  }

  forward(x: f.Tensor): f.Tensor {
    const [b = 0, t = 0, d = 0] = x.shape
    const split = (this.qkv.forward(this.ln1.forward(x)) as f.Tensor).split(d, 2)
    const [q, k, v] = split.map((z) => z.view([b, t, this.heads, d / this.heads]).transpose(1, 2))
    const y = f.scaledDotProductAttention(q as f.Tensor, k as f.Tensor, v as f.Tensor, { isCausal: true })
    const joined = this.proj.forward(y.transpose(1, 2).reshape([b, t, d])) as f.Tensor
    const attended: f.Tensor = x.add(this.dropout.forward(joined))
    const hidden = f.gelu(this.fc.forward(this.ln2.forward(attended)) as f.Tensor, { approximate: 'tanh' })
    return attended.add(this.dropout.forward(this.out.forward(hidden) as f.Tensor))
  }
}

class Gpt extends f.nn.Module {
  readonly wte = new f.nn.Embedding(17, 32)
  readonly wpe = new f.nn.Embedding(24, 32)
  readonly blocks = new f.nn.ModuleList([new Block(32, 4), new Block(32, 4)])
  readonly ln = new f.nn.LayerNorm(32)
  readonly head = new f.nn.Linear(32, 17, { bias: false })

  constructor() {
    super()
    f.noGrad(() => this.wte.weight.copy_(f.mul(this.wte.weight, 0.1)))
    this.head.weight = this.wte.weight as f.nn.Parameter<[17, 32]>
  }

  forward(ids: f.Tensor): f.Tensor {
    let x: f.Tensor = this.wte.forward(ids).add(this.wpe.forward(f.arange(ids.shape[1] ?? 0)))
    for (const block of this.blocks) x = block.forward(x)
    return this.head.forward(this.ln.forward(x)) as f.Tensor
  }
}

/** Sequences in which most tokens follow from the one before. */
function sequences(): { model: Model; batch: (step: number) => readonly [f.Tensor, f.Tensor]; lossOf: Loss } {
  const batch = (step: number) => {
    const tokens = new Int32Array(4 * 25)
    const random = randomOf(step)
    for (let b = 0; b < 4; b++) {
      // One token in eight is noise.
      for (let t = 0; t < 25; t++)
        tokens[b * 25 + t] =
          t === 0 || random() < 1 / 8 ? random() * 17 : ((tokens[b * 25 + t - 1] as number) * 3 + 2) % 17
    }
    const all = f.fromTypedArray(tokens, [4, 25])
    return [all.slice(null, [0, 24]).contiguous(), all.slice(null, [1, 25]).contiguous()] as const
  }
  const lossOf: Loss = (logits, target) => f.crossEntropy(logits.reshape([4 * 24, 17]), target.reshape([4 * 24]))
  return { model: new Gpt(), batch, lossOf }
}

type Loss = (output: f.Tensor, target: f.Tensor) => f.Tensor

/** Noisy images of four patterns. */
function images(): { model: Model; batch: (step: number) => readonly [f.Tensor, f.Tensor]; lossOf: Loss } {
  const model = new f.nn.Sequential(
    new f.nn.Conv2d(1, 6, 3, { padding: 1 }),
    new f.nn.BatchNorm2d(6),
    new f.nn.ReLU(),
    new f.nn.MaxPool2d(2),
    new f.nn.Conv2d(6, 8, 3),
    new f.nn.ReLU(),
    new f.nn.Flatten(),
    new f.nn.Linear(128, 33),
    new f.nn.ReLU(),
    new f.nn.Linear(33, 4),
  )
  const patterns = f.randn([4, 1, 12, 12], { generator: new f.Generator(1) })
  const batch = (step: number) => {
    const labels = f.randint(0, 4, [16], { generator: new f.Generator(100 + step) })
    const noise = f.mul(f.randn([16, 1, 12, 12], { generator: new f.Generator(200 + step) }), 1.5)
    return [f.add(f.indexSelect(patterns, 0, labels), noise), labels] as const
  }
  return { model, batch, lossOf: f.crossEntropy }
}

const epsilon = 2 ** -8

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length

describe.each(devices.map((device) => [device.name, device] as const))('on %s', (_name, device) => {
  const before = f.defaultDevice()
  beforeAll(() => f.setDefaultDevice(device))
  afterAll(() => f.setDefaultDevice(before))

  it.each([
    ['a small GPT', sequences, 60, 8e-3],
    ['a convolutional network', images, 60, 3e-3],
  ] as const)(
    '%s trains along the curve of float32',
    async (_title, make, steps, lr) => {
      const curve = async (precision: 'float32' | 'bfloat16') => {
        f.manualSeed(7)
        const { model, batch, lossOf } = make()
        const dtypes = new Set<string>()
        const trainer = new f.Trainer(model, {
          optimizer: new f.optim.AdamW(model.parameters(), { lr }),
          loss: (output, target) => {
            dtypes.add(output.dtype)
            return lossOf(output, target)
          },
          metrics: {
            accuracy: { reset: () => {}, update: (o) => void dtypes.add(`metric ${o.dtype}`), compute: async () => 0 },
          },
          precision,
        })
        const losses: number[] = []
        const batches = Array.from({ length: steps }, (_, step) => batch(step))
        for await (const step of trainer.steps(batches)) losses.push(await step.loss())
        expect([...dtypes].sort()).toEqual(['metric float32', precision].sort())
        for (const [name, p] of model.namedParameters()) expect(p.dtype, name).toBe('float32')
        const { loss } = await trainer.evaluate(batches.slice(0, 3))
        return { losses, evaluated: loss }
      }
      const exact = await curve('float32')
      const low = await curve('bfloat16')
      const first = exact.losses[0] as number
      // The model must learn, because otherwise the curves would prove nothing.
      expect(mean(exact.losses.slice(-10))).toBeLessThan(0.75 * first)
      low.losses.forEach((loss, i) => {
        expect(Math.abs(loss - (exact.losses[i] as number)), `step ${i}`).toBeLessThanOrEqual(12 * epsilon * first)
        const ten = ({ losses }: typeof exact) => mean(losses.slice(i, i + 10))
        if (i + 10 <= steps)
          expect(Math.abs(ten(low) - ten(exact)), `steps from ${i}`).toBeLessThanOrEqual(4 * epsilon * first)
      })
      expect(Math.abs(low.evaluated - exact.evaluated)).toBeLessThanOrEqual(4 * epsilon * first)
      // The arithmetic must really differ.
      expect(low.losses).not.toEqual(exact.losses)
    },
    240_000,
  )
})

it('refuses another precision', () => {
  const model = new f.nn.Linear(2, 2)
  const options = { optimizer: new f.optim.SGD(model.parameters(), { lr: 1 }), loss: f.mseLoss }
  expect(() => new f.Trainer(model, { ...options, precision: 'float16' as 'bfloat16' })).toThrow(
    /precision is 'float16'/,
  )
})
