/**
 * Trains a small convolutional network on handwritten digits.
 *
 * Usage: npm start [-- --data DIR] [--epochs N], where DIR is a folder of IDX files (default: the MNIST digits).
 */
import { parseArgs } from 'node:util'
import { DataLoader, describeDevice, earlyStopping, manualSeed, metrics, nn, optim, Trainer } from 'firesteel'
import { idx, mnist } from 'firesteel/datasets'

const { values } = parseArgs({ options: { data: { type: 'string' }, epochs: { type: 'string', default: '3' } } })

manualSeed(0)
const { train, test } = values.data ? await idx(values.data) : await mnist()
const [channels, height, width] = train.shape
const classes = Math.max(train.classes, test.classes)
console.log(
  `${train.length} images to train, ${test.length} to test, ${channels} x ${height} x ${width}, ${classes} classes`,
)
console.log(describeDevice())

const model = nn.Sequential.for(
  train.shape,
  new nn.Conv2d(channels, 32, 3, { padding: 1 }),
  new nn.ReLU(),
  new nn.MaxPool2d(2),
  new nn.Conv2d(32, 64, 3, { padding: 1 }),
  new nn.ReLU(),
  new nn.MaxPool2d(2),
  new nn.Flatten(),
  new nn.Linear(64 * (height >> 2) * (width >> 2), 128),
  new nn.ReLU(),
  new nn.Linear(128, classes),
)
const trainer = new Trainer(model, {
  optimizer: new optim.AdamW(model.parameters(), { lr: 1e-3, weightDecay: 0.01 }),
  loss: nn.functional.crossEntropy,
  metrics: { accuracy: metrics.accuracy() },
  callbacks: [
    earlyStopping({ monitor: 'validation.loss', patience: 2, restoreBest: true }),
    {
      onEpochEnd: ({ epoch, loss, seconds, validation }) =>
        console.log(
          `epoch ${epoch + 1}: loss ${loss.toFixed(4)}, test accuracy ${validation?.accuracy.toFixed(4)}, ${seconds.toFixed(1)} s`,
        ),
    },
  ],
})
await trainer.fit(new DataLoader(train, { batchSize: 128, shuffle: true }), {
  epochs: Number(values.epochs),
  validation: new DataLoader(test, { batchSize: 256 }),
})
const { accuracy } = await trainer.evaluate(new DataLoader(test, { batchSize: 256 }))
console.log(`test accuracy ${accuracy.toFixed(4)}`)
