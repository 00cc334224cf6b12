// TypeScript reads this with nothing but the installed declarations.
import { nn, randn, type Tensor } from 'firesteel'
import { type ImageDataset, idx } from 'firesteel/datasets'
import { freeze } from 'firesteel/finetune'

const layer = new nn.Linear(3, 2)
const y: Tensor<readonly [4, 2]> = layer.forward(randn([4, 3]))
// @ts-expect-error the sizes differ
layer.forward(randn([4, 5]))
export const frozen: number = freeze(layer)
export const read = async (): Promise<ImageDataset> => (await idx('digits')).train
export const first: number = y.size(0)
