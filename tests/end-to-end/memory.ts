/**
 * One scenario of the memory check, in its own process: `memory.mjs SCENARIO STEPS`, bundled. Prints one line of JSON with
 * the memory that the process held along the way (resident size, `memory()`); measure.ts says what is allowed.
 *
 * A step makes about 2 MB of garbage in tensors of 256 KB. 5,000 steps make 10 GB, so that memory that is not freed is
 * noticed.
 */
import { resourceUsage } from 'node:process'
import {
  crossEntropy,
  defaultDevice,
  fromTypedArray,
  memory,
  nn,
  noGrad,
  OutOfMemoryError,
  optim,
  scope,
  type Tensor,
  Trainer,
  zeros,
} from '../../lib/index.js'

const rows = 1024
const features = 64
const classes = 10

/** A model that throws in the middle of its forward pass. */
class Thrower extends nn.Module {
  forward(x: Tensor): Tensor {
    x.mul(2).relu()
    throw new Error('on purpose')
  }
}

function makeModel(middle: nn.Layer = new nn.ReLU()): nn.Sequential {
  const { Sequential, Linear, ReLU } = nn
  return new Sequential<readonly nn.Layer[]>(
    new Linear(features, features),
    new ReLU(),
    new Linear(features, features),
    middle,
    new Linear(features, classes),
  )
}

const x = fromTypedArray(
  Float32Array.from({ length: rows * features }, (_, i) => Math.sin(i * 0.7)),
  [rows, features],
)
const labels = fromTypedArray(
  Int32Array.from({ length: rows }, (_, i) => (i * 7) % classes),
  [rows],
)

type Step = () => unknown

/** Runs the step, which must throw its deliberate error. */
function midway(step: Step): Step {
  return () => {
    try {
      step()
    } catch (error) {
      if ((error as Error).message === 'on purpose') return
      throw error
    }
    throw new Error('the step did not throw')
  }
}

function makeTraining(middle?: nn.Layer): { readonly model: nn.Sequential; readonly step: Step } {
  const model = makeModel(middle)
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 })
  const step = () => {
    const loss = crossEntropy(model.forward(x), labels)
    loss.backward()
    optimizer.step()
    optimizer.zeroGrad()
  }
  return { model, step }
}

/** Makes the step of a scenario. Scenarios have their own loop, with scopes only if they are about scopes. */
const scenarios: { readonly [name: string]: () => Step } = {
  plain: () => makeTraining().step,
  microtasks: () => makeTraining().step,
  evaluation: () => {
    const model = makeModel().eval()
    return () =>
      noGrad(() =>
        crossEntropy(model.forward(x), labels).add(model.forward(x).argmax(1).eq(labels).to('float32').sum()),
      )
  },
  'throws in forward': () => midway(makeTraining(new Thrower()).step),
  'throws in backward': () => {
    const { model, step } = makeTraining()
    const first = model.at(0) as nn.Linear
    first.weight.registerHook(() => {
      throw new Error('on purpose')
    })
    return midway(() => {
      try {
        step()
      } finally {
        model.zeroGrad()
      }
    })
  },
  'throws in scope': () => {
    const { model } = makeTraining()
    return midway(() =>
      scope(() => {
        crossEntropy(model.forward(x), labels).backward()
        model.zeroGrad()
        throw new Error('on purpose')
      }),
    )
  },
}

export interface Sample {
  readonly step: number
  readonly rss: number
  readonly heap: number
  readonly bytes: number
  readonly tensors: number
}

export interface Outcome {
  readonly steps: number
  readonly seconds: number
  readonly device: string
  readonly samples: readonly Sample[]
  readonly peakRss: number
  /** The numbers of tensors that lived before and after the steps, each after a collection of all garbage. */
  readonly tensorsBefore: number
  readonly tensorsAfter: number
}

/**
 * The number of tensors left without garbage: a request that cannot be met makes the device collect before it refuses.
 */
function survivors(): number {
  try {
    zeros([2 ** 50])
  } catch (error) {
    if (error instanceof OutOfMemoryError) return memory().tensors
    throw error
  }
  throw new Error('four petabytes were given')
}

function sample(step: number): Sample {
  const { heapUsed, rss } = process.memoryUsage()
  const { bytes, tensors } = memory()
  return { step, rss, heap: heapUsed, bytes, tensors }
}

async function measure(name: string, steps: number): Promise<Outcome> {
  const make = scenarios[name]
  if (make === undefined) throw new Error(`no scenario ${name}`)
  const step = make()
  step()
  const tensorsBefore = survivors()
  const samples: Sample[] = []
  const every = Math.max(1, Math.floor(steps / 100))
  const started = performance.now()
  for (let i = 1; i <= steps; i++) {
    step()
    if (name === 'microtasks') await null
    if (i % every === 0) samples.push(sample(i))
  }
  const seconds = (performance.now() - started) / 1000
  const peakRss = resourceUsage().maxRSS * 1024
  return { steps, seconds, device: defaultDevice().name, samples, peakRss, tensorsBefore, tensorsAfter: survivors() }
}

/** Objects of about this many bytes that stay, as an application's own data does. */
function ballast(bytes: number): unknown {
  const held: unknown[] = []
  while (process.memoryUsage().heapUsed < bytes)
    for (let i = 0; i < 20_000; i++)
      held.push({ id: held.length, name: `item ${held.length}`, tags: [i, i + 1], next: held[held.length - 1] })
  return held
}

let held: unknown = null

/** Answers each message of the parent with the time that this many steps of the Trainer took. */
function serveTrainer(heapBytes: number): void {
  // The heap gets a tenth more, because some of what is counted is garbage.
  held = heapBytes > 0 ? ballast(1.1 * heapBytes) : null
  const model = makeModel()
  const trainer = new Trainer(model, {
    optimizer: new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 }),
    loss: crossEntropy,
  })
  process.on('message', (count: number) => {
    if (count === 0) {
      process.send?.({ tensors: survivors(), heap: process.memoryUsage().heapUsed, held: held !== null })
      return
    }
    const batches = Array.from({ length: count }, () => [x, labels] as const)
    const started = performance.now()
    trainer.fit(batches, { progress: false }).then(
      () => process.send?.({ seconds: (performance.now() - started) / 1000, sample: sample(count) }),
      (error: unknown) => {
        throw error
      },
    )
  })
  process.send?.({ ready: true })
}

const [, , name = 'plain', count = '1000'] = process.argv
if (name === 'trainer') serveTrainer(Number(count))
else process.stdout.write(`${JSON.stringify(await measure(name, Number(count)))}\n`)
