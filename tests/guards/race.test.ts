/**
 * Makes every asynchronous call of the library during a training. Its result must belong to one moment, or the call
 * must refuse and say so.
 *
 * Each step of the training lowers every weight of the model by 1, so that differing weights show a mix of states. The
 * test finds the calls by their types: a new one fails here until it has a race.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { afterAll, describe, expect, it } from 'vitest'
import { applyLora, chooseThreshold, loadAdapter, probe, saveAdapter } from '../../lib/finetune/index.js'
import * as f from '../../lib/index.js'
import { devices } from '../suites/support.js'

const { nn, optim } = f
const folder = mkdtempSync(join(tmpdir(), 'firesteel-race-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** A model with several weights, large enough that reading one takes a while. */
function counter(device: f.Device) {
  const model = new nn.Sequential(
    new nn.Linear(300, 300, { device }),
    new nn.Linear(300, 300, { device }),
    new nn.Linear(300, 300, { device }),
  )
  const set = (value: number) =>
    f.noGrad(() => {
      for (const parameter of model.parameters()) parameter.fill_(value)
    })
  set(0)
  const optimizer = new optim.SGD(model.parameters(), { lr: 1 })
  const step = () =>
    f.scope(() => {
      for (const parameter of model.parameters()) if (parameter.requiresGrad) parameter.sum().backward()
      optimizer.step()
      optimizer.zeroGrad()
    })
  return { model, set, step }
}

type Counter = ReturnType<typeof counter>

/** Makes the call, with a training step right after it, and one in every turn of the event loop until it is done. */
async function racing<R>({ step }: Pick<Counter, 'step'>, call: () => Promise<R>): Promise<R> {
  let done = false
  const result = call().finally(() => {
    done = true
  })
  result.catch(() => undefined)
  do {
    step()
    await nextTurn()
  } while (!done)
  return result
}

/** All elements of all tensors, which must be the same number. */
function only(tensors: Iterable<f.Tensor>): number {
  const values = new Set<number>()
  for (const tensor of tensors) for (const value of tensor.detach().dataSync()) values.add(value)
  if (values.size !== 1) throw new Error(`a mix of ${values.size} states: ${[...values].slice(0, 5).join(', ')}`)
  return [...values][0] as number
}

const ones = (device: f.Device) => f.ones([4, 300], { device })

/** An open file of the weights of this moment. */
async function saved(c: Counter, device: f.Device): Promise<f.TensorSource> {
  const path = join(folder, `${device.name}-source.safetensors`)
  await c.model.save(path)
  return f.openTensors(path)
}

/** A race by the name of the call. */
const races: { readonly [call: string]: (c: Counter, device: f.Device) => Promise<void> } = {
  async 'Tensor.data'(c) {
    const [first] = [...c.model.parameters()] as [f.Tensor]
    const data = await racing(c, () => first.data())
    expect(new Set(data)).toEqual(new Set([0]))
  },
  async 'Device.read'(c, device) {
    const [first] = [...c.model.parameters()] as [f.Tensor]
    const data = await racing(c, () => device.read(first.detach()))
    expect(new Set(data as Iterable<number>)).toEqual(new Set([0]))
  },
  async 'Module.save'(c, device) {
    const path = join(folder, `${device.name}.safetensors`)
    await racing(c, () => c.model.save(path))
    await c.model.load(path)
    expect(only(c.model.parameters())).toBe(0)
  },
  async 'Module.load'(c, device) {
    const path = join(folder, `${device.name}-load.safetensors`)
    c.set(1000)
    await c.model.save(path)
    c.set(0)
    await racing(c, async () => {
      await c.model.load(path)
      expect(only(c.model.parameters())).toBe(1000)
    })
    expect(only(c.model.parameters())).toBeLessThanOrEqual(1000)
  },
  async openTensors(c, device) {
    const source = await racing(c, () => saved(c, device))
    await source.close()
    expect(source.names).toHaveLength(6)
  },
  async loadTensors(c, device) {
    const source = await saved(c, device)
    const tensors = await racing(c, () => f.loadTensors(source, { device }))
    await source.close()
    expect(tensors.size).toBe(6)
    expect(only(tensors.values())).toBe(0)
  },
  async saveTensors(c, device) {
    const path = join(folder, `${device.name}-tensors.safetensors`)
    await racing(c, () => f.saveTensors(path, c.model.stateDict()))
    expect(only((await f.loadTensors(path)).values())).toBe(0)
  },
  async saveGguf(c, device) {
    const path = join(folder, `${device.name}-tensors.gguf`)
    await racing(c, () => f.saveGguf(path, c.model.stateDict()))
    expect(only((await f.loadTensors(path)).values())).toBe(0)
  },
  async saveCheckpoint(c, device) {
    const path = join(folder, `${device.name}-state.ckpt`)
    await racing(c, () => f.saveCheckpoint(path, { model: c.model }))
    const { model } = await f.loadCheckpoint(path)
    expect(only((model as ReadonlyMap<string, f.Tensor>).values())).toBe(0)
  },
  async loadCheckpoint(c, device) {
    const path = join(folder, `${device.name}-loaded.ckpt`)
    await f.saveCheckpoint(path, { model: c.model })
    await racing(c, () => f.loadCheckpoint(path, { model: c.model }))
    // Everything is restored in one turn, so that a step changes either all of it or nothing.
    only(c.model.parameters())
  },
  async 'TensorSource.read'(c, device) {
    const source = await saved(c, device)
    const { data } = await racing(c, () => source.read('0.weight'))
    await source.close()
    expect(new Set(data as Iterable<number>)).toEqual(new Set([0]))
  },
  async 'TensorSource.close'(c, device) {
    const source = await saved(c, device)
    await racing(c, () => source.close())
    await expect(source.read('0.weight')).rejects.toThrow('was closed; open it again')
  },
  async saveAdapter(c, device) {
    applyLora(c.model, { rank: 4, targetModules: 'all-linear' })
    c.set(0)
    const path = join(folder, `${device.name}-adapter`)
    await racing(c, () => saveAdapter(c.model, path))
    const fresh = counter(device).model
    await loadAdapter(fresh, path)
    expect(only([...fresh.parameters()].filter((p) => p.requiresGrad))).toBe(0)
  },
  async loadAdapter(c, device) {
    const saved = applyLora(counter(device).model, { rank: 4, targetModules: 'all-linear' })
    f.noGrad(() => {
      for (const parameter of saved.parameters()) if (parameter.requiresGrad) parameter.fill_(1000)
    })
    const path = join(folder, `${device.name}-adapter-load`)
    await saveAdapter(saved, path)
    applyLora(c.model, { rank: 4, targetModules: 'all-linear' })
    c.set(0)
    const learning = () => [...c.model.parameters()].filter((p) => p.requiresGrad)
    await racing(c, async () => {
      await loadAdapter(c.model, path)
      expect(only(learning())).toBe(1000)
    })
  },
  async updateBn(c, device) {
    const [first] = [...c.model.parameters()] as [f.Tensor]
    const norm = new nn.BatchNorm1d(300, { device })
    c.model.append(norm)
    const forward = (x: f.Tensor) => norm.forward(f.add(x, first.select(0, 0)))
    const batches = Array.from({ length: 6 }, (_, i) => f.mul(ones(device), i))
    // The statistics are of one state, or the call refuses and they are as before.
    const refused = await racing(c, () => optim.updateBn(batches, c.model, { forward })).catch(
      (error: unknown) => error,
    )
    if (refused !== undefined) expect((refused as Error).message).toContain('the weights changed meanwhile')
    expect(only([norm.runningMean as f.Tensor])).toBe(refused === undefined ? 2.5 : 0)
  },
  async averageWeights(c, device) {
    const other = counter(device)
    const into = counter(device).model
    await racing(c, () => f.averageWeights([c.model, other.model], { into }))
    expect(only(into.parameters())).toBe(0)
    const scored = f.averageWeights([c.model, other.model], {
      into,
      greedy: async () => {
        c.step()
        await nextTurn()
        return 1
      },
    })
    await expect(scored).rejects.toThrow('the weights of models[0] changed while they were averaged')
  },
  async probe(c, device) {
    const { model } = c
    const batches = Array.from({ length: 6 }, () => [ones(device), ones(device)] as const)
    // Features belong to one state, or the call refuses, because a step came between their batches.
    const found = await racing(c, () => probe(model, batches, { head: '2' })).catch((error: Error) => error)
    if (found instanceof Error) expect(found.message).toContain('[probe] the model')
    else expect(only([found.features])).toBe(0)
    expect(model.training).toBe(true)
  },
  async chooseThreshold(c, device) {
    const { model } = c
    const [first] = [...model.parameters()] as [f.Tensor]
    const target = f.eye(4, 4, { device })
    const seen = new Set<number>()
    const objective = {
      loss() {
        seen.add(first.detach().dataSync()[0] as number)
        return { total: first.sum(), count: 1, output: f.sub(target, 0.5), target }
      },
    }
    const chosen = racing(c, () => chooseThreshold(model, objective as never, Array(6).fill(0) as never))
    const outcome = await chosen.catch((error: Error) => error)
    if (outcome instanceof Error) expect(outcome.message).toContain('[chooseThreshold] the model')
    else expect(outcome.threshold).toEqual([0.5, 0.5, 0.5, 0.5])
    expect(seen.size).toBeLessThanOrEqual(1)
    expect(model.training).toBe(true)
  },
  async 'Trainer.evaluate'(c, device) {
    const [first] = [...c.model.parameters()] as [f.Tensor]
    const trainer = new f.Trainer(c.model, {
      optimizer: new optim.SGD(c.model.parameters(), { lr: 1 }),
      loss: () => first.mean(),
    })
    const batches = Array.from({ length: 6 }, () => [ones(device), ones(device)] as const)
    // One state is reported, or the call refuses, because its batches would see several.
    const measured = await racing(c, () => trainer.evaluate(batches)).catch((error: unknown) => error)
    if (measured instanceof f.ValueError) expect(measured.message).toContain('evaluate')
    else expect((measured as { readonly loss: number }).loss).toBe(0)
    expect(only(c.model.parameters())).toBeLessThan(0)
  },
  async 'Trainer.report'(c, device) {
    const [first] = [...c.model.parameters()] as [f.Tensor]
    const trainer = new f.Trainer(c.model, {
      optimizer: new optim.SGD(c.model.parameters(), { lr: 1 }),
      loss: () => first.mean(),
    })
    const batches = Array.from({ length: 6 }, () => [ones(device), ones(device)] as const)
    const told = await racing(c, () => trainer.report(batches)).catch((error: unknown) => error)
    if (told instanceof f.ValueError) expect(told.message).toContain('report')
    else expect((told as f.Report).loss).toBe(0)
  },
  async 'Trainer.fit'(c, device) {
    const { model } = c
    const trainer = new f.Trainer(model, { optimizer: new optim.SGD(model.parameters(), { lr: 0 }), loss: f.mseLoss })
    const batches = Array.from({ length: 4 }, () => [ones(device), ones(device)] as const)
    // Two trainings of one model alternate by whole steps, and neither undoes the other's.
    const history = await racing(c, () => trainer.fit(batches, { epochs: 2, progress: false }))
    expect(history.epochs.length).toBe(2)
    expect(Number.isInteger(only(model.parameters()))).toBe(true)
  },
  async 'Trainer.predict'(c, device) {
    const [first] = [...c.model.parameters()] as [f.Tensor]
    const trainer = new f.Trainer(c.model, {
      optimizer: new optim.SGD(c.model.parameters(), { lr: 1 }),
      objective: { loss: () => ({ total: first.sum(), count: 1 }), predict: () => first.mul(1) },
    })
    const outputs: f.Tensor[] = []
    const ended = racing(c, async () => {
      for await (const output of trainer.predict(Array.from({ length: 6 }, () => ones(device)))) outputs.push(output)
    })
    // All outputs belong to one state, or the call refuses, because a step came between.
    const refused = await ended.catch((error: unknown) => error)
    if (refused !== undefined) expect((refused as Error).message).toContain('[Trainer.predict]')
    if (outputs.length > 0) expect(only(outputs)).toBe(0)
    expect(only(c.model.parameters())).toBeLessThan(0)
  },
  async 'Trainer.steps'(c, device) {
    const { model } = c
    const trainer = new f.Trainer(model, { optimizer: new optim.SGD(model.parameters(), { lr: 0 }), loss: f.mseLoss })
    const batches = Array.from({ length: 4 }, () => [ones(device), ones(device)] as const)
    let count = 0
    await racing(c, async () => {
      for await (const _ of trainer.steps(batches, { epochs: 2 })) count++
    })
    expect(count).toBe(8)
    expect(Number.isInteger(only(model.parameters()))).toBe(true)
  },
  async 'Trainer.check'(c, device) {
    const { model } = c
    const trainer = new f.Trainer(model, { optimizer: new optim.SGD(model.parameters(), { lr: 1 }), loss: f.mseLoss })
    const report = await racing(c, () => trainer.check([ones(device), ones(device)]))
    expect(report.loss).not.toBeNull()
    expect(Number.isInteger(only(model.parameters()))).toBe(true)
  },
  async 'Trainer.predictMemory'(c, device) {
    const { model } = c
    const trainer = new f.Trainer(model, { optimizer: new optim.SGD(model.parameters(), { lr: 1 }), loss: f.mseLoss })
    const { weights } = await racing(c, () => trainer.predictMemory([ones(device), ones(device)]))
    expect(weights).toBe(4 * 3 * 300 * 301)
    expect(Number.isInteger(only(model.parameters()))).toBe(true)
  },
  async findLearningRate(c, device) {
    const { model } = c
    const [first] = [...model.parameters()] as [f.Tensor]
    const trainer = new f.Trainer(model, {
      optimizer: new optim.SGD(model.parameters(), { lr: 1 }),
      loss: () => first.mean(),
    })
    const found = f.findLearningRate(trainer, [[ones(device), ones(device)]], { steps: 10 })
    // Steps of another training would be undone together with its own.
    const outcome = await racing(c, () => found).catch((error: unknown) => error)
    if (outcome instanceof f.ValueError) expect(outcome.message).toContain('findLearningRate')
    else expect(Number.isInteger(only(model.parameters()))).toBe(true)
  },
  async 'StepRecord.counted'(c, device) {
    const trainer = new f.Trainer(c.model, {
      optimizer: new optim.SGD(c.model.parameters(), { lr: 0 }),
      loss: f.mseLoss,
    })
    const counts: Promise<number>[] = []
    for await (const record of trainer.steps([[ones(device), ones(device)]])) counts.push(racing(c, record.counted))
    expect(await counts[0]).toBe(4)
  },
  async 'StepRecord.loss'(c, device) {
    const [first] = [...c.model.parameters()] as [f.Tensor]
    const trainer = new f.Trainer(c.model, {
      optimizer: new optim.SGD(c.model.parameters(), { lr: 0 }),
      loss: () => first.mean(),
    })
    const losses: Promise<number>[] = []
    for await (const record of trainer.steps([[ones(device), ones(device)]])) losses.push(racing(c, record.loss))
    expect(await losses[0]).toBe(0)
  },
  async 'Metric.compute'(_c, device) {
    const [right, wrong] = [f.eye(2, 2, { device }), f.ones([2, 2], { device }).sub(f.eye(2, 2, { device }))]
    const labels = f.tensor([0, 1], { dtype: 'int32', device })
    // One metric adds up on the device, and one reads each update.
    for (const metric of [f.metrics.accuracy(), f.metrics.f1()]) {
      metric.update(right, labels)
      const share = await racing({ step: () => metric.update(wrong as f.Tensor, labels) }, () => metric.compute())
      expect(share).toBe(1)
    }
  },
  async measure(_c, device) {
    const [x, target] = [f.zeros([100], { device }), f.zeros([100], { device })]
    const step = () => f.noGrad(() => x.fill_(7))
    expect(await racing({ step }, () => f.metrics.measure(f.metrics.mae(), x, target))).toBe(0)
  },
  async 'Counting.compute'(_c, device) {
    const mean = new f.metrics.RunningMean()
    mean.update(f.tensor(6, { device }), 2)
    const value = await racing({ step: () => mean.update(f.tensor(100, { device }), 1) }, () => mean.compute())
    expect(value).toBe(3)
  },
  async 'DataLoader.[asyncIterator]'(_c, device) {
    const [x, y] = [f.zeros([40, 3], { device }), f.zeros([40, 3], { device })]
    const loader = new f.DataLoader(new f.TensorDataset(x, y), { batchSize: 4 })
    let count = 0
    const step = () =>
      f.noGrad(() => {
        count++
        x.fill_(count)
        y.fill_(count)
      })
    await racing({ step }, async () => {
      // Rows are taken when their batch is made, and all tensors of it at once.
      for await (const batch of loader) only(batch)
    })
  },
  async 'BatchSource.batch'(c, device) {
    await races['DataLoader.[asyncIterator]']?.(c, device)
  },
  async 'Dataset.get'(_c, device) {
    const x = f.zeros([5, 300], { device })
    const set = new f.TensorDataset(x).map(async ([row]) => row?.data())
    const row = await racing({ step: () => f.noGrad(() => x.fill_(7)) }, async () => set.get(3))
    expect(new Set(row).size).toBe(1)
  },
  async 'Dataset.rows'(c, device) {
    await races['FunctionDataset.batch']?.(c, device)
  },
  async 'Subset.rows'(c, device) {
    await races['Subset.batch']?.(c, device)
  },
  async 'Subset.get'(c, device) {
    await races['Dataset.get']?.(c, device)
  },
  async 'Dataset.batch'(c, device) {
    await races['DataLoader.[asyncIterator]']?.(c, device)
  },
  async 'FunctionDataset.batch'(c, device) {
    const [first] = [...c.model.parameters()] as [f.Tensor]
    const set = new f.FunctionDataset(
      3,
      async () => first.data(),
      (items) => items,
    )
    const items = await racing(c, () => set.batch([0, 1, 2]))
    expect(new Set(items.flatMap((item) => [...item]))).toEqual(new Set([0]))
    expect(device.supports('float32')).toBe(true)
  },
  async 'Subset.batch'(_c, device) {
    const x = f.zeros([5], { device })
    const set = new f.Subset(new f.TensorDataset(x), [4, 0])
    const [rows] = await racing({ step: () => f.noGrad(() => x.fill_(7)) }, async () => set.batch([0, 1]))
    expect(only([rows as f.Tensor])).toBe(0)
  },
}

/** Calls that involve nothing of a model. */
const without: { readonly [call: string]: string } = {
  'Device.loadPart': 'fills memory that no step uses; Module.load races with it',
  'TensorSource.lend': 'reads nothing itself; Module.load races with it',
  idx: 'reads files of data',
  readIdx: 'reads a file of data',
  mnist: 'reads a package of data',
  'IterableDataset.toArray': 'reads rows of the user',
  'FunctionDataset.get': 'the user writes it',
  'BatchesOptions.collate': 'the user writes it',
  'DataLoaderOptions.collate': 'the user writes it',
  'Replay.[asyncIterator]': 'gives batches of the user',
  qaRows: 'reads rows of the user',
  completionRows: 'reads rows of the user',
  paddedRows: 'reads rows of the user',
  pairRows: 'reads rows of the user',
  seq2seqRows: 'reads rows of the user',
  textRows: 'reads rows of the user',
  tokenRows: 'reads rows of the user',
  moduleDataset: 'imports a module of the user',
  'Logger.open': 'the user writes it',
  'Logger.close': 'the user writes it',
  'Logger.flush': 'the user writes it',
  search: 'the user makes the models of its trials',
  compare: 'the user makes the models that it times',
  'Comparison.save': 'a comparison holds numbers alone',
  'Study.save': 'a study holds numbers alone',
  'Report.save': 'a report holds numbers alone',
  'SoupOptions.greedy': 'the user writes it',
  'Callback.onStart': 'the user writes it',
  'Callback.onStep': 'the user writes it',
  'Callback.onValidation': 'the user writes it',
  'Callback.onEpochEnd': 'the user writes it',
  'Callback.onEnd': 'the user writes it',
}

/** The public functions and methods that return promises or asynchronous iterators, by their declarations. */
function asynchronous(): readonly string[] {
  const root = fileURLToPath(new URL('../../', import.meta.url))
  const { config } = ts.readConfigFile(`${root}tsconfig.json`, ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
  const faces = ['lib/index.ts', 'lib/data/datasets/index.ts', 'lib/finetune/index.ts'].map((path) => root + path)
  const program = ts.createProgram(faces, options)
  const checker = program.getTypeChecker()
  const found = new Set<string>()
  const seen = new Set<ts.Symbol>()
  const isAsync = (type: ts.Type): boolean =>
    /^(Promise|Async)/.test(type.symbol?.name ?? '') || (type.isUnion() && type.types.some(isAsync))
  const gives = (symbol: ts.Symbol, at: ts.Node) =>
    checker
      .getTypeOfSymbolAtLocation(symbol, at)
      .getNonNullableType()
      .getCallSignatures()
      .some((signature) => isAsync(signature.getReturnType()))
  const visit = (exported: ts.Symbol): void => {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
    if (seen.size === seen.add(symbol).size) return
    if (symbol.flags & ts.SymbolFlags.Module) for (const each of checker.getExportsOfModule(symbol)) visit(each)
    const declaration = symbol.valueDeclaration ?? symbol.declarations?.[0]
    if (declaration === undefined || symbol.flags & ts.SymbolFlags.Module) return
    if (gives(symbol, declaration)) found.add(symbol.name)
    if (!(symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface))) return
    for (const member of checker.getDeclaredTypeOfSymbol(symbol).getProperties()) {
      const at = member.valueDeclaration ?? member.declarations?.[0]
      const owner = at?.parent
      if (at === undefined || !at.getSourceFile().fileName.startsWith(`${root}lib`) || !gives(member, at)) continue
      const name = member.name.replace(/^__@(\w+)@.*/, '[$1]')
      const isPrivate = name.startsWith('#') || name.startsWith('__#')
      if (owner && (ts.isClassDeclaration(owner) || ts.isInterfaceDeclaration(owner)) && !isPrivate)
        found.add(`${owner.name?.text}.${name}`)
    }
  }
  for (const face of faces) {
    const source = program.getSourceFile(face)
    const module = source && checker.getSymbolAtLocation(source)
    for (const each of module ? checker.getExportsOfModule(module) : []) visit(each)
  }
  return [...found]
}

it('every asynchronous call has a race', () => {
  const calls = asynchronous()
  expect(calls.length).toBeGreaterThan(15)
  expect(calls.filter((call) => !races[call] && !without[call])).toEqual([])
})

describe.each(devices.map((device) => [device.name, device] as const))('on %s', (_name, device) => {
  it.each(Object.entries(races))('%s sees one state', async (_call, race) => {
    await race(counter(device), device)
  })
})
