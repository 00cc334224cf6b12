/**
 * Whole training steps in a graph. Replayed steps must give the bits of called ones, for each optimiser, with other rates,
 * dropout of several kinds, clipping, and copies in bfloat16. Steps that a graph cannot repeat must be refused, and
 * leave nothing behind. Anything else is an error.
 */
import assert from 'node:assert/strict'
import { device } from '../../lib/backend/devices.js'
import * as f from '../../lib/index.js'

const gpu = device('cuda') as f.Device & { readonly launches: number }
const on = { device: gpu }
const { nn, optim } = f

let state = 7
const numbers = (count: number) =>
  Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  })

interface Training {
  readonly model: f.nn.Module
  readonly optimizer: f.optim.Optimizer
  /** Writes the next batch, and sets the options of the next step. */
  prepare(step: number): void
  /** The step itself. */
  run(): void
  /** The numbers that the step has changed. */
  result(): number[]
}

/** The results of a training: the first step is called, and the others are captured or not. */
function train(make: () => Training, steps: number, captures: boolean): { results: number[][]; launches: number } {
  f.manualSeed(3)
  state = 7
  const { prepare, run, result, model, optimizer } = make()
  let graph: f.CudaGraph | null = null
  let launches = 0
  const results: number[][] = []
  for (let step = 0; step < steps; step++) {
    prepare(step)
    const before = gpu.launches
    if (!captures || step === 0) run()
    else if (graph === null) graph = f.captureGraph(run)
    else graph.replay()
    launches = gpu.launches - before
    // Numbers that are drawn in between must go on, too.
    results.push([...result(), f.defaultGenerator().random()])
  }
  graph?.dispose()
  results.push([...model.parameters()].flatMap((parameter) => [...parameter.dataSync()]))
  const slots = [...optimizer.stateDict().state].map(([name, { step, tensors }]) => [
    [name.length, step],
    ...Object.values(tensors as { [slot: string]: f.Tensor }).map((tensor) => [...tensor.dataSync()]),
  ])
  results.push(slots.flat(2) as number[])
  return { results, launches }
}

function compare(name: string, make: () => Training, steps = 3): void {
  const called = train(make, steps, false)
  const replayed = train(make, steps, true)
  assert.deepEqual(replayed.results, called.results, name)
  assert.equal(replayed.launches, 1, name)
  assert.ok(called.launches > 10, name)
  assert.ok(called.results.flat().every(Number.isFinite), name)
  const results = called.results.slice(0, steps).map(String)
  assert.equal(new Set(results).size, steps, `${name}: steps are all the same`)
}

type Make = (parameters: Iterable<f.nn.Parameter>) => f.optim.Optimizer

/** Two layers with dropout between them. The rate falls from step to step. */
function perceptron(optimizerOf: Make, low = false): () => Training {
  return () => {
    const model = new nn.Sequential(
      new nn.Linear(5, 8, on),
      new nn.GELU(),
      new nn.Dropout(0.5),
      // A second generator with the same seed is at the same positions, and still another one.
      new nn.Dropout(0.2, { generator: new f.Generator(3) }),
      new nn.Linear(8, 3, on),
    )
    const optimizer = optimizerOf(model.parameters())
    const x = f.zeros([6, 5], on)
    const target = f.zeros([6], { ...on, dtype: 'int32' })
    const kept: { loss: f.Tensor | null; norm: f.Tensor | null } = { loss: null, norm: null }
    return {
      model,
      optimizer,
      prepare(step) {
        f.noGrad(() => {
          x.copy_(f.fromTypedArray(numbers(30), [6, 5], on))
          target.copy_(
            f.fromTypedArray(
              Int32Array.from({ length: 6 }, (_, row) => (row + step) % 3),
              [6],
              on,
            ),
          )
        })
        for (const group of optimizer.paramGroups) group.lr *= 0.9
      },
      run() {
        optimizer.zeroGrad()
        f.scope(() => {
          const forward = () => f.crossEntropy(model.forward(x), target)
          const loss = low ? f.autocast('bfloat16', forward) : forward()
          loss.backward()
          kept.loss = f.keep(loss.detach())
        })
        kept.norm = f.keep(optim.clipGradNorm(model.parameters(), 0.5))
        optimizer.step()
      },
      result: () => [(kept.loss as f.Tensor).item() as number, (kept.norm as f.Tensor).item() as number],
    }
  }
}

const optimizers: { readonly [name: string]: Make } = {
  SGD: (p) => new optim.SGD([...p], { lr: 0.1 }),
  momentum: (p) => new optim.SGD([...p], { lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01 }),
  Adam: (p) => new optim.Adam([...p], { lr: 0.1, amsgrad: true }),
  AdamW: (p) => new optim.AdamW([...p], { lr: 0.1 }),
  Adamax: (p) => new optim.Adamax([...p], { lr: 0.1 }),
  NAdam: (p) => new optim.NAdam([...p], { lr: 0.1 }),
  RMSprop: (p) => new optim.RMSprop([...p], { lr: 0.1, centered: true, momentum: 0.5 }),
  Adagrad: (p) => new optim.Adagrad([...p], { lr: 0.1, lrDecay: 0.1 }),
  Adadelta: (p) => new optim.Adadelta([...p]),
  Lion: (p) => new optim.Lion([...p], { lr: 0.01 }),
}
for (const [name, make] of Object.entries(optimizers)) compare(name, perceptron(make))
// From the sixth step on the rate is rectified, by another flag of the same launch.
compare(
  'RAdam',
  perceptron((p) => new optim.RAdam([...p], { lr: 0.1 })),
  7,
)
compare(
  'bfloat16',
  perceptron((p) => new optim.AdamW([...p], { lr: 0.1 }), true),
)

/** Attention with dropout and lengths, recomputed in the backward pass, and two steps in one graph. */
function attending(): Training {
  const attention = new nn.MultiheadAttention(8, 2, { dropout: 0.3, ...on })
  const optimizer = new optim.AdamW(attention.parameters(), { lr: 0.01 })
  const x = f.zeros([2, 4, 8], on)
  const losses = f.zeros([2], on)
  const lengths = f.tensor([4, 3], { ...on, dtype: 'int32' })
  return {
    model: attention,
    optimizer,
    prepare: () => f.noGrad(() => void x.copy_(f.fromTypedArray(numbers(64), [2, 4, 8], on))),
    run() {
      for (const i of [0, 1]) {
        optimizer.zeroGrad()
        f.scope(() => {
          const attended = f.checkpoint((y) => attention.forward(y, y, y, { lengths }), x)
          const loss = attended.square().mean()
          loss.backward()
          f.noGrad(() => losses.narrow(0, i, 1).copy_(loss.detach().reshape([1])))
        })
        optimizer.step()
      }
    },
    result: () => [...losses.dataSync()],
  }
}
compare('attention', attending)

// A weight that the program writes reaches the copy that the graph reads.
for (const captures of [false, true]) {
  const weight = new nn.Parameter(f.full([4, 4], 1, on))
  const optimizer = new optim.SGD([weight], { lr: 0.5 })
  const x = f.full([2, 4], 1, on)
  const kept: { loss: f.Tensor | null } = { loss: null }
  const run = () => {
    optimizer.zeroGrad()
    const loss = f
      .autocast('bfloat16', () => f.linear(x, weight))
      .to('float32')
      .sum()
    loss.backward()
    kept.loss = f.keep(loss.detach())
    optimizer.step()
  }
  run()
  const graph = captures ? f.captureGraph(run) : null
  if (!captures) run()
  assert.equal((kept.loss as f.Tensor).item(), 0)
  const again = graph ? () => graph.replay() : run
  f.noGrad(() => weight.copy_(f.full([4, 4], 3, on)))
  again()
  assert.equal((kept.loss as f.Tensor).item(), 96)
  again()
  assert.equal((kept.loss as f.Tensor).item(), 64)
  assert.equal(weight.sum().item(), 16)
  graph?.dispose()
}

// The copy lives as long as the graph reads it, although only the step is called that would release an unread one.
{
  const weight = new nn.Parameter(f.full([4, 4], 1, on))
  const optimizer = new optim.SGD([weight], { lr: 1 })
  const x = f.full([2, 4], 1, on)
  const result: { sum: f.Tensor | null } = { sum: null }
  const pass = () => {
    optimizer.zeroGrad()
    const sum = f
      .autocast('bfloat16', () => f.linear(x, weight))
      .to('float32')
      .sum()
    sum.backward()
    result.sum = f.keep(sum.detach())
  }
  pass()
  optimizer.step()
  const graph = f.captureGraph(pass)
  for (const expected of [-32, -96, -160]) {
    assert.equal((result.sum as f.Tensor).item(), expected)
    optimizer.step()
    graph.replay()
  }
  graph.dispose()
}

const weight = new nn.Parameter(f.full([3], 1, on))
const fresh = new optim.AdamW([weight], { lr: 0.1 })
const sgd = new optim.SGD([weight], { lr: 0.1 })
const muon = new optim.Muon([new nn.Parameter(f.full([2, 2], 1, on))])
const onCpu = new optim.SGD([new nn.Parameter(f.full([2], 1, { device: 'cpu' }))], { lr: 1 })
for (const { parameters } of [muon, onCpu].map((each) => ({ parameters: each.parameters() })))
  for (const parameter of parameters) parameter.grad = parameter.detach().clone()
weight.grad = f.full([3], 1, on)
muon.step()
const x = f.full([300], 1, on)
const own = new f.Generator(5)
own.take(8)
const drawnBefore = f.dropout(new nn.Parameter(f.full([3], 1, on)), 0.5).sum()
for (const [refused, told] of [
  [() => fresh.step(), /\[AdamW\.step\] each replay would begin the state's mean anew; take one step before/],
  [() => muon.step(), /\[Muon\.step\] this optimiser updates by operators/],
  [() => onCpu.step(), /\[SGD\.step\] parameters are on cpu, but the graph is on cuda:0/],
  [() => void f.manualSeed(1), /the function sets the state of a generator/],
  [() => void own.loadStateDict({ seed: 5, stream: 0, offset: 0 }), /the function sets the state of a generator/],
  [() => void f.rand([3], { ...on, generator: new f.Generator(1) }), /a generator that it makes/],
  [() => void f.rand([3], { ...on, generator: own.split() }), /a generator that it makes/],
  [() => drawnBefore.backward(), /a random position that was drawn before/],
] as const)
  assert.throws(
    () => f.captureGraph(refused),
    (error) => error instanceof f.ValueError && told.test(error.message),
    String(told),
  )

// A failed capture takes back the steps and random numbers that it counted.
sgd.step()
const stepOf = (optimizer: f.optim.Optimizer) => [...optimizer.stateDict().state.values()].map(({ step }) => step)
const failing = () =>
  f.captureGraph(() => {
    f.dropout(x, 0.5, { generator: own })
    sgd.step()
    sgd.step()
    throw new RangeError('mine')
  })
assert.throws(failing, RangeError)
assert.deepEqual(stepOf(sgd), [1])
assert.deepEqual(own.stateDict(), { seed: 5, stream: 0, offset: 2 })

// A replay is refused, and then changes nothing, if the program no longer has what was captured.
const adam = new optim.AdamW([weight], { lr: 0.1 })
adam.step()
const saved = adam.stateDict()
const sum: { of: f.Tensor | null } = { of: null }
const stepping = f.captureGraph(() => {
  sum.of = f.dropout(x, 0.5, { generator: own }).sum()
  sgd.step()
  adam.step()
})
stepping.replay()
assert.deepEqual([...stepOf(sgd), ...stepOf(adam)], [3, 3])
const before = [...weight.dataSync()]
const refuse = (told: RegExp) => {
  const { offset } = own.stateDict()
  assert.throws(
    () => stepping.replay(),
    (error) => error instanceof f.ValueError && told.test(error.message),
    String(told),
  )
  assert.deepEqual(stepOf(sgd), [3])
  assert.equal(own.stateDict().offset, offset)
  assert.deepEqual([...weight.dataSync()], before)
}
const group = adam.paramGroups[0] as f.optim.AdamOptions
group.lr = Number.NaN
refuse(/\[AdamW\] .*lr is NaN/s)
Object.assign(group, { lr: 0.1, amsgrad: true })
refuse(/\[AdamW\.step\] the state of a parameter was replaced, or options ask for another one/)
group.amsgrad = false
adam.loadStateDict(saved)
refuse(/\[AdamW\.step\] the state of a parameter was replaced/)
stepping.dispose()
