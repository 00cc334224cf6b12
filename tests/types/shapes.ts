/** Programs that compile, programs that do not, and the resulting types. tsc checks them; nothing here runs. */
import { nn, ones, randn, type Shape, type SingleFloat, type Tensor, tensor, zeros } from '../../lib/index.js'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
declare function same<A, B>(equal: Equal<A, B>): void
/** float32, because creation functions make that unless told otherwise. */
type Float<S extends Shape> = Tensor<S, SingleFloat>
declare const batch: Tensor<[32, 784]>
declare const anyRows: Tensor<[number, 784]>
declare const images: Tensor<[32, 3, 28, 28]>
declare const unknownRank: Tensor

export function creation(): void {
  const z = zeros([2, 3])
  same<typeof z, Float<[2, 3]>>(true)
  const r = randn([4])
  same<typeof r, Float<[4]>>(true)
  const scalar = ones([])
  same<typeof scalar, Float<[]>>(true)
  const rows: number = 5
  const open = zeros([rows, 3])
  same<typeof open, Float<[number, 3]>>(true)
}

export function linear(): void {
  const layer = new nn.Linear(784, 10)
  same<typeof layer, nn.Linear<784, 10>>(true)
  const y = layer.forward(batch)
  same<typeof y, Tensor<[32, 10]>>(true)
  const open = layer.forward(anyRows)
  same<typeof open, Tensor<[number, 10]>>(true)
  // Deeper tensors keep all dimensions but the last.
  const deep = layer.forward(zeros([2, 5, 784]))
  same<typeof deep, Float<[2, 5, 10]>>(true)
  layer.forward(unknownRank)
  // @ts-expect-error 100 features into a layer that takes 784
  layer.forward(zeros([32, 100]))
  // @ts-expect-error the weight is [out, in]
  const wrong: nn.Linear<10, 784> = layer
  void wrong
}

export function matmul(): void {
  const product = batch.matmul(zeros([784, 10]))
  same<typeof product, Tensor<[32, 10]>>(true)
  const batched = zeros([8, 5, 3]).matmul(zeros([3, 4]))
  same<typeof batched, Float<[8, 5, 4]>>(true)
  batch.matmul(unknownRank)
  // @ts-expect-error 784 against 100
  batch.matmul(zeros([100, 10]))
  // @ts-expect-error the last size against the second to last, not the first
  batch.matmul(zeros([784, 10, 784]))
}

export function broadcasting(): void {
  const row = zeros([2, 3]).add(zeros([3]))
  same<typeof row, Float<[2, 3]>>(true)
  const outer = zeros([4, 1]).mul(zeros([1, 5]))
  same<typeof outer, Float<[4, 5]>>(true)
  const scalar = zeros([2, 3]).sub(1)
  same<typeof scalar, Float<[2, 3]>>(true)
  const wider = zeros([3]).add(zeros([7, 1, 3]))
  same<typeof wider, Float<[7, 1, 3]>>(true)
  const open = anyRows.add(batch)
  same<typeof open, Tensor<[32, 784]>>(true)
  const unknown = unknownRank.add(batch)
  same<typeof unknown, Tensor>(true)
}

export function pointwise(): void {
  const y = batch.relu().mul(2).add(1).tanh()
  same<typeof y, Tensor<[32, 784]>>(true)
  const reshaped = batch.reshape([32, 28, 28])
  same<typeof reshaped, Tensor<[32, 28, 28]>>(true)
  const inferred = tensor([1, 2, 3])
  same<typeof inferred, Tensor>(true)
}

export function sequential(): void {
  const { Sequential, Linear, Conv2d, ReLU, Dropout, Flatten, MaxPool2d, BatchNorm2d, LayerNorm } = nn
  new Sequential(new Linear(784, 128), new ReLU(), new Dropout(0.1), new Linear(128, 10))
  // biome-ignore format: one line a stage
  new Sequential(
    new Conv2d(3, 32, 3), new BatchNorm2d(32), new ReLU(), new MaxPool2d(2),
    new Conv2d(32, 64, 3), new ReLU(), new Flatten(),
    new Linear(3136, 128), new LayerNorm(128), new Linear(128, 10),
  )
  // A size that only the running program knows fits every layer.
  const hidden: number = 77
  new Sequential(new Linear(784, hidden), new ReLU(), new Linear(128, 10))
  // A list of layers does so too.
  const layers: nn.Layer[] = [new Linear(3, 4), new ReLU()]
  new Sequential(...layers)
  // @ts-expect-error 128 features into a layer that takes 64
  new Sequential(new Linear(784, 128), new ReLU(), new Linear(64, 10))
  // @ts-expect-error 32 channels into a convolution that takes 16
  new Sequential(new Conv2d(3, 32, 3), new ReLU(), new MaxPool2d(2), new Conv2d(16, 64, 3))
  // @ts-expect-error 32 channels into the statistics of 64
  new Sequential(new Conv2d(3, 32, 3), new BatchNorm2d(64))
  // @ts-expect-error a number is no layer
  new Sequential(new Linear(784, 128), 3)
}

export function convolution(): void {
  const layer = new nn.Conv2d(3, 32, 3)
  same<typeof layer, nn.Conv2d<3, 32, 3>>(true)
  same<typeof layer, nn.Conv2d<3, 32, 3, 1, 0, 1>>(true)
  layer.forward(images)
  // Fields that are declared without the kernel accept any kernel.
  const declared: nn.Conv2d<3, 32> = new nn.Conv2d(3, 32, 5, { padding: 'same' })
  const any: nn.Conv2d = declared
  const pool: nn.MaxPool2d = new nn.MaxPool2d(3, { stride: 2 })
  const flat: nn.Flatten = new nn.Flatten(0)
  void [any, pool, flat]
  const pooled = new nn.MaxPool2d(2, { returnIndices: true }).forward(images)
  same<typeof pooled, [out: Tensor, indices: Tensor<Shape, 'int32'>]>(true)
  // @ts-expect-error no such option
  new nn.MaxPool2d(2, { padding: 1, strides: 2 })
  // @ts-expect-error no such option
  new nn.Conv2d(3, 32, 3, { padding: 1, strides: 2 })
  // @ts-expect-error a stride of three sizes
  new nn.Conv2d(3, 32, 3, { stride: [1, 1, 1] })
}

/** Shapes through layers: known, unknown, and those that must not compile. */
export function shapesThroughLayers(): void {
  const { Sequential, Linear, Conv2d, Conv1d, ReLU, Flatten, MaxPool2d, AdaptiveAvgPool2d, BatchNorm2d, GroupNorm } = nn
  const net = Sequential.for(
    [1, 28, 28],
    new Conv2d(1, 32, 3, { padding: 1 }),
    new ReLU(),
    new MaxPool2d(2),
    new Conv2d(32, 64, 3, { padding: 1 }),
    new ReLU(),
    new MaxPool2d(2),
    new Flatten(),
    new Linear(3136, 128),
    new ReLU(),
    new Linear(128, 10),
  )
  const logits = net.forward(zeros([16, 1, 28, 28]))
  same<typeof logits, Tensor<[16, 10]>>(true)
  const open: number = 16
  const some = net.forward(zeros([open, 1, 28, 28]))
  same<typeof some, Tensor<[number, 10]>>(true)
  const unknown = net.forward(unknownRank)
  same<typeof unknown, Tensor>(true)
  // Width, stride and other numbers are known only to the running program, so the sizes after them are unknown, and
  // fit.
  const loose = new Sequential(new Conv2d(1, 8, 3, { stride: open }), new Flatten(), new Linear(77, 10))
  const fromLoose = loose.forward(zeros([2, 1, 28, 28]))
  same<typeof fromLoose, Tensor<[2, 10]>>(true)
  const between = new Sequential(new Conv2d(1, 8, open)).forward(zeros([2, 1, 28, 28]))
  same<typeof between, Tensor<[2, 8, number, number]>>(true)
  new Sequential(new Conv2d(1, 8, 3), new Flatten(), new Linear(open, 10)).forward(zeros([2, 1, 28, 28]))
  const either = new Sequential(new Conv2d(1, open > 3 ? 8 : 16, 3), new ReLU(), new Conv2d(16, 4, 3))
  either.forward(zeros([2, 1, 28, 28]))
  // `Module` stands for any model, and a user's class may have its own forward.
  const served: nn.Model = net
  const any: nn.Sequential = net
  class Own extends Sequential {
    override forward(x: Tensor): Tensor {
      return super.forward(x)
    }
  }
  void [served, any, Own]
  // The shape of a Sequential that is built by `append` is not known.
  const built = new Sequential()
  built.append(new Linear(3, 4))
  const fromBuilt = built.forward(zeros([2, 3]))
  same<typeof fromBuilt, Tensor>(true)
  new Sequential(built, new Linear(77, 3))
  // Without a batch.
  const single = new Sequential(new Conv2d(3, 8, 3), new Flatten(0), new Linear(5408, 2)).forward(zeros([3, 28, 28]))
  same<typeof single, Tensor<[2]>>(true)
  new Sequential(new Conv1d(4, 8, 3), new ReLU(), new GroupNorm(4, 8), new Conv1d(8, 2, 1))
  const volume = new Sequential(
    new nn.Conv3d(1, 8, 3, { stride: [1, 2, 2], padding: [1, 0, 0] }),
    new nn.BatchNorm3d(8),
    new nn.MaxPool3d(2),
    new nn.ConvTranspose3d(8, 4, [1, 2, 3], { stride: 2 }),
    new nn.AdaptiveAvgPool3d([null, 2, 1]),
  ).forward(zeros([2, 1, 6, 28, 29]))
  same<typeof volume, Tensor<[2, 4, 5, 2, 1]>>(true)
  // @ts-expect-error 8 channels of volumes into a layer that takes 4
  Sequential.for([1, 4, 8, 8], new nn.Conv3d(1, 8, 3), new nn.Conv3d(4, 2, 1))
  // @ts-expect-error 784 features into a layer that takes 3136
  Sequential.for([1, 28, 28], new Flatten(), new Linear(3136, 10))
  // @ts-expect-error images of another size
  net.forward(zeros([16, 1, 32, 32]))
  // @ts-expect-error images of another number of channels
  net.forward(zeros([16, 3, 28, 28]))
  // @ts-expect-error one number of features too many
  new Sequential(new Conv2d(3, 64, 7), new BatchNorm2d(64), new AdaptiveAvgPool2d(1), new Flatten(), new Linear(65, 10))
  // @ts-expect-error rows into a convolution of images
  Sequential.for([28], new Linear(28, 10), new Conv2d(1, 2, 3))
  // @ts-expect-error 64 channels from within into a layer that takes 32
  new Sequential(new Sequential(new Conv2d(3, 64, 7), new ReLU()), new Conv2d(32, 64, 3))
  // @ts-expect-error 32 channels into a layer that takes 64
  new Sequential(new Conv2d(3, 32, 7), new ReLU(), new GroupNorm(4, 64))
  // @ts-expect-error a group norm says how many channels it gives
  new Sequential(new GroupNorm(4, 64), new ReLU(), new Conv2d(32, 64, 3))
}

export function options(): void {
  // @ts-expect-error no such option
  new nn.Linear(3, 4, { biass: false })
  // @ts-expect-error no such dtype
  zeros([2], { dtype: 'int64' })
  // @ts-expect-error a shape holds numbers
  zeros(['2'])
  // @ts-expect-error shapes are read only
  batch.shape = [32, 784]
}
