// The first steps of examples/digits.ts, on the bytes of MNIST's files, in Node and in browsers.
import { DataLoader, describeDevice, manualSeed, nn, optim, Trainer } from 'firesteel'
import { ImageDataset } from 'firesteel/datasets'

/** The losses, and what ran them. */
export async function firstSteps(images, labels, steps) {
  manualSeed(0)
  const normalised = { mean: 0.1307, std: 0.3081 }
  const train = new ImageDataset(images.subarray(16), labels.subarray(8), [1, 28, 28], normalised)
  const model = new nn.Sequential(
    new nn.Conv2d(1, 32, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Conv2d(32, 64, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new nn.Linear(64 * 7 * 7, 128),
    new nn.ReLU(),
    new nn.Linear(128, 10),
  )
  const losses = []
  const trainer = new Trainer(model, {
    optimizer: new optim.AdamW(model.parameters(), { lr: 1e-3, weightDecay: 0.01 }),
    loss: nn.functional.crossEntropy,
    callbacks: [{ onStep: async ({ loss }) => void losses.push(await loss()) }],
  })
  const began = performance.now()
  await trainer.fit(new DataLoader(train, { batchSize: 128, shuffle: true }), { epochs: 1, steps })
  return { device: describeDevice(), losses, seconds: (performance.now() - began) / 1000 }
}
