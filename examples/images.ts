/**
 * Tells circles, squares and triangles apart, in a folder of pictures that it draws first.
 *
 * Shows: a folder with a folder for each class, augmentation by worker threads, cutmix and mixup, a part of each class
 * that is held back, and restored best weights. Needs sharp: npm install sharp
 * Usage: npx tsx examples/images.ts [--folder DIR] [--epochs 30] [--workers 1]
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import {
  DataLoader,
  earlyStopping,
  Generator,
  manualSeed,
  nn,
  noGrad,
  optim,
  scope,
  splitRows,
  Trainer,
} from 'firesteel'
import {
  augment,
  colorJitter,
  cutmix,
  imageFolder,
  mixup,
  normalize,
  randomCrop,
  randomErasing,
  randomHorizontalFlip,
  randomRotation,
} from 'firesteel/images'
import sharp from 'sharp'

const { values: options } = parseArgs({
  options: {
    folder: { type: 'string' },
    epochs: { type: 'string', default: '30' },
    workers: { type: 'string', default: '1' },
  },
})
manualSeed(0)
const side = 24

/** Draws a shape at a random place in the picture, in a random colour on another. */
async function draw(shape: string, path: string, random: Generator): Promise<void> {
  const colour = (low: number) => `rgb(${Array.from({ length: 3 }, () => random.randint(low, low + 100)).join()})`
  const radius = random.randint(5, 9)
  const [x, y] = [random.randint(radius, side - radius), random.randint(radius, side - radius)]
  const drawn = {
    circle: `<circle cx="${x}" cy="${y}" r="${radius}"/>`,
    square: `<rect x="${x - radius}" y="${y - radius}" width="${2 * radius}" height="${2 * radius}"/>`,
    triangle: `<path d="M${x} ${y - radius} l${radius} ${2 * radius} h${-2 * radius} z"/>`,
  }[shape]
  const svg = `<svg width="${side}" height="${side}"><rect width="100%" height="100%" fill="${colour(0)}"/><g fill="${colour(150)}">${drawn}</g></svg>`
  await sharp(Buffer.from(svg)).png().toFile(path)
}

async function drawAll(folder: string, each: number): Promise<void> {
  for (const [stream, shape] of ['circle', 'square', 'triangle'].entries()) {
    await mkdir(join(folder, shape), { recursive: true })
    const random = new Generator(7, stream)
    for (let i = 0; i < each; i++) await draw(shape, join(folder, shape, `${i}.png`), random)
  }
}

const drawn = options.folder === undefined ? await mkdtemp(join(tmpdir(), 'firesteel-shapes-')) : null
if (drawn !== null) await drawAll(drawn, 80)
// Pictures of any size are resized to one size, which the drawn ones already have.
const pictures = await imageFolder(options.folder ?? (drawn as string), { resize: [side, side] })
const { train, validation } = splitRows(pictures, { validation: 0.25, stratify: pictures.labels, seed: 0 })

const classes = pictures.classes.length
const seen = train.map(
  augment(
    randomCrop(side, { padding: 2 }),
    randomHorizontalFlip(),
    randomRotation(15, { interpolation: 'bilinear' }),
    colorJitter({ brightness: 0.2, saturation: 0.2 }),
    normalize({ mean: 0.5, std: 0.25 }),
    randomErasing({ p: 0.25, scale: [0.02, 0.1] }),
  ),
)
const batches = new DataLoader(seen, {
  batchSize: 20,
  shuffle: true,
  workers: Number(options.workers),
  mix: [cutmix(1, { classes }), mixup(0.2, { classes })],
})
const held = new DataLoader(validation.map(augment(normalize({ mean: 0.5, std: 0.25 }))), { batchSize: 60 })

const model = new nn.Sequential(
  new nn.Conv2d(3, 16, 3, { padding: 1 }),
  new nn.ReLU(),
  new nn.MaxPool2d(2),
  new nn.Conv2d(16, 32, 3, { padding: 1 }),
  new nn.ReLU(),
  new nn.MaxPool2d(2),
  new nn.Flatten(),
  new nn.Linear(32 * (side / 4) ** 2, 64),
  new nn.ReLU(),
  new nn.Linear(64, classes),
)
const trainer = new Trainer(model, {
  optimizer: new optim.AdamW(model.parameters(), { lr: 4e-3 }),
  loss: nn.functional.crossEntropy,
  callbacks: [earlyStopping({ monitor: 'validation.loss', patience: 6, restoreBest: true })],
})
const { epochs } = await trainer.fit(batches, {
  epochs: Number(options.epochs),
  validation: held,
  progress: false,
})
for (const { epoch, loss, validation: tested } of epochs)
  console.log(`epoch ${epoch}: loss ${loss.toFixed(3)}, of held pictures ${tested?.loss.toFixed(3)}`)

let right = 0
for await (const [images, labels] of held)
  right += noGrad(() => scope(() => model.forward(images).argmax(1).eq(labels).sum().item()))
console.log(`accuracy on ${validation.length} held pictures ${(right / validation.length).toFixed(2)}`)
if (drawn !== null) await rm(drawn, { recursive: true })
