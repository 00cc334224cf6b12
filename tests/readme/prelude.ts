/** The names that the README's programs use without defining them, which a reader would have. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  DataLoader,
  manualSeed,
  nn,
  optim,
  rand,
  randint,
  randn,
  type Tensor,
  TensorDataset,
  Trainer,
} from '../../lib/index.js'

process.chdir(mkdtempSync(join(tmpdir(), 'firesteel-readme-')))
manualSeed(1)

export const makeModel = () => new nn.Sequential(new nn.Linear(16, 8), new nn.ReLU(), new nn.Linear(8, 4))
export const model = makeModel()
export const input = randn([3, 16])
export const target = randint(0, 4, [3])
export const loader = new DataLoader(new TensorDataset(randn([12, 16]), randint(0, 4, [12])), { batchSize: 4 })
export const x = randn([32, 784])
export const batches = [{ x, labels: randint(0, 10, [32]) }] as const
export const paths = ['a', 'b', 'c']
export const readPixels = async (path: string) => Uint8Array.from({ length: 16 }, () => path.charCodeAt(0))
export const ids = randint(0, 3, [2, 5])
export const sentences = [5, 3].map((length) => ({
  ids: randint(0, 50, [2, length]),
  labels: randint(0, 3, [2, length]),
}))
export const embedded = randn([2, 5, 16])
export const [q, k, v] = [randn([1, 2, 4]), randn([1, 2, 4]), randn([1, 2, 4])] as const
export const logits: Tensor = randn([4, 3], { requiresGrad: true })
export const labels = randint(0, 3, [4])
export const served: nn.Model = makeModel()

/** The network and trainer of the README's first program, with smaller data. */
const network = () =>
  new nn.Sequential(
    ...[
      new nn.Conv2d(1, 4, 3, { padding: 1 }),
      new nn.ReLU(),
      new nn.MaxPool2d(2),
      new nn.Conv2d(4, 4, 3),
      new nn.ReLU(),
    ],
    ...[new nn.MaxPool2d(2), new nn.Flatten(), new nn.Linear(4, 8), new nn.ReLU(), new nn.Linear(8, 4)],
  )
export const digits = network()
/** Another model, without adapters. */
export const pretrained = network()
export const few = new DataLoader(new TensorDataset(rand([8, 1, 8, 8]), randint(0, 4, [8])), { batchSize: 4 })
export const trainer = new Trainer(digits, {
  optimizer: new optim.AdamW(digits.parameters()),
  loss: nn.functional.crossEntropy,
})
