/** Strategies of fine-tuning: what learns, at which rate, and from when on. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import {
  applyLora,
  bitfit,
  freeze,
  freezeNorms,
  layerwiseGroups,
  parameterGroups,
  probe,
  quantize,
  replay,
  unfreeze,
  unfreezeGradually,
} from '../../lib/finetune/index.js'
import {
  DataLoader,
  Generator,
  manualSeed,
  nn,
  optim,
  randint,
  randn,
  ShapeError,
  type Tensor,
  TensorDataset,
  Trainer,
  ValueError,
} from '../../lib/index.js'
import { shapes } from '../recipes/shapes.js'

const sizes = { layers: 3, width: 8, rows: 2, columns: 4 }
const made = (name: string) => (shapes[name] as NonNullable<(typeof shapes)[string]>)(sizes)
const learning = (model: nn.Module) =>
  model.namedParameters().flatMap(([path, { requiresGrad }]) => (requiresGrad ? [path] : []))
const rest = (model: nn.Module, matches: (path: string) => boolean) =>
  model.namedParameters().flatMap(([path]) => (matches(path) ? [path] : []))
const bits = (tensors: Iterable<Tensor>) =>
  [...tensors].map((x) => Buffer.from(x.detach().dataSync().slice().buffer).toString('hex'))
const quiet = { progress: false } as const
const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** Embeddings, blocks and a head, defined in this order. */
class Net extends nn.Module {
  readonly embed: nn.Linear
  readonly layers: nn.Sequential[]
  readonly norm: nn.LayerNorm
  readonly head: nn.Linear
  constructor(generator = new Generator(2)) {
    super()
    this.embed = new nn.Linear(4, 6, { generator })
    this.layers = [0, 1, 2].map(
      () => new nn.Sequential(new nn.Linear(6, 6, { generator }), new nn.BatchNorm1d(6), new nn.Tanh()),
    )
    this.norm = new nn.LayerNorm(6)
    this.head = new nn.Linear(6, 3, { generator })
  }
  blocks(): nn.Module[] {
    return this.layers
  }
  forward(x: Tensor): Tensor {
    const y = this.layers.reduce((z, layer) => layer.forward(z as never), this.embed.forward(x as never) as Tensor)
    return this.head.forward(this.norm.forward(y) as never) as Tensor
  }
}

/** Three steps in a pass, in a new order each time. */
function data(seed = 1) {
  const generator = new Generator(seed)
  const set = new TensorDataset(randn([12, 4], { generator }), randint(0, 3, [12], { generator }))
  return new DataLoader(set, { batchSize: 4, shuffle: true, generator })
}

describe('a selection by depth', () => {
  it('counts the blocks that the model declares, with embeddings in front and the head behind', () => {
    const { model } = made('GPT-2')
    unfreeze(model)
    expect(freeze(model, 2)).toBe(2 + 2 * 12)
    expect(learning(model)).toEqual(rest(model, (path) => /h\.2\.|ln_f/.test(path)))
    freeze(model)
    unfreeze(model, { last: 1 })
    expect(learning(model)).toEqual(rest(model, (path) => /h\.2\.|ln_f/.test(path)))
    freeze(model)
    expect(unfreeze(model, { last: 0 })).toBe(2)
    expect(learning(model)).toEqual(['transformer.ln_f.weight', 'transformer.ln_f.bias'])
    expect(unfreeze(model, 0)).toBe(0)
    expect(unfreeze(model, [{ last: 3 }, 'transformer.wpe'])).toBe(2 + 36 + 1)
    expect(() => freeze(model, 4)).toThrow(
      '[freeze] depth is 4, but the model has 3 blocks with parameters: transformer.h.0',
    )
    expect(() => freeze(model, { last: -1 })).toThrow('last is -1')
    expect(() => freeze(model, { last: 1, adapter: 'a' } as never)).toThrow(ValueError)
    expect(() => freeze(model, [])).toThrow('empty list')
    expect(() => freeze(model, ['transformer', 'x'])).toThrow("nothing matches 'x'")
  })

  it('takes children where the model declares no blocks, and what is between two with the one before', () => {
    class Plain extends nn.Module {
      scale = new nn.Parameter(randn([1]))
      a = new nn.Linear(2, 2)
      between = new nn.Parameter(randn([1]))
      relu = new nn.ReLU()
      b = new nn.Linear(2, 2)
      forward(x: Tensor): Tensor {
        return x
      }
    }
    const model = new Plain()
    freeze(model, 1)
    expect(learning(model)).toEqual(['b.weight', 'b.bias'])
  })
})

describe('groups of parameters', () => {
  it('decay matrices, but neither biases nor norms', () => {
    const model = new Net()
    Object.assign(model, { wide: new nn.LayerNorm([2, 3]) })
    const [decayed, plain] = parameterGroups(model, { weightDecay: 0.1 })
    const names = (group: typeof decayed) => [...(group?.params.named() ?? [])].map(([path]) => path)
    expect([decayed?.weightDecay, plain?.weightDecay]).toEqual([0.1, 0])
    expect(names(decayed)).toEqual(rest(model, (path) => /^(embed|layers\.\d\.0|head)\.weight$/.test(path)))
    expect(names(plain)).toEqual(rest(model, (path) => !/^(embed|layers\.\d\.0|head)\.weight$/.test(path)))
    expect(names(plain)).toContain('wide.weight')
    applyLora(model, { rank: 1, targetModules: ['head'] })
    expect(names(decayed).filter((path) => path.includes('lora'))).toHaveLength(2)
    expect(() => parameterGroups(model, { weightDecay: -1 })).toThrow('weightDecay is -1')
    expect(() => parameterGroups(model, {} as never)).toThrow('weightDecay is undefined')
  })

  it('have rates that fall from block to block, and the head its own', () => {
    const { model } = made('BERT')
    const groups = layerwiseGroups(model, { lr: 1, decay: 0.5, head: 7, weightDecay: 0.1 })
    const found = new Map(
      groups.flatMap(({ params, lr, weightDecay }) =>
        [...params.named()].map(([path]) => [path, [lr, weightDecay]] as const),
      ),
    )
    expect(found.size).toBe(model.namedParameters().length)
    expect(found.get('classifier.weight')).toEqual([7, 0.1])
    expect(found.get('classifier.bias')).toEqual([7, 0])
    expect(found.get('bert.pooler.dense.weight')).toEqual([1, 0.1])
    expect(found.get('bert.encoder.layer.2.attention.self.query.weight')).toEqual([1, 0.1])
    expect(found.get('bert.encoder.layer.1.output.LayerNorm.weight')).toEqual([0.5, 0])
    expect(found.get('bert.encoder.layer.0.output.dense.weight')).toEqual([0.25, 0.1])
    expect(found.get('bert.embeddings.word_embeddings.weight')).toEqual([0.125, 0.1])
    expect(new optim.AdamW(groups, { lr: 9 }).paramGroups.map(({ lr }) => lr)).toEqual(groups.map(({ lr }) => lr))
  })

  it('are walked anew whenever they are read again', () => {
    const model = new Net()
    const groups = layerwiseGroups(model, { lr: 1 })
    const count = () => groups.map(({ params }) => [...params].length)
    expect(count()).toEqual([2, 6, 4, 4, 2])
    applyLora(model, { rank: 1, targetModules: ['layers.1.0', 'head'] })
    expect(count()).toEqual([4, 6, 6, 4, 2])
    const [, , middle] = groups
    applyLora(model, { name: 'more', rank: 1, targetModules: ['layers.1.0'] })
    expect([...(middle?.params ?? [])]).toHaveLength(8)
    expect(count()).toEqual([4, 6, 8, 4, 2])
  })

  it('name the head where the model does not define one behind its blocks', () => {
    const model = new nn.Sequential(new nn.Linear(2, 2), new nn.ReLU(), new nn.Linear(2, 2))
    expect(layerwiseGroups(model, { lr: 1, decay: 0.1 }).map(({ lr }) => lr)).toEqual([1, 0.1])
    const rates = layerwiseGroups(model, { lr: 1, decay: 0.1, head: { lr: 3, modules: '2' } }).map(({ lr }) => lr)
    expect(rates).toEqual([3, 0.1])
    expect(() => layerwiseGroups(model, { lr: 1, head: 3 })).toThrow('name it: head')
    expect(() => layerwiseGroups(model, { lr: 1, decay: 0 })).toThrow('decay is 0')
    expect(() => layerwiseGroups(model, { lr: 1, decay: 1.1 })).toThrow('decay is 1.1')
    expect(() => layerwiseGroups(model, { lr: 1, head: { lr: -3, modules: '2' } })).toThrow('head.lr is -3')
    expect(() => layerwiseGroups(model, { lr: 1, head: null as never })).toThrow('head is null')
  })
})

describe.each(Object.keys(shapes))('over %s', (name) => {
  it('groups hold each parameter once, by depth and by decay', () => {
    const { model } = made(name)
    const all = model.namedParameters().map(([path]) => path)
    const layered = layerwiseGroups(model, { lr: 1, decay: 0.5, weightDecay: 0.1 })
    for (const groups of [layered, parameterGroups(model, { weightDecay: 0.1 })]) {
      const found = groups.flatMap(({ params }) => [...params.named()].map(([path]) => path))
      expect(found.sort()).toEqual([...all].sort())
    }
    const depth = nn.blocksOf(model)?.length as number
    const rates = [...new Set(layered.map(({ lr }) => lr))]
    expect(rates).toEqual(Array.from({ length: depth + 1 }, (_, i) => 0.5 ** i))
  })

  it('gradual unfreezing ends where all learns', () => {
    const { model } = made(name)
    const { onStart, onEpochEnd } = unfreezeGradually(model)
    onStart?.({} as never)
    let before = learning(model).length
    expect(before).toBeLessThan(6)
    for (const _ of nn.blocksOf(model) ?? []) {
      onEpochEnd?.({} as never, {} as never)
      expect(learning(model).length).toBeGreaterThan(before)
      before = learning(model).length
    }
    expect(before).toBe(model.namedParameters().length)
  })

  it('a probe takes what the head takes', async () => {
    const { model, head, loss } = made(name)
    const options = { head, forward: loss, target: () => randint(0, 2, [2]) }
    const { features, targets } = await probe(model, [0, 1], options)
    expect([features.shape[0], targets.shape]).toEqual([4, [4]])
    expect(features.dataSync().subarray(0, features.numel / 2)).toEqual(
      features.dataSync().subarray(features.numel / 2),
    )
  })
})

describe('biases and norms', () => {
  it('BitFit lets biases learn, norms where it is asked to, and the head', () => {
    const { model } = made('GPT-2')
    bitfit(model)
    expect(learning(model)).toEqual(rest(model, (path) => path.endsWith('bias')))
    const llama = made('Llama')
    const before = learning(llama.model)
    expect(() => bitfit(llama.model)).toThrow('the model has no biases; let the weights of its norms')
    expect(learning(llama.model)).toEqual(before)
    bitfit(llama.model, { norms: true, head: llama.head })
    expect(learning(llama.model)).toEqual(rest(llama.model, (path) => /norm\.weight|lm_head/.test(path)))
    const names = ['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0']
    const lstm = new nn.LSTM(2, 2)
    bitfit(lstm)
    expect(lstm.namedParameters().map(([path]) => path)).toEqual(names)
    expect(learning(lstm)).toEqual(names.slice(2))
  })

  it('frozen norms keep weights and statistics through a training', async () => {
    const model = new Net()
    expect(freezeNorms(model)).toBe(4)
    const norms = model.modules().filter((module) => /Norm/.test(module.constructor.name))
    const state = () => norms.flatMap((norm) => bits(norm.stateDict().values()))
    const before = state()
    const optimizer = new optim.AdamW(model.parameters(), { lr: 0.1 })
    const trainer = new Trainer(model, { optimizer, loss: nn.functional.crossEntropy })
    await trainer.fit(data(), { ...quiet, validation: data(2) })
    expect(state()).toEqual(before)
    expect(model.layers[0]?.at(0)?.training).toBe(true)
    expect(freezeNorms(new nn.Linear(2, 2))).toBe(0)
  })
})

describe('gradual unfreezing', () => {
  it('goes from the head to the embeddings', async () => {
    const model = new Net()
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })
    const seen: string[] = []
    const watch = {
      onStep: () =>
        void seen.push(
          learning(model)
            .map((path) => path.split('.', 2).join('.'))
            .join(),
        ),
    }
    const callbacks = [watch, unfreezeGradually(model, { everySteps: 2 })]
    const trainer = new Trainer(model, { optimizer, loss: nn.functional.crossEntropy, callbacks })
    await trainer.fit(data(), { ...quiet, epochs: 4 })
    const head = 'norm.weight,norm.bias,head.weight,head.bias'
    const block = (i: number) => Array(4).fill(`layers.${i}`).join()
    const [two, one] = [`${block(2)},${head}`, `${block(1)},${block(2)},${head}`]
    const all = `embed.weight,embed.bias,${block(0)},${one}`
    expect(seen).toEqual([head, head, two, two, one, one, all, all, all, all, all, all])
  })

  it('takes groups of several parts, by epochs', async () => {
    const model = new Net()
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })
    const seen: number[] = []
    const gradual = unfreezeGradually(model, { everyEpochs: 2, groups: [['head', 'norm'], /layers/] })
    const callbacks = [{ onEpochEnd: () => void seen.push(learning(model).length) }, gradual]
    const trainer = new Trainer(model, { optimizer, loss: nn.functional.crossEntropy, callbacks })
    await trainer.fit(data(), { ...quiet, epochs: 3 })
    expect(seen).toEqual([4, 4, 16])
    await trainer.fit(data(), { ...quiet, epochs: 1 })
    expect(seen[3]).toBe(4)
  })

  it('names what it cannot do', () => {
    const model = new Net()
    expect(() => unfreezeGradually(model, { everySteps: 0 })).toThrow('everySteps is 0')
    expect(() => unfreezeGradually(model, { everySteps: 1, everyEpochs: 1 })).toThrow('both everyEpochs and everySteps')
    expect(() => unfreezeGradually(model, { groups: ['head', 'lost'] })).toThrow("nothing matches 'lost'")
    expect(() => unfreezeGradually(model, { groups: [] })).toThrow('no groups')
    const adapted = applyLora(new Net(), { targetModules: ['head'] })
    expect(() => unfreezeGradually(adapted)).toThrow("has the adapters ['default']")
    expect(() => unfreezeGradually(adapted, { groups: ['norm', { adapter: 'default' }] })).not.toThrow()
    const blocks = new nn.Sequential(new nn.Linear(32, 32), new nn.Linear(32, 2))
    quantize(blocks, 'q8_0', { modules: ['0'] })
    expect(() => unfreezeGradually(blocks)).toThrow('0.weight is q8_0, which cannot learn')
    freeze(blocks)
    expect(() => unfreeze(blocks)).toThrow('0.weight is q8_0, which cannot learn')
    expect(learning(blocks)).toEqual([])
    expect(unfreeze(blocks, { last: 1 })).toBe(2)
    expect(() => unfreezeGradually(model, { groups: 'head' as never })).toThrow("groups are 'head'")
    const callback = unfreezeGradually(model)
    for (const open of [0, 5, 1.5])
      expect(() => callback.loadStateDict({ open, passed: 1 })).toThrow('with 1 to 4 groups open')
    expect(() => callback.loadStateDict({ open: 4, passed: 1 })).not.toThrow()
  })

  it('goes on from a checkpoint with the same bits, in groups with rates of their own', async () => {
    const run = (folder: string | null) => {
      manualSeed(3)
      const model = new Net()
      const optimizer = new optim.AdamW(layerwiseGroups(model, { lr: 0.02, decay: 0.5, head: 0.1, weightDecay: 0.1 }))
      const trainer = new Trainer(model, {
        optimizer,
        loss: nn.functional.crossEntropy,
        schedule: new optim.SlantedTriangularLR(optimizer, { totalSteps: 9 }),
        callbacks: [unfreezeGradually(model, { everySteps: 2 })],
        ...(folder === null ? {} : { checkpoints: { folder, every: 100 } }),
      })
      return { model, trainer, batches: replay(data(), data(7), { share: 0.25 }), optimizer }
    }
    const state = ({ model, optimizer }: ReturnType<typeof run>) => ({
      weights: bits(model.stateDict().values()),
      learning: learning(model),
      steps: [...optimizer.stateDict().state].map(([name, { step }]) => `${name} ${step}`),
    })
    const whole = run(null)
    await whole.trainer.fit(whole.batches, { ...quiet, steps: 9 })
    for (const cut of [1, 3, 4, 6]) {
      const folder = mkdtempSync(join(tmpdir(), 'firesteel-strategies-'))
      folders.push(folder)
      const first = run(folder)
      await first.trainer.fit(first.batches, { ...quiet, steps: cut })
      const second = run(folder)
      await second.trainer.fit(second.batches, { ...quiet, steps: 9, resume: 'auto' })
      expect(state(second)).toEqual(state(whole))
    }
    expect(whole.optimizer.stateDict().state.get('head.weight')?.step).toBe(9)
    expect(whole.optimizer.stateDict().state.get('embed.weight')?.step).toBe(3)
  })
})

describe('the slanted triangle', () => {
  it('is that of the paper, and never falls below its beginning', () => {
    const rate = optim.rates.slantedTriangular({ totalSteps: 116 })
    // The paper's formulas.
    const paper = (t: number) => {
      const cut = Math.floor(116 * 0.1)
      const p = t < cut ? t / cut : 1 - (t - cut) / (cut * (1 / 0.1 - 1))
      return (0.5 * (1 + p * 31)) / 32
    }
    for (const t of [0, 1, 10, 11, 12, 60, 110]) expect(rate(0.5, t, 0)).toBeCloseTo(paper(t), 12)
    expect(rate(0.5, 11, 0)).toBe(0.5)
    expect(paper(115)).toBeLessThan(0)
    expect(rate(0.5, 115, 0)).toBe(0.5 / 32)
    expect(optim.rates.slantedTriangular({ totalSteps: 4, ratio: 1 })(0.5, 3, 0)).toBe(0.5)
    expect(() => optim.rates.slantedTriangular({ totalSteps: 4, cutFraction: 1 })).toThrow('cutFraction is 1')
    expect(() => optim.rates.slantedTriangular({ totalSteps: 4, ratio: 0.9 })).toThrow('ratio is 0.9')
  })
})

describe('a probe', () => {
  it('gives what the head takes, in evaluation, and leaves the model as it was', async () => {
    const model = new Net()
    const before = bits(model.stateDict().values())
    const batches = [0, 1].map((i) => {
      const generator = new Generator(i)
      return [randn([3, 4], { generator }), randint(0, 3, [3], { generator })] as const
    })
    const { head, features, targets } = await probe(model, batches, { head: 'head' })
    expect(head).toBe(model.head)
    expect([features.shape, targets.shape]).toEqual([[6, 6], [6]])
    expect(features.requiresGrad).toBe(false)
    expect(bits(model.stateDict().values())).toEqual(before)
    expect(model.modules().every(({ training }) => training)).toBe(true)
    model.eval()
    const whole = batches.flatMap(([x]) => [...model.forward(x).dataSync()])
    const alone = [...(head as nn.Linear).forward(features as never).dataSync()]
    alone.forEach((value, i) => {
      expect(value).toBeCloseTo(whole[i] as number, 5)
    })
    const loader = new DataLoader(new TensorDataset(features, targets), { batchSize: 3 })
    const optimizer = new optim.SGD(head.parameters(), { lr: 0.1 })
    const { epochs } = await new Trainer(head as nn.Linear, { optimizer, loss: nn.functional.crossEntropy }).fit(
      loader,
      {
        ...quiet,
        epochs: 20,
      },
    )
    expect(epochs.at(-1)?.loss).toBeLessThan(epochs[0]?.loss as number)
  })

  it('runs any model by a function, and names what it cannot do', async () => {
    const { model } = made('BERT')
    const ids = randint(0, 97, [2, 4])
    const options = { forward: (x: Tensor) => (model as never as Net).forward(x), target: () => randint(0, 2, [2]) }
    const { features } = await probe(model, [ids, ids], { head: 'classifier', ...options })
    expect(features.shape).toEqual([4, 8])
    await expect(probe(model, [ids], { head: 'lost', ...options })).rejects.toThrow(
      "head is 'lost', but must be the path",
    )
    await expect(probe(model, [ids], { head: '', ...options })).rejects.toThrow("head is ''")
    await expect(probe(model, [] as Tensor[], { head: 'classifier', ...options })).rejects.toThrow('no batches')
    await expect(probe(model, [ids], { head: 'bert.encoder.layer', ...options })).rejects.toThrow(ValueError)
    const twice = { ...options, forward: (x: Tensor) => [options.forward(x), options.forward(x)] }
    await expect(probe(model, [ids], { head: 'classifier', ...twice })).rejects.toThrow('ran classifier 2 times')
    const fewer = { ...options, target: () => randint(0, 2, [1]) }
    await expect(probe(model, [ids], { head: 'classifier', ...fewer })).rejects.toThrow(ShapeError)
    expect(model.modules().every(({ hasForwardHooks }) => !hasForwardHooks)).toBe(true)
  })
})

describe('replay', () => {
  const list = (letter: string, count: number) => Array.from({ length: count }, (_, i) => `${letter}${i}`)
  const taken = async (batches: AsyncIterable<string>) => {
    const found: string[] = []
    for await (const batch of batches) found.push(batch)
    return found.join(' ')
  }

  it('spreads general batches evenly, goes on with them from pass to pass, and begins them again', async () => {
    const batches = replay(list('t', 4), list('g', 3), { share: 0.5 })
    expect(await taken(batches)).toBe('t0 g0 t1 g1 t2 g2 t3 g0')
    expect(await taken(batches)).toBe('t0 g1 t1 g2 t2 g0 t3 g1')
    expect(batches.length).toBe(8)
    for await (const batch of batches) if (batch === 't1') break
    expect(await taken(batches)).toBe('t0 g0 t1 g1 t2 g2 t3 g0')
    expect(await taken(replay(list('t', 9), list('g', 3), { share: 0.1 }))).toBe('t0 t1 t2 t3 t4 t5 t6 t7 t8 g0')
    expect(await taken(replay(list('t', 8), list('g', 3), { share: 0.1 }))).toBe('t0 t1 t2 t3 t4 t5 t6 t7')
    expect(await taken(replay(list('t', 1), () => list('g', 2), { share: 0.75 }))).toBe('t0 g0 g1 g0')
    expect(replay(() => list('t', 9), list('g', 3), { share: 0.1 }).length).toBeNaN()
  })

  it.each([
    ['lists', () => [list('t', 4), list('g', 3)] as const],
    [
      'loaders',
      () => {
        const loader = (letter: string, count: number, seed: number) =>
          new DataLoader(list(letter, count), {
            shuffle: true,
            generator: new Generator(seed),
            collate: ([row]) => row as string,
          })
        return [loader('t', 4, 1), loader('g', 3, 2)] as const
      },
    ],
  ] as const)('goes on in the middle of a pass over %s', async (_, sources) => {
    const fresh = () => {
      const [task, general] = sources()
      return replay<string>(task, general, { share: 0.6 })
    }
    const whole = fresh()
    const expected = [await taken(whole), await taken(whole)]
    for (let cut = 1; cut <= 10; cut++) {
      const first = fresh()
      const found: string[] = []
      let state = first.stateDict()
      for await (const batch of first) {
        found.push(batch)
        state = first.stateDict()
        if (found.length === cut) break
      }
      const second = fresh()
      second.loadStateDict(structuredClone(state))
      for await (const batch of second) found.push(batch)
      expect([found.join(' '), await taken(second)]).toEqual(expected)
    }
  })

  it('keeps what was learned before', async () => {
    /**
     * The same inputs with other labels. The answers of one task are wrong for the other, unless inputs tell the tasks
     * apart.
     */
    const task = (sign: number, seed: number) => {
      const generator = new Generator(seed)
      const x = randn([32, 4], { generator })
      x.select(1, 3).fill_(sign)
      return new TensorDataset(x, x.select(1, 0).mul(sign).gt(0).to('int32').detach() as Tensor)
    }
    const [general, own] = [task(1, 1), task(-1, 2)]
    const loader = (set: typeof own) => new DataLoader(set, { batchSize: 8 })
    const loss = async (share: number | null) => {
      const generator = new Generator(4)
      const model = new nn.Sequential(
        new nn.Linear(4, 16, { generator }),
        new nn.Tanh(),
        new nn.Linear(16, 2, { generator }),
      )
      const optimizer = new optim.Adam(model.parameters(), { lr: 0.02 })
      const trainer = new Trainer(model, { optimizer, loss: nn.functional.crossEntropy })
      await trainer.fit(loader(general), { ...quiet, epochs: 15 })
      const batches = share === null ? loader(own) : replay(loader(own), loader(general), { share })
      await trainer.fit(batches as ReturnType<typeof loader>, { ...quiet, epochs: 15 })
      return [(await trainer.evaluate(loader(general))).loss, (await trainer.evaluate(loader(own))).loss] as const
    }
    const [forgotten, replayed] = [await loss(null), await loss(0.3)]
    expect(replayed[0]).toBeLessThan(0.5 * forgotten[0])
    expect(replayed[1]).toBeLessThan(0.3)
  })

  it('names what it cannot do', async () => {
    const one = list('t', 2)
    for (const share of [0, 1, Number.NaN, '0.5' as never])
      expect(() => replay(one, list('g', 1), { share })).toThrow('must lie between 0 and 1')
    expect(() => replay(one, one, { share: 0.5 })).toThrow('the same object')
    await expect(taken(replay(one, () => [], { share: 0.5 }))).rejects.toThrow('there are no general batches')
    const state = replay(one, list('g', 1), { share: 0.5 }).stateDict()
    expect(() => replay(one, list('g', 1), { share: 0.4 }).loadStateDict(state)).toThrow('share is 0.4, but was 0.5')
    expect(() => replay(one, list('g', 1), { share: 0.5 }).loadStateDict({} as never)).toThrow(
      'must be a result of stateDict',
    )
    const late = replay(list('t', 1), list('g', 1), { share: 0.5 })
    late.loadStateDict({ ...state, task: { given: 2, place: null } })
    await expect(taken(late)).rejects.toThrow('the batches end after 1, but 2 were taken before')
  })
})
