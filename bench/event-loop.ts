/** Measures how long the event loop is blocked while the Trainer trains. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { DataLoader, type Device, fromTypedArray, nn, optim, type Tensor, TensorDataset, Trainer } from 'firesteel'
import { cnn } from './models.js'

const side = 28
/**
 * The segments of each digit on a seven-segment display: top, upper left, upper right, middle, lower left, lower right,
 * bottom.
 */
const segments = [
  0b1110111, 0b0010010, 0b1011101, 0b1011011, 0b0111010, 0b1101011, 0b1101111, 0b1010010, 0b1111111, 0b1111011,
]
/** x, y, width, height */
const bars = [
  [8, 4, 12, 3],
  [7, 4, 3, 10],
  [18, 4, 3, 10],
  [8, 12, 12, 3],
  [7, 13, 3, 10],
  [18, 13, 3, 10],
  [8, 21, 12, 3],
] as const

/** Digits of seven segments, each displaced by a few pixels. */
function digits(count: number, device: Device): TensorDataset<readonly [Tensor, Tensor]> {
  const images = new Float32Array(count * side * side)
  const labels = new Int32Array(count)
  for (let i = 0; i < count; i++) {
    labels[i] = i % 10
    const [dx, dy] = [(i % 5) - 2, (i % 7) - 3]
    for (const [segment, [x, y, width, height]] of bars.entries()) {
      if ((((segments[i % 10] as number) >> (6 - segment)) & 1) === 0) continue
      for (let row = 0; row < height; row++)
        for (let column = 0; column < width; column++) images[(i * side + y + dy + row) * side + x + dx + column] = 1
    }
  }
  return new TensorDataset(
    fromTypedArray(images, [count, 1, side, side], { device }),
    fromTypedArray(labels, [count], { device }),
  )
}

export interface EventLoopDelay {
  /** Milliseconds. */
  readonly percentile99: number
  readonly longest: number
  readonly steps: number
  readonly loss: number
}

/** Trains the bench's CNN and watches the event loop meanwhile. */
export async function measureEventLoop(device: Device): Promise<EventLoopDelay> {
  const count = 128 * 40
  const model = cnn({ device })
  const trainer = new Trainer(model, {
    optimizer: new optim.AdamW(model.parameters(), { lr: 1e-3 }),
    loss: nn.functional.crossEntropy,
  })
  const loader = new DataLoader(digits(count, device), { batchSize: 128, shuffle: true })
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const { epochs } = await trainer.fit(loader, { epochs: 2, progress: false })
  delay.disable()
  return {
    percentile99: delay.percentile(99) / 1e6,
    longest: delay.max / 1e6,
    steps: 2 * loader.length,
    loss: epochs.at(-1)?.loss ?? Number.NaN,
  }
}
