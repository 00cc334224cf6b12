/**
 * Programs as a newcomer writes them, without a cast, and variants that must not compile. tsc checks them; nothing here
 * runs.
 */
import {
  arange,
  type Batch,
  type Callback,
  cat,
  crossEntropy,
  customOperator,
  DataLoader,
  type DType,
  type EpochRecord,
  earlyStopping,
  eq,
  fromTypedArray,
  type Metric,
  matmul,
  mean,
  metrics,
  mul,
  nn,
  noGrad,
  ones,
  optim,
  type PassRecord,
  rand,
  randint,
  randn,
  relu,
  type Shape,
  type SingleFloat,
  scope,
  sum,
  type Tensor,
  Trainer,
  tensor,
  where,
  zeros,
} from '../../lib/index.js'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
declare function same<A, B>(equal: Equal<A, B>): void
declare const someNumber: number
declare const someDType: DType
declare const someText: string
declare const unknown: Tensor
declare const batches: readonly Batch[]
declare const measured: Metric<nn.LstmResult>

export function tying(): void {
  const head = new nn.Linear(64, 1000)
  const table = new nn.Embedding(1000, 64)
  head.weight = table.weight
  table.weight = head.weight
  // Sizes of a running program, and fields that are declared without sizes.
  const open = new nn.Linear(64, someNumber)
  open.weight = new nn.Embedding(someNumber, 64).weight
  const declared: nn.Linear = new nn.Linear(64, 1000)
  declared.weight = table.weight
  const anyTable: nn.Embedding = table
  declared.weight = anyTable.weight
  same<typeof table, nn.Embedding<1000, 64>>(true)
  // @ts-expect-error 1000 rows beside 10 features
  new nn.Linear(64, 10).weight = table.weight
  // @ts-expect-error the other way round
  new nn.Linear(1000, 64).weight = table.weight
  // @ts-expect-error a vector is no matrix
  head.weight = head.bias
}

class Doubled extends nn.Module {
  forward(x: Tensor): Tensor {
    return x.mul(2)
  }
}

class Pair extends nn.Module {
  forward({ left, right }: { readonly left: Tensor; readonly right: Tensor }): Tensor {
    return left.add(right)
  }
}

export function models(): void {
  const serve = (model: nn.Model, x: Tensor): Tensor => noGrad(() => model.forward(x))
  serve(new Doubled(), unknown)
  serve(new nn.Linear(3, 4), unknown)
  serve(new nn.Conv2d(3, 4, 3), unknown)
  serve(new nn.TransformerEncoderLayer(8, 2), unknown)
  const built = new nn.Sequential(new nn.Linear(3, 4), new nn.ReLU())
  serve(built, unknown)
  let served: nn.Model = built
  served = new Doubled().eval()
  void served.parameters()
  const pair: nn.Model<{ readonly left: Tensor; readonly right: Tensor }> = new Pair()
  void pair.forward({ left: unknown, right: unknown })
  const lstm: nn.Model<Tensor, nn.LstmResult> = new nn.LSTM(3, 4)
  void lstm.forward(unknown).output
  new Trainer(served, { optimizer: new optim.SGD(served.parameters(), { lr: 1 }), loss: crossEntropy })
  // @ts-expect-error gives a result of several tensors
  serve(new nn.LSTM(3, 4), unknown)
  // @ts-expect-error cannot be called
  served = new nn.Parameter(unknown)
  // @ts-expect-error a number is no tensor
  served.forward(3)
}

export function sequences(): void {
  const net = new nn.Sequential(new nn.Linear(3, 4), new nn.ReLU(), new nn.Linear(4, 2))
  same<typeof net, nn.Sequential<readonly [nn.Linear<3, 4>, nn.ReLU, nn.Linear<4, 2>]>>(true)
  same<number, ReturnType<typeof net.at<0>>['inFeatures']>(false)
  const first = net.at(0)
  same<typeof first, nn.Linear<3, 4>>(true)
  const last = net.at(-1)
  same<typeof last, nn.Linear<4, 2>>(true)
  const before = net.at(-3)
  same<typeof before, nn.Linear<3, 4>>(true)
  // Later layers may have been appended.
  const appended = net.at(9)
  same<typeof appended, nn.Layer | undefined>(true)
  const none = net.at(-4)
  same<typeof none, nn.Layer | undefined>(true)
  const some = net.at(someNumber)
  same<typeof some, nn.Layer | undefined>(true)
  const listed = new nn.Sequential(...([new nn.ReLU()] as nn.Layer[])).at(0)
  same<typeof listed, nn.Layer | undefined>(true)
  // @ts-expect-error ReLU has no weight
  void net.at(1).weight
}

export function functionsAndRecordsInSequences(): void {
  const net = new nn.Sequential(
    new nn.LSTM(3, 4),
    (x) => x.mul(2),
    relu,
    new nn.GRU(4, 4),
    new nn.Recurrent(new nn.GRUCell(4, 4)),
    new nn.LSTMCell(4, 5),
    new nn.MultiheadAttention(5, 1),
    new nn.Linear(5, 2),
    (x: Tensor) => [x, 3] as const,
  )
  same<ReturnType<typeof net.forward>, Tensor>(true)
  const model: nn.Model = net
  void model
  const first = net.at(0)
  same<typeof first, nn.LSTM<3, 4, false, 0>>(true)
  const named = net.at(2)
  same<typeof named, nn.Lambda<typeof relu>>(true)
  net
    .append((x) => x.relu())
    .insert(0, new nn.ReLU())
    .set(-1, relu)
    .extend([new nn.GRU(3, 3), (x) => x.add(1)])
  const last = net.pop()
  same<typeof last, nn.Layer>(true)
  same<ReturnType<typeof net.slice>, nn.Sequential>(true)
  // @ts-expect-error a number is nothing to pass on
  new nn.Sequential((x: Tensor) => x.numel)
  // @ts-expect-error a class is no layer
  new nn.Sequential(nn.ReLU)
  // @ts-expect-error nothing to pass on
  net.append((x) => ({ logits: x }))
}

export function dictionaries(): void {
  const heads = new nn.ModuleDict({ words: new nn.Linear(3, 4), lengths: new nn.LSTM(3, 1) })
  const words = heads.get('words')
  same<typeof words, nn.Linear<3, 4>>(true)
  void heads.get('lengths').forward(unknown).state
  for (const [key, head] of heads) {
    same<typeof key, 'words' | 'lengths'>(true)
    void head.parameters()
  }
  heads.set('words', new nn.Linear(3, 4)).delete('lengths')
  new nn.ModuleDict<{ words: nn.Linear }>({ words: new nn.Linear(3, 4) }).set('words', new nn.Linear(3, 5))
  const open = new nn.ModuleDict<{ [name: string]: nn.Model }>()
  const called: Tensor = open.set(someText, new nn.ReLU()).get(someText).forward(unknown)
  const scales = new nn.ParameterDict({ a: new nn.Parameter(zeros([2])) })
  const shape = scales.get('a')
  same<typeof shape, nn.Parameter<[2]>>(true)
  const list = new nn.ParameterList([new nn.Parameter(zeros([2])), new nn.Parameter(zeros([3]))])
  let sum: Tensor = called
  for (const each of list) sum = sum.add(each)
  // @ts-expect-error no such key
  void heads.get('word')
  // @ts-expect-error another class
  heads.set('words', new nn.ReLU())
  // @ts-expect-error a module is no parameter
  new nn.ParameterList([new nn.ReLU()])
}

/** A model is anything with a typed forward. The loss and the metrics of its Trainer take its output. */
export async function outputs(): Promise<void> {
  const model = new nn.LSTM(3, 4)
  const optimizer = new optim.SGD(model.parameters(), { lr: 1 })
  const trainer = new Trainer(model, {
    optimizer,
    loss: ({ output, state: [h] }, target) => nn.functional.mseLoss(output.add(h), target),
    metrics: { last: (): Metric<nn.LstmResult> => measured },
  })
  const { epochs } = await trainer.fit(batches)
  void epochs[0]?.last.toFixed(2)
  // @ts-expect-error the loss takes a tensor, but the model gives a record
  new Trainer(model, { optimizer, loss: crossEntropy })
  // @ts-expect-error the metric takes a tensor
  new Trainer(model, { optimizer, loss: ({ output }) => output, metrics: { accuracy: metrics.accuracy } })
}

/** A variable of a loop needs no declaration if the step keeps its shape. */
export function carrying(): void {
  const [gru, rnn, lstm] = [new nn.GRUCell(3, 4), new nn.RNNCell(3, 4), new nn.LSTMCell(3, 4)]
  const steps: readonly Tensor[] = []
  let h = zeros([2, 4])
  for (const x of steps) h = gru.forward(x, h)
  for (const x of steps) h = rnn.forward(x, h)
  let [hidden, memory] = [zeros([2, 4]), zeros([2, 4])]
  for (const x of steps) [hidden, memory] = lstm.forward(x, [hidden, memory])
  let total = zeros([])
  for (const _ of steps) total = total.add(h.sum()).add(hidden.mean())
  let open = lstm.forward(unknown)
  for (const x of steps) open = lstm.forward(x, open)
  let mean = zeros([4])
  for (let i = 0; i < 3; i++) mean = mean.mul(0.9).add(ones([4]).mul(0.1))
  void [h, hidden, memory, total, open, mean]
  // @ts-expect-error the state keeps its shape
  h = gru.forward(unknown, zeros([3, 4]))
}

export async function records(): Promise<void> {
  const model = new nn.Linear(3, 4)
  const optimizer = new optim.Adam(model.parameters())
  const trainer = new Trainer(model, {
    optimizer,
    loss: crossEntropy,
    metrics: { accuracy: metrics.accuracy, ignoring: metrics.accuracy({ ignoreIndex: 3 }) },
    callbacks: [
      earlyStopping(),
      { onEpochEnd: (epoch) => void [epoch.accuracy.toFixed(2), epoch.validation?.ignoring.toFixed(2)] },
    ],
  })
  const { epochs } = await trainer.fit(batches)
  for (const epoch of epochs) {
    same<typeof epoch.accuracy, number>(true)
    same<(typeof epoch)['loss'], number>(true)
    same<typeof epoch.validation, PassRecord<'accuracy' | 'ignoring'> | undefined>(true)
    void [epoch.validation?.accuracy.toFixed(2), epoch['accuracy'].toFixed(2), epoch.lr.toFixed(2)]
  }
  void trainer.history.epochs[0]?.accuracy.toFixed(2)
  const { loss, accuracy } = await trainer.evaluate(batches)
  void [loss.toFixed(2), accuracy.toFixed(2)]
  // A record with unknown metrics may have a number under any name, and belongs to any Trainer.
  const print = (epoch: EpochRecord, pass: PassRecord) => [
    Number(epoch['accuracy']).toFixed(2),
    epoch.validation?.['accuracy']?.toFixed(2),
    pass['accuracy']?.toFixed(2),
    epoch.loss.toFixed(2),
  ]
  for (const epoch of epochs) print(epoch, await trainer.evaluate(batches))
  const precise = (epoch: EpochRecord<'accuracy'>) => epoch.accuracy.toFixed(2)
  void epochs.map(precise)
  const callback: Callback = { onEpochEnd: (epoch) => void Number(epoch['accuracy']).toFixed(2) }
  const measuring: Callback<'accuracy'> = { onEpochEnd: (epoch) => void epoch.accuracy.toFixed(2) }
  new Trainer(model, {
    optimizer,
    loss: crossEntropy,
    metrics: { accuracy: metrics.accuracy },
    callbacks: [callback, measuring],
  })
  const anyTrainer: Trainer = trainer
  void (await anyTrainer.fit(batches)).epochs[0]?.loss.toFixed(2)
  // @ts-expect-error nothing measures that
  void trainer.history.epochs[0]?.precision
  // @ts-expect-error nothing measures that, however it is read
  void trainer.history.epochs[0]?.['precision']
  // @ts-expect-error nor in the validation
  void trainer.history.epochs[0]?.validation?.['precision']
  // @ts-expect-error the validation may be missing
  void epochs[0]?.validation.accuracy
  // @ts-expect-error no metric
  new Trainer(model, { optimizer, loss: crossEntropy, metrics: { accuracy: 3 } })
}

/** A loss is one number, unless it is asked for the loss of each row. */
export function losses(): void {
  const [scores, labels] = [randn([4, 3]), randint(0, 3, [4])]
  const loss = crossEntropy(scores, labels)
  same<typeof loss, Tensor<[]>>(true)
  same<ReturnType<typeof loss.item>, number>(true)
  const summed = crossEntropy(scores, labels, { reduction: 'sum', labelSmoothing: 0.1 })
  same<typeof summed, Tensor<[]>>(true)
  const total: Tensor<[]> = sum(scores)
    .add(mean(scores))
    .add(nn.functional.klDiv(scores, scores, { reduction: 'batchmean' }))
  void total.add(loss).backward()
  const rows = crossEntropy(scores, labels, { reduction: 'none' })
  same<typeof rows, Tensor>(true)
  // @ts-expect-error a loss for each row is not one number
  const one: Tensor<[]> = crossEntropy(scores, labels, { reduction: 'none' })
  // @ts-expect-error an option that there is not
  crossEntropy(scores, labels, { reductoin: 'sum' })
  void one
}

/** The batches of a fit are those that the Trainer's step takes. */
export async function steps(): Promise<void> {
  const model = new nn.Linear(3, 2)
  const optimizer = new optim.SGD(model.parameters(), { lr: 1 })
  const named = new DataLoader([{ x: [1, 2, 3], y: 0 }], { batchSize: 1 })
  const trainer = new Trainer(model, {
    optimizer,
    step: ({ x, y }: { readonly x: Tensor; readonly y: Tensor }) => ({
      total: crossEntropy(model.forward(x), y, { reduction: 'sum' }),
      count: 1,
    }),
  })
  await trainer.fit(named)
  const others = new DataLoader([{ x: [1, 2, 3], label: 0 }], { batchSize: 1 })
  // @ts-expect-error the step takes y, but the batches have label
  await trainer.fit(others)
  // @ts-expect-error so it is in a loop of one's own
  for await (const _ of trainer.steps(others));
  // @ts-expect-error and in a validation
  await trainer.fit(named, { validation: others })
}

export async function values(): Promise<void> {
  const floats = randn([2, 3])
  same<ReturnType<typeof floats.dataSync>, Float32Array>(true)
  const read = await floats.data()
  same<typeof read, Float32Array>(true)
  const rows = floats.toArray()
  same<typeof rows, number[][]>(true)
  const one = zeros([]).toArray()
  same<typeof one, number>(true)
  const item = floats.sum().item()
  same<typeof item, number>(true)
  const whole = tensor([1, 2], { dtype: 'int32' }).dataSync()
  same<typeof whole, Int32Array>(true)
  const drawn = randint(0, 9, [4])
  same<ReturnType<typeof drawn.dataSync>, Int32Array>(true)
  same<ReturnType<typeof drawn.toArray>, number[]>(true)
  const bytes = ones([4], { dtype: 'uint8' }).dataSync()
  same<typeof bytes, Uint8Array>(true)
  const wide = rand([4], { dtype: 'float64' }).dataSync()
  same<typeof wide, Float64Array>(true)
  // 16-bit floats are read as float32, and autocast uses them without a change of type.
  const half = zeros([4], { dtype: 'bfloat16' })
  same<typeof half, Tensor<[4], SingleFloat>>(true)
  same<ReturnType<typeof half.dataSync>, Float32Array>(true)
  const copied = fromTypedArray(new Int32Array(6), [2, 3])
  same<typeof copied, Tensor<[2, 3], 'int32'>>(true)
  const truths = floats.gt(0)
  same<typeof truths, Tensor<[2, 3], 'bool'>>(true)
  same<ReturnType<typeof truths.toArray>, boolean[][]>(true)
  const counted = truths.sum().dataSync()
  same<typeof counted, Int32Array>(true)
  const largest = floats.argmax(1).dataSync()
  same<typeof largest, Int32Array>(true)
  const converted = floats.to('int32')
  same<typeof converted, Tensor<[2, 3], 'int32'>>(true)
  const moved = drawn.to('reference')
  same<typeof moved, Tensor<[4], 'int32'>>(true)
  const either = drawn.to(someText)
  same<typeof either, Tensor<[4]>>(true)
  const counting = arange(5).toArray()
  same<typeof counting, number[]>(true)
  // Operators keep the dtype, views too.
  const through = new nn.Linear(3, 4)
    .forward(
      floats
        .relu()
        .add(1)
        .mul(randn([3])),
    )
    .reshape([8])
  same<typeof through, Tensor<[8], SingleFloat>>(true)
  const [left, right] = floats.split([1, 2], 1)
  same<typeof right, Tensor<Shape, SingleFloat>>(true)
  const pieces = floats.split(1, 1)
  same<typeof pieces, Tensor<Shape, SingleFloat>[]>(true)
  void left
  // @ts-expect-error two sizes give two pieces
  const [, , third] = floats.split([1, 2], 1)
  void third
  const picked = cat([drawn, drawn.narrow(0, 1, 2)]).dataSync()
  same<typeof picked, Int32Array>(true)
  // If nothing is known, the result is a union.
  const any = unknown.dataSync()
  same<typeof any, Float32Array | Float64Array | Int32Array | Uint8Array>(true)
  same<ReturnType<typeof unknown.item>, number>(true)
  const chosen = zeros([2], { dtype: someDType })
  same<typeof chosen, Tensor<[2]>>(true)
  // @ts-expect-error integers are no floats
  const wrong: Float32Array = drawn.dataSync()
  // @ts-expect-error two dimensions
  const flat: number[] = floats.toArray()
  void [wrong, flat]
}

export function sizes(): void {
  const x = zeros([2, 3, 4])
  const first = x.size(0)
  same<typeof first, 2>(true)
  const last = x.size(-1)
  same<typeof last, 4>(true)
  const some = x.size(someNumber)
  same<typeof some, number>(true)
  const open = zeros([someNumber, 3]).size(0)
  same<typeof open, number>(true)
  const any = unknown.size(1)
  same<typeof any, number>(true)
  void unknown.reshape([unknown.size(0), unknown.size(1) * unknown.size(2)])
  // A size that does not exist is never returned, because reading it throws.
  const none = x.size(3)
  same<typeof none, never>(true)
  // @ts-expect-error no dimension has a name
  void x.size('rows')
}

export function misfits(): void {
  const x = randn([2, 3])
  // @ts-expect-error 3 beside 4
  void x.add(randn([4]))
  // @ts-expect-error 2 beside 3, though the last sizes fit
  void x.mul(randn([3, 3]))
  // @ts-expect-error a comparison broadcasts too
  void x.lt(randn([2, 4]))
  // @ts-expect-error as a function
  void mul(x, randn([4]))
  // @ts-expect-error as a function
  void eq(x, randn([4]))
  // @ts-expect-error three dimensions, of which the last but one does not fit
  void x.maximum(randn([5, 4, 3]))
  // Shapes that fit, or may fit.
  void [
    x.add(1),
    x.add(randn([3])),
    x.add(randn([1, 3])),
    x.add(randn([2, 1])),
    x.add(randn([7, 2, 3])),
    x.add(randn([])),
  ]
  void [x.add(unknown), unknown.add(x), x.add(randn([someNumber])), mul(2, x), mul(x, 2), eq(x, 2)]
  const numberOrTensor = someNumber > 0 ? someNumber : unknown
  void [x.add(numberOrTensor), mul(x, numberOrTensor)]
  const scalar = x.add(randn([]))
  same<typeof scalar, Tensor<[2, 3], SingleFloat>>(true)
}

export function optimizers(): void {
  const model = new Doubled()
  let optimizer: optim.Optimizer = new optim.Adam(model.parameters())
  optimizer = new optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9 })
  const all: readonly optim.Optimizer[] = [optimizer, new optim.AdamW(model.parameters())]
  for (const one of all) one.step()
  for (const group of optimizer.paramGroups) group.lr *= 0.5
  // @ts-expect-error only Adam has betas
  void optimizer.paramGroups[0]?.betas
}

/** A variable that will hold tensors of other shapes is declared as `Tensor`. */
export function reassigning(): void {
  const layers = [new nn.Linear(784, 64), new nn.Linear(64, 10)]
  let x: Tensor = randn([32, 784])
  for (const layer of layers) x = relu(layer.forward(x))
  x = x.add(randn([10])).matmul(zeros([10, 3]))
  x = new nn.Linear(3, 4).forward(randn([2, 3]))
  x = x.add(x)
  x = x.gt(0)
  x = where(x, zeros([2]), 1)
  const list: Tensor[] = [x, randn([2]), randint(0, 2, [2]), new nn.Parameter(randn([3]))]
  const named = new Map<string, Tensor>([['x', randn([2, 3])]])
  void [list, named, scope(() => x.mul(randn([1])))]
  // Operators that keep shape and dtype need no declaration.
  let same = randn([4, 4])
  same = same
    .mul(0.9)
    .add(randn([4]))
    .relu()
    .matmul(same)
  same = new nn.Linear(4, 4).forward(same).softmax(-1)
  let ids = tensor([[1, 2]], { dtype: 'int32' })
  for (let i = 0; i < 3; i++) ids = cat([ids, unknown.argmax(-1).unsqueeze(0)], 1)
  // @ts-expect-error another shape
  same = randn([4, 5])
  // @ts-expect-error another dtype
  ids = randn([2, 2])
  // @ts-expect-error what is not known may be of any shape
  same = unknown
}

/** Functions of any shape. Operands of the same unknown shape fit. */
export function generic<S extends Shape>(x: Tensor<S>, y: Tensor<S>, layer: nn.Linear): Tensor<S> {
  const mixed: Tensor = mul(x, y)
  const compared: Tensor = eq(x, y)
  void [mixed, compared, layer.forward(x), x.gt(y)]
  return x.add(y).mul(2).relu().sub(x)
}

/** A layer of tensors with unknown shapes, as most are within a model, needs neither type arguments nor casts. */
export class Block extends nn.Module {
  readonly norm = new nn.LayerNorm(8)
  readonly first: nn.Linear
  readonly second = new nn.Linear(16, 8)
  readonly weight = new nn.Parameter(randn([8, 8]))

  constructor(features: number) {
    super()
    this.first = new nn.Linear(features, 16)
  }

  forward(x: Tensor): Tensor {
    const hidden: Tensor = nn.functional.linear(this.norm.forward(x.add(x)), this.weight)
    same<ReturnType<typeof hidden.add<Tensor>>, Tensor<Shape, DType>>(true)
    const y = x.add(this.second.forward(nn.functional.gelu(this.first.forward(hidden))))
    same<typeof y, Tensor>(true)
    const product = matmul(x, y)
    same<typeof product, Tensor>(true)
    return this.norm.forward(y.add(product).mul(y).sub(1))
  }
}

/** Layers of unlike classes in a table or list, called by their common type. */
export function layersByName(): Tensor[] {
  const layers = new Map<string, nn.Model>([
    ['linear', new nn.Linear(3, 2)],
    ['act', new nn.ReLU()],
    ['embedding', new nn.Embedding(3, 2)],
    ['conv', new nn.Conv2d(1, 2, 3)],
    ['inner', new nn.Sequential(new nn.Linear(3, 2), new nn.ReLU())],
  ])
  const list = new nn.ModuleList<nn.Model>([...layers.values()])
  const called = [layers.get('act')?.forward(ones([2])), list.at(0)?.forward(ones([1, 3]))]
  return called.filter((found) => found !== undefined)
}

export function operatorsOfSeveralOutputs(): void {
  const both = customOperator({
    name: 'both',
    forward: (_, a: Tensor, b: Tensor) => ({ output: [a.add(b), a.mul(b)], saved: { a, b } }),
    backward({ saved: { a, b } }, sum, product) {
      same<typeof sum, Tensor | null>(true)
      return [product?.mul(b) ?? sum, product?.mul(a) ?? sum]
    },
  })
  const [added, product] = both(unknown, unknown)
  same<typeof added, Tensor>(true)
  void product.relu()
  // @ts-expect-error there are two outputs
  void both(unknown, unknown)[2]
  customOperator({
    name: 'two',
    forward: (_, a: Tensor) => ({ output: [a, a], saved: null }),
    // @ts-expect-error there are two outputs, so two gradients
    backward: (_, _sum, _product, third) => [third],
  })
}

export function operatorsThatSaveNothing(): void {
  const doubled = customOperator({
    name: 'doubled',
    forward: (_, a: Tensor) => ({ output: a.mul(2) }),
    backward: ({ saved }, gradient) => {
      same<typeof saved, unknown>(true)
      return [gradient.mul(2)]
    },
  })
  void doubled(unknown).relu()
  const clamped = customOperator({
    name: 'clamped',
    forward: ({ needs }, a: Tensor, floor: number) =>
      needs[0] === true ? { output: a.clamp(floor), saved: { a, floor } } : { output: a.clamp(floor) },
    backward: ({ saved: { a, floor } }, gradient) => [where(a.gt(floor), gradient, 0), null],
  })
  void clamped(unknown, 0).relu()
}

export function lengthsOfSequences(): void {
  const lengths = [3, 2]
  void new nn.LSTM(4, 2).forward(unknown, { lengths }).state[0].relu()
  void new nn.GRU(4, 2).forward(unknown, { lengths: unknown }).state.relu()
  void new nn.RNN(4, 2).forward(unknown, unknown, { lengths }).output.relu()
  void new nn.Recurrent(new nn.GRUCell(4, 2)).forward(unknown, { lengths }).state.relu()
  void new nn.Recurrent(new nn.LSTMCell(4, 2)).forward(unknown, [unknown, unknown], { lengths }).state[1].relu()
  // @ts-expect-error an LSTM has two states
  void new nn.LSTM(4, 2).forward(unknown, unknown)
  // @ts-expect-error there is no such option
  void new nn.GRU(4, 2).forward(unknown, { length: lengths })
}
