/** The memory that checkpointing the blocks of a GPT saves, and the work that it costs. */
import { expect, it } from 'vitest'
import * as f from '../../lib/index.js'

const [layers, width, heads, vocabulary] = [12, 64, 4, 96]

class Block extends f.nn.Module {
  readonly norm1 = new f.nn.LayerNorm(width)
  readonly attention = new f.nn.MultiheadAttention(width, heads, { dropout: 0.1 })
  readonly norm2 = new f.nn.LayerNorm(width)
  readonly up = new f.nn.Linear(width, 4 * width)
  readonly down = new f.nn.Linear(4 * width, width)
  readonly dropout = new f.nn.Dropout(0.1)

  forward(x: f.Tensor): f.Tensor {
    const y = this.norm1.forward(x)
    const attended = x.add(this.dropout.forward(this.attention.forward(y, y, y, { isCausal: true })))
    const hidden = f.gelu(this.up.forward(this.norm2.forward(attended)))
    return attended.add(this.dropout.forward(this.down.forward(hidden)))
  }
}

class Gpt extends f.nn.Module {
  readonly embed = new f.nn.Embedding(vocabulary, width)
  readonly blocks = Array.from({ length: layers }, () => new Block())
  readonly norm = new f.nn.LayerNorm(width)
  readonly head = new f.nn.Linear(width, vocabulary, { bias: false })
  readonly checkpointed: boolean

  constructor(checkpointed: boolean) {
    super()
    this.checkpointed = checkpointed
  }

  forward(ids: f.Tensor): f.Tensor {
    let x: f.Tensor = this.embed.forward(ids)
    for (const block of this.blocks)
      x = this.checkpointed ? f.checkpoint((y: f.Tensor) => block.forward(y), x) : block.forward(x)
    return this.head.forward(this.norm.forward(x))
  }
}

/**
 * The most memory that two steps take beyond parameters, gradients and the optimiser's state, their work, and all bits
 * of the result.
 */
function measure(checkpointed: boolean) {
  f.manualSeed(0)
  const model = new Gpt(checkpointed)
  const optimizer = new f.optim.SGD(model.parameters(), { lr: 0.1 })
  const ids = f.randint(0, vocabulary, [2, 64])
  const losses: number[] = []
  const step = () => {
    f.scope(() => {
      const logits = model.forward(ids)
      const loss = f.crossEntropy(logits.reshape([-1, vocabulary]), ids.reshape([-1]))
      loss.backward()
      losses.push(loss.item())
    })
    optimizer.step()
  }
  // The first step makes the gradients, which remain.
  step()
  const { device } = ids
  device.synchronize()
  const before = device.memory().bytes
  device.resetPeak()
  step()
  device.synchronize()
  const activations = device.memory().peakBytes - before
  expect(device.memory().bytes).toBe(before)
  const { kernels } = f.trace(step)
  const work = kernels.reduce((sum, { multiplyAdds }) => sum + multiplyAdds, 0)
  return {
    activations,
    work,
    losses,
    weights: [...model.parameters()].map((weight) => [...weight.detach().dataSync()]),
  }
}

it('takes less than a third of the memory for at most 1.4 times the work, with equal bits', () => {
  const plain = measure(false)
  const checkpointed = measure(true)
  expect(checkpointed.losses).toEqual(plain.losses)
  expect(checkpointed.weights).toEqual(plain.weights)
  expect(checkpointed.activations / plain.activations).toBeLessThan(1 / 3)
  expect(checkpointed.work / plain.work).toBeLessThan(1.4)
  // The function really runs again.
  expect(checkpointed.work / plain.work).toBeGreaterThan(1.2)
})
