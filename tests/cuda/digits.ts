/**
 * The first steps of a network on handwritten digits. Losses and parameters must be those of the CPU, or it is an
 * error.
 */
import assert from 'node:assert/strict'
import { mnist } from '../../lib/data/datasets/index.js'
import { type Device, device, manualSeed, nn, optim, scope, type Tensor, tensor } from '../../lib/index.js'

const { train } = await mnist()
const images: number[][] = []
const labels: number[] = []
for (let i = 0; i < 48; i++) {
  const [image, label] = (await train.get(i)) as readonly [Tensor, number]
  images.push([...image.flatten().dataSync()])
  labels.push(label)
}

function losses(on: Device): number[] {
  manualSeed(7)
  const model = new nn.Sequential(
    new nn.Linear(784, 40),
    new nn.LayerNorm(40),
    new nn.GELU(),
    new nn.Dropout(0.1),
    new nn.Linear(40, 10),
  )
  model.to(on)
  const optimizer = new optim.AdamW(model.parameters(), { lr: 3e-3 })
  const found: number[] = []
  for (let step = 0; step < 6; step++)
    scope(() => {
      const at = (step % 3) * 16
      const x = tensor(images.slice(at, at + 16), { device: on })
      const y = tensor(labels.slice(at, at + 16), { dtype: 'int32', device: on })
      const loss = nn.functional.crossEntropy(model.forward(x) as Tensor<[16, 10]>, y as Tensor<[16]>)
      optimizer.zeroGrad()
      loss.backward()
      optim.clipGradNorm(model.parameters(), 1)
      optimizer.step()
      found.push(loss.item())
    })
  return found
}

const [onCpu, onGpu] = [losses(device('cpu')), losses(device('cuda'))]
for (const [step, loss] of onCpu.entries())
  assert.ok(
    Math.abs(loss - (onGpu[step] as number)) <= 2e-5 * loss,
    `step ${step}: ${onGpu[step]}, and on the CPU ${loss}`,
  )
assert.ok((onGpu[5] as number) < 0.8 * (onGpu[0] as number), `it did not learn: ${onGpu.join(', ')}`)
