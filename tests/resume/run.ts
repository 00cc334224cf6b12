/**
 * One run of a kind, in its own process, which may be killed at any time. It continues from the folder's newest
 * checkpoint, and prints a hash of everything that it leaves. Usage: node --import tsx run.ts KIND FOLDER. Without a
 * folder it runs without interruption.
 */
import { createHash } from 'node:crypto'
import { applyLora, causalLM, quantize } from '../../lib/finetune/index.js'
import {
  arange,
  type CheckpointOptions,
  crossEntropy,
  DataLoader,
  earlyStopping,
  FunctionDataset,
  Generator,
  manualSeed,
  metrics,
  nn,
  type Objective,
  optim,
  rand,
  randint,
  stack,
  type Tensor,
  TensorDataset,
  Trainer,
  tensor,
} from '../../lib/index.js'
import { llama } from '../../lib/models/index.js'

const [kind = '', folder = ''] = process.argv.slice(2)
const checkpoints = (also: CheckpointOptions['also'] = {}): { checkpoints?: CheckpointOptions } =>
  folder === '' ? {} : { checkpoints: { folder, every: 2, keep: 2, also } }
const resume = folder === '' ? {} : { resume: 'auto' as const }

manualSeed(3)

/**
 * Images with noise drawn for each row, a convolutional network with batch norm and dropout, and averages of its
 * weights.
 */
async function cnn() {
  const generator = new Generator(1)
  const images = rand([96, 1, 8, 8], { generator })
  // Each row has its own noise, so that earlier draws do not matter.
  const noisy = (i: number) => images.select(0, i).add(rand([1, 8, 8], { generator: new Generator(i) }).mul(0.1))
  const seen = new FunctionDataset(
    96,
    (i) => ({ x: noisy(i), y: i % 4 }),
    (rows: readonly { readonly x: Tensor; readonly y: number }[]) =>
      [
        stack(rows.map(({ x }) => x)),
        tensor(
          rows.map(({ y }) => y),
          { dtype: 'int32' },
        ),
      ] as const,
  )
  const model = new nn.Sequential(
    new nn.Conv2d(1, 8, 3, { padding: 1 }),
    new nn.BatchNorm2d(8),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Dropout(0.2),
    new nn.Flatten(),
    new nn.Linear(128, 4),
  )
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.9, nesterov: true })
  const average = new optim.WeightAverage(model, optim.ema(0.9))
  const validation = [[images.narrow(0, 0, 32), arange(32).to('int32').remainder(4)] as const]
  const trainer = new Trainer(model, {
    optimizer,
    loss: crossEntropy,
    metrics: { accuracy: metrics.accuracy },
    schedule: new optim.CosineAnnealingLR(optimizer, { tMax: 120 }),
    callbacks: [{ onStep: () => average.update() }, earlyStopping({ patience: 9, restoreBest: true })],
    ...checkpoints({ average }),
  })
  const loader = new DataLoader(seen, { batchSize: 16, shuffle: true })
  const history = await trainer.fit(loader, { epochs: 20, validation, progress: false, ...resume })
  return { tensors: [...model.stateDict().values(), ...average.stateDict().tensors.values()], history }
}

/** Sequences, by an objective whose count depends on the data. */
async function lstm() {
  class Tagger extends nn.Module {
    readonly embedding = new nn.Embedding(20, 8)
    readonly lstm = new nn.LSTM(8, 12, { dropout: 0.2, numLayers: 2, batchFirst: true })
    readonly head = new nn.Linear(12, 5)
    forward(ids: Tensor): Tensor {
      return this.head.forward(this.lstm.forward(this.embedding.forward(ids)).output)
    }
  }
  const model = new Tagger()
  const optimizer = new optim.AdamW(model.parameters(), { lr: 0.01 })
  const tagging: Objective<Tagger, readonly [Tensor, Tensor], 'accuracy'> = {
    loss(model, [ids, labels]) {
      const [output, target] = [model.forward(ids).flatten(0, 1), labels.flatten()]
      const total = crossEntropy(output, target, { reduction: 'sum', ignoreIndex: 0 })
      return { total, count: target.ne(0).sum(), output, target }
    },
    metrics: { accuracy: () => metrics.accuracy({ ignoreIndex: 0 }) },
  }
  const trainer = new Trainer(model, { optimizer, objective: tagging, clipGradNorm: 1, ...checkpoints() })
  const generator = new Generator(2)
  const data = new TensorDataset(randint(1, 20, [60, 9], { generator }), randint(0, 5, [60, 9], { generator }))
  const history = await trainer.fit(new DataLoader(data, { batchSize: 8, shuffle: true }), {
    steps: 150,
    validation: [data.batch([0, 1, 2, 3])],
    validateEvery: 20,
    progress: false,
    ...resume,
  })
  return { tensors: [...model.stateDict().values()], history }
}

/** A transformer under autocast, with several batches in a step. */
async function gpt() {
  class Gpt extends nn.Module {
    readonly tokens = new nn.Embedding(30, 16)
    readonly positions = new nn.Embedding(12, 16)
    readonly layers = new nn.ModuleList(
      [0, 1].map(() => new nn.TransformerEncoderLayer(16, 2, { dropout: 0.1, dimFeedforward: 32 })),
    )
    readonly head = new nn.Linear(16, 30)
    forward(ids: Tensor): Tensor {
      const places = tensor(
        Array.from({ length: ids.size(1) }, (_, i) => i),
        { dtype: 'int32' },
      )
      let x: Tensor = this.tokens.forward(ids).add(this.positions.forward(places))
      for (const layer of this.layers) x = layer.forward(x, { isCausal: true })
      return this.head.forward(x)
    }
  }
  const model = new Gpt()
  const optimizer = new optim.AdamW(model.parameters(), { lr: 0.003 })
  const trainer = new Trainer(model, {
    optimizer,
    step: (ids: Tensor) => {
      const logits = model.forward(ids.narrow(1, 0, 11)).flatten(0, 1)
      return {
        total: crossEntropy(logits, ids.narrow(1, 1, 11).flatten(), { reduction: 'sum' }),
        count: ids.size(0) * 11,
      }
    },
    schedule: new optim.WarmupCosineLR(optimizer, { warmupSteps: 5, totalSteps: 120 }),
    accumulate: 3,
    clipGradNorm: 1,
    precision: 'bfloat16',
    ...checkpoints(),
  })
  const ids = randint(0, 30, [70, 12], { generator: new Generator(4) })
  const rows = Array.from({ length: 70 }, (_, i) => ids.select(0, i))
  const history = await trainer.fit(new DataLoader(rows, { batchSize: 4, shuffle: true }), {
    epochs: 20,
    progress: false,
    ...resume,
  })
  return { tensors: [...model.stateDict().values()], history }
}

/** Weights in blocks of 4 bits, which stay as they are, and adapters beside them that learn. */
async function qlora() {
  const model = llama({ vocabSize: 30, layers: 2, width: 64, heads: 4, keyHeads: 2, inner: 128, context: 12 })
  quantize(model, 'nf4')
  applyLora(model, { rank: 4, alpha: 8, dropout: 0.1, targetModules: 'all-linear' })
  const learning = [...model.parameters()].filter(({ requiresGrad }) => requiresGrad)
  const optimizer = new optim.AdamW(learning, { lr: 0.003 })
  const trainer = new Trainer(model, {
    optimizer,
    objective: causalLM(),
    schedule: new optim.WarmupCosineLR(optimizer, { warmupSteps: 5, totalSteps: 48 }),
    accumulate: 2,
    clipGradNorm: 1,
    precision: 'bfloat16',
    checkpointing: true,
    ...checkpoints(),
  })
  const ids = randint(0, 30, [48, 12], { generator: new Generator(6) })
  const rows = Array.from({ length: 48 }, (_, i) => ({ ids: ids.select(0, i) }))
  const history = await trainer.fit(new DataLoader(rows, { batchSize: 4, shuffle: true }), {
    epochs: 8,
    progress: false,
    ...resume,
  })
  return { tensors: [...model.stateDict().values()], history }
}

const kinds: {
  readonly [kind: string]: () => Promise<{
    tensors: Tensor[]
    history: { epochs: readonly object[]; validations: readonly object[] }
  }>
} = { cnn, lstm, gpt, qlora }
console.log('begun')
const { tensors, history } = await (kinds[kind] as () => ReturnType<typeof cnn>)()
const hash = createHash('sha256')
for (const x of tensors) hash.update(new Uint8Array(x.dataSync().slice().buffer))
const told = history.epochs.map(({ seconds: _seconds, ...rest }: { seconds?: number }) => rest)
hash.update(JSON.stringify([told, history.validations]))
console.log(`hash ${hash.digest('hex')} peak ${process.resourceUsage().maxRSS}`)
