/**
 * Pre-trains on the digits 0 to 4, then adapts to 5 to 9 with few examples, in four ways: all weights, a frozen body,
 * gradual unfreezing, and LoRA. Saves the LoRA adapter, loads it into a fresh copy of the base, and merges it.
 *
 * Usage: npx tsx examples/finetune-digits.ts [--shots 20] [--epochs 12]
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import {
  type BatchSource,
  type Callback,
  DataLoader,
  describeDevice,
  Generator,
  manualSeed,
  memory,
  metrics,
  nn,
  noGrad,
  optim,
  resetPeakMemory,
  Subset,
  savedForBackward,
  type Tensor,
  Trainer,
  trace,
} from 'firesteel'
import { type ImageDataset, mnist } from 'firesteel/datasets'
import {
  applyLora,
  countParameters,
  freeze,
  loadAdapter,
  mergeLora,
  saveAdapter,
  unfreeze,
  unfreezeGradually,
  unmergeLora,
} from 'firesteel/finetune'

const { values } = parseArgs({
  options: { shots: { type: 'string', default: '20' }, epochs: { type: 'string', default: '12' } },
})
const shots = Number(values.shots)
const epochs = Number(values.epochs)

type Digits = BatchSource<readonly [Tensor, Tensor]>

/** The items whose label is in [from, to), with at most `each` of a label. */
function digits(images: ImageDataset, from: number, to: number, each = Number.POSITIVE_INFINITY): Digits {
  const seen = new Map<number, number>()
  const indices = [...images.labels.keys()].filter((i) => {
    const label = images.labels[i] as number
    const count = seen.get(label) ?? 0
    if (label < from || label >= to || count >= each) return false
    seen.set(label, count + 1)
    return true
  })
  return new Subset(images, indices)
}

function network() {
  return nn.Sequential.for(
    [1, 28, 28],
    new nn.Conv2d(1, 16, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Conv2d(16, 32, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new nn.Linear(1568, 128),
    new nn.ReLU(),
    new nn.Linear(128, 10),
  )
}

type Network = ReturnType<typeof network>

function trainer(model: Network, lr: number, callbacks: readonly Callback[] = []) {
  return new Trainer(model, {
    optimizer: new optim.AdamW(model.parameters(), { lr }),
    loss: nn.functional.crossEntropy,
    metrics: { accuracy: metrics.accuracy() },
    callbacks,
  })
}

/** A copy with its own weights. */
function copy(model: Network): Network {
  const other = network()
  other.loadStateDict(model.stateDict())
  return other
}

manualSeed(0)
console.log(describeDevice())
const { train, test } = await mnist()
const base = network()
const started = performance.now()
await trainer(base, 1e-3).fit(new DataLoader(digits(train, 0, 5, 2000), { batchSize: 64, shuffle: true }), {
  epochs: 2,
})
const old = await trainer(base, 1e-3).evaluate(new DataLoader(digits(test, 0, 5), { batchSize: 500 }))
console.log(
  `pre-trained on 0 to 4 in ${((performance.now() - started) / 1000).toFixed(1)} s: accuracy ${old.accuracy.toFixed(4)}\n`,
)

const few = digits(train, 5, 10, shots)
const many = digits(test, 5, 10)
const head = '9'

interface Way {
  readonly name: string
  readonly lr: number
  prepare(model: Network): readonly Callback[]
}

const ways: readonly Way[] = [
  { name: 'full', lr: 1e-3, prepare: () => [] },
  {
    name: 'frozen body',
    lr: 5e-3,
    prepare(model) {
      freeze(model)
      unfreeze(model, head)
      return []
    },
  },
  {
    name: 'gradual',
    lr: 1e-3,
    prepare: (model) => [unfreezeGradually(model, { everyEpochs: Math.max(1, Math.floor(epochs / 4)) })],
  },
  {
    name: 'LoRA, rank 8',
    lr: 5e-3,
    prepare(model) {
      applyLora(model, { rank: 8, alpha: 16, targetModules: ['7'], modulesToSave: [head] })
      return []
    },
  },
]

console.log(`adapted to 5 to 9 with ${shots} examples of each, ${epochs} epochs`)
console.log('way             accuracy   trainable        of    seconds     peak MB')
const adapted = new Map<string, Network>()
for (const { name, lr, prepare } of ways) {
  const model = copy(base)
  const callbacks = prepare(model)
  const run = trainer(model, lr, callbacks)
  resetPeakMemory()
  const before = memory().bytes
  const begun = performance.now()
  await run.fit(new DataLoader(few, { batchSize: 20, shuffle: true, generator: new Generator(1) }), {
    epochs,
    progress: false,
  })
  const seconds = (performance.now() - begun) / 1000
  const peak = (memory().peakBytes - before) / 1e6
  const { accuracy } = await run.evaluate(new DataLoader(many, { batchSize: 500 }))
  const { trainable, total } = countParameters(model)
  console.log(
    `${name.padEnd(14)} ${accuracy.toFixed(4).padStart(9)} ${String(trainable).padStart(11)} ${String(total).padStart(9)} ${seconds.toFixed(2).padStart(10)} ${peak.toFixed(2).padStart(11)}`,
  )
  adapted.set(name, model)
}

// The adapter is saved in PEFT's files, and loaded into a fresh copy of the base.
const tuned = adapted.get('LoRA, rank 8') as Network
const folder = await mkdtemp(join(tmpdir(), 'adapter-'))
await saveAdapter(tuned, folder)
const fresh = copy(base)
await loadAdapter(fresh, folder)
await rm(folder, { recursive: true })

const [images] = await many.batch(Array.from({ length: 256 }, (_, i) => i))
const logits = (model: Network) => noGrad(() => model.eval().forward(images)).dataSync()
const largest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a, (x, i) => Math.abs(x - (b[i] as number))).reduce((m, x) => Math.max(m, x), 0)
const unmerged = logits(tuned)
console.log(`\nreloaded adapter: logits differ by ${largest(unmerged, logits(fresh))}`)
mergeLora(tuned)
console.log(`merged: logits differ by ${largest(unmerged, logits(tuned)).toExponential(2)}`)
unmergeLora(tuned)

// The kernels that a step runs and the memory that it keeps: frozen layers need no weight gradients, and frozen weights
// no activations.
const [input, labels] = await few.batch([0, 1, 2, 3])
console.log(
  '\none step of 4    kept for backward   backward kernels   weight gradients of convolutions   input gradients',
)
for (const name of ['full', 'frozen body', 'LoRA, rank 8']) {
  const model = (adapted.get(name) as Network).train()
  const loss = nn.functional.crossEntropy(model.forward(input), labels)
  const kept = savedForBackward(loss)
  const backward = trace(() => loss.backward())
  model.zeroGrad()
  const [weights, inputs] = [backward.count('conv2d_weight_gradient'), backward.count('conv2d_input_gradient')]
  console.log(
    `${name.padEnd(14)} ${`${(kept.bytes / 1e3).toFixed(1)} kB`.padStart(19)} ${String(backward.kernels.length).padStart(18)} ${String(weights).padStart(34)} ${String(inputs).padStart(17)}`,
  )
}
