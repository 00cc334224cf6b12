/** Functions that change many tensors check all of them first. A freed one is named, and the others stay unchanged. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { applyLora, mergeLora, quantize, saveAdapter, unmergeLora } from '../../lib/finetune/index.js'
import {
  DisposedError,
  Generator,
  loadCheckpoint,
  nn,
  noGrad,
  ones,
  optim,
  StateDictError,
  saveCheckpoint,
  saveTensors,
  type Tensor,
  ValueError,
  zeros,
} from '../../lib/index.js'

const folder = mkdtempSync(join(tmpdir(), 'firesteel-refused-'))
const width = 32

/** A model of three layers with gradients, an optimiser with states and an average of its weights. */
function made(adapted = false) {
  const model = new nn.Sequential(new nn.Linear(width, width), new nn.Linear(width, width), new nn.Linear(width, 2))
  if (adapted) {
    applyLora(model, { rank: 1, targetModules: 'all-linear' })
    for (const [name, parameter] of model.namedParameters()) if (name.includes('lora')) noGrad(() => parameter.fill_(1))
  }
  const optimizer = new optim.AdamW(model.parameters(), { lr: 0.1 })
  const average = new optim.WeightAverage(model, optim.swa())
  average.update()
  model
    .forward(ones([1, width]))
    .sum()
    .backward()
  optimizer.step()
  return { model, optimizer, average }
}

type Made = ReturnType<typeof made>

const bits = (tensor: Tensor): unknown =>
  tensor.storage.freed ? 'freed' : [tensor.dtype, [...tensor.detach().to('float32').dataSync()]]

/** All numbers that an entry could change. */
function everything({ model, optimizer, average }: Made): unknown {
  const parameters = model.namedParameters()
  const { state, groups } = optimizer.stateDict()
  const { counts, tensors } = average.stateDict()
  return {
    weights: parameters.map(([name, parameter]) => [name, bits(parameter), parameter.requiresGrad]),
    gradients: parameters.map(([, parameter]) => parameter.grad && bits(parameter.grad)),
    states: [...state].map(([name, { step, tensors: own }]) => [name, step, Object.values(own).map(bits)]),
    groups,
    averages: [...tensors].map(([name, tensor]) => [name, counts.get(name), bits(tensor)]),
  }
}

const parameter = ({ model }: Made, name: string): Tensor => new Map(model.namedParameters()).get(name) as Tensor
const gradient = (all: Made, name: string): Tensor => parameter(all, name).grad as Tensor
const averaged = ({ average }: Made, name: string): Tensor => average.stateDict().tensors.get(name) as Tensor

/** The state of another model. If `name` is given, that tensor is freed. */
function otherState(name?: string): Map<string, Tensor> {
  const state = new Map([...made().model.stateDict()].map(([key, tensor]) => [key, tensor.clone()]))
  if (name !== undefined) state.get(name)?.dispose()
  return state
}

const weights = join(folder, 'weights.safetensors')
await saveTensors(weights, otherState())
const unused = join(folder, 'unused')

interface Entry {
  readonly gone?: (all: Made) => Tensor
  readonly adapted?: boolean
  readonly begin?: (all: Made) => void
  readonly change: (all: Made) => unknown
  /** The error's name for the tensor. */
  readonly called: string
}

const bias = (all: Made) => parameter(all, '1.bias')
const entries: { readonly [name: string]: Entry } = {
  load: { gone: bias, change: ({ model }) => model.load(weights), called: '1.bias' },
  loadStateDict: { gone: bias, change: ({ model }) => model.loadStateDict(otherState()), called: '1.bias' },
  'loadStateDict of a state with a gap': {
    change: ({ model }) => model.loadStateDict(otherState('1.bias')),
    called: '1.bias',
  },
  save: { gone: bias, change: ({ model }) => model.save(unused), called: '1.bias' },
  saveTensors: { change: () => saveTensors(unused, otherState('1.bias')), called: '1.bias' },
  saveCheckpoint: { gone: bias, change: ({ model }) => saveCheckpoint(unused, { model }), called: '1.bias' },
  saveAdapter: {
    adapted: true,
    gone: (all) => parameter(all, '1.lora_A.default.weight'),
    change: ({ model }) => saveAdapter(model, unused),
    called: '1.lora_A',
  },
  'to a dtype': { gone: bias, change: ({ model }) => model.to('bfloat16'), called: '1.bias' },
  'to a device': { gone: bias, change: ({ model }) => model.to('reference'), called: '1.bias' },
  'step without a parameter': { gone: bias, change: ({ optimizer }) => optimizer.step(), called: '1.bias' },
  'step without a gradient': {
    gone: (all) => gradient(all, '1.bias'),
    change: ({ optimizer }) => optimizer.step(),
    called: '1.bias',
  },
  'clipGradNorm without a parameter': {
    gone: bias,
    change: ({ model }) => optim.clipGradNorm(model.parameters(), 1e-3),
    called: 'parameter 3',
  },
  'clipGradNorm without a gradient': {
    gone: (all) => gradient(all, '1.bias'),
    change: ({ model }) => optim.clipGradNorm(model.parameters(), 1e-3),
    called: 'gradient 3',
  },
  'clipGradValue without a parameter': {
    gone: bias,
    change: ({ model }) => optim.clipGradValue(model.parameters(), 1e-3),
    called: 'parameter 3',
  },
  'clipGradValue without a gradient': {
    gone: (all) => gradient(all, '1.bias'),
    change: ({ model }) => optim.clipGradValue(model.parameters(), 1e-3),
    called: 'gradient 3',
  },
  'update of an average without a parameter': {
    gone: bias,
    change: ({ average }) => average.update(),
    called: '1.bias',
  },
  'update of an average that is gone': {
    gone: (all) => averaged(all, '1.bias'),
    change: ({ average }) => average.update(),
    called: 'the average of 1.bias',
  },
  'copyTo without a parameter': {
    gone: bias,
    change: ({ average, model }) => average.copyTo(model),
    called: '1.bias',
  },
  'copyTo of an average that is gone': {
    gone: (all) => averaged(all, '1.bias'),
    change: ({ average, model }) => average.copyTo(model),
    called: 'the average of 1.bias',
  },
  'withWeights without a parameter': {
    gone: bias,
    change: ({ average }) => average.withWeights(() => {}),
    called: '1.bias',
  },
  'withWeights of an average that is gone': {
    gone: (all) => averaged(all, '1.bias'),
    change: ({ average }) => average.withWeights(() => {}),
    called: 'the average of 1.bias',
  },
  mergeLora: {
    adapted: true,
    gone: (all) => parameter(all, '1.lora_B.default.weight'),
    change: ({ model }) => mergeLora(model),
    called: '1.lora_B.default.weight',
  },
  unmergeLora: {
    adapted: true,
    begin: ({ model }) => mergeLora(model),
    gone: (all) => parameter(all, '1.weight'),
    change: ({ model }) => unmergeLora(model),
    called: 'the weight of 1',
  },
  quantize: {
    gone: (all) => parameter(all, '1.weight'),
    change: ({ model }) => quantize(model, 'q8_0'),
    called: 'the weight of 1',
  },
}

describe('a tensor that is gone is named, and all others stay as they are', () => {
  it.each(Object.entries(entries))('%s', async (_name, { gone, adapted, begin, change, called }) => {
    const all = made(adapted)
    begin?.(all)
    gone?.(all).dispose()
    const before = everything(all)
    const error = await (async () => change(all))().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(DisposedError)
    expect((error as Error).message).toContain(called)
    expect(everything(all)).toEqual(before)
  })
})

it('a merged adapter may be gone, because taking it out reads what merging noted', () => {
  const all = made(true)
  const before = bits(parameter(all, '1.weight'))
  mergeLora(all.model)
  expect(bits(parameter(all, '1.weight'))).not.toEqual(before)
  parameter(all, '1.lora_B.default.weight').dispose()
  expect(() => unmergeLora(all.model)).not.toThrow()
})

it('states of optimisers and averages whose tensors are gone are refused by name', () => {
  const [all, other] = [made(), made()]
  const before = everything(all)
  const state = other.optimizer.stateDict()
  Object.values(state.state.get('1.bias')?.tensors ?? {})[0]?.dispose()
  averaged(other, '1.bias').dispose()
  expect(() => all.optimizer.loadStateDict(state)).toThrow(/1\.bias\.\w+ was freed/)
  expect(() => all.average.loadStateDict(other.average.stateDict())).toThrow(/1\.bias was freed/)
  expect(everything(all)).toEqual(before)
})

it.each(['int32', 'uint8', 'bool', 'nf4'] as const)('no weights in blocks are loaded from %s', async (dtype) => {
  const model = new nn.Sequential(new nn.Linear(64, 64), new nn.Linear(64, 2))
  quantize(model, 'q8_0', { modules: ['1'] })
  const before = model.namedParameters().map(([, tensor]) => bits(tensor))
  const state = new Map([...model.stateDict()].map(([name, tensor]) => [name, zeros([...tensor.shape])]))
  const wrong = new Map<string, Tensor>([...state, ['1.weight', zeros([2, 64]).to(dtype)]])
  const path = join(folder, `${dtype}.safetensors`)
  await saveTensors(path, wrong)
  const refusal = new RegExp(`1\\.weight is ${dtype}, but must be floating or q8_0`)
  expect(() => model.loadStateDict(wrong)).toThrow(refusal)
  await expect(model.load(path)).rejects.toThrow(refusal)
  expect(model.namedParameters().map(([, tensor]) => bits(tensor))).toEqual(before)
  model.loadStateDict(state)
  expect(model.namedParameters().map(([, tensor]) => bits(tensor))).not.toEqual(before)
})

describe('loadCheckpoint', () => {
  const path = join(folder, 'run.ckpt')
  const parts = () => {
    const all = made()
    const schedule = new optim.StepLR(all.optimizer, { stepSize: 1 })
    return { all, parts: { ...all, schedule, generator: new Generator(7) } }
  }
  type Part = keyof ReturnType<typeof parts>['parts']
  const wrong: { readonly [name in Part]: unknown } = {
    model: new nn.Linear(2, 2),
    optimizer: new optim.SGD(new nn.Linear(2, 2).parameters(), { lr: 1, momentum: 1 }),
    average: { stateDict: () => ({ counts: new Map(), tensors: 3 }), loadStateDict: () => {} },
    schedule: { stateDict: () => ({ steps: -1, base: [] }), loadStateDict: () => {} },
    generator: { stateDict: () => ({ seed: -1 }), loadStateDict: () => {} },
  }

  it.each(Object.keys(wrong) as Part[])('changes no part if the state of %s does not fit', async (name) => {
    const { all, parts: own } = parts()
    await saveCheckpoint(path, { ...parts().parts, [name]: wrong[name] })
    const before = [everything(all), own.schedule.stateDict(), own.generator.stateDict()]
    const error = await loadCheckpoint(path, own).catch((thrown: unknown) => thrown)
    expect(error instanceof StateDictError || error instanceof ValueError).toBe(true)
    expect([everything(all), own.schedule.stateDict(), own.generator.stateDict()]).toEqual(before)
  })

  it('asks the loadStateDict of a subclass, which may do something else than its base', async () => {
    let asked = 0
    class Own extends nn.Linear {
      override loadStateDict(...given: Parameters<nn.Linear['loadStateDict']>) {
        asked++
        return super.loadStateDict(...given)
      }
    }
    const [model, other] = [new Own(2, 2), new Own(2, 2)]
    await saveCheckpoint(path, { model: other })
    await loadCheckpoint(path, { model })
    expect(asked).toBe(1)
    expect(bits(model.weight)).toEqual(bits(other.weight))
  })
})
