/** Resuming a run with the random numbers that would have come next. */
import { describe, expect, it } from 'vitest'
import { applyLora } from '../../lib/finetune/index.js'
import * as f from '../../lib/index.js'
import { nn } from '../../lib/index.js'
import { devices } from '../suites/support.js'

describe.each(devices.map((device) => [device.name, device] as const))('randomState on %s', (_name, device) => {
  class Block extends nn.Module {
    readonly lstm: nn.LSTM
    readonly layers: nn.Module[]
    readonly attention: nn.TransformerEncoderLayer
    readonly noise = { sources: [new f.Generator(9)] }

    constructor(generator: f.Generator) {
      super()
      const own = { device, generator: new f.Generator(3) }
      this.lstm = new nn.LSTM(4, 4, { numLayers: 2, dropout: 0.5, batchFirst: true, ...own })
      this.layers = [new nn.Dropout(0.2), new nn.Dropout(0.3, { generator })]
      this.attention = new nn.TransformerEncoderLayer(4, 2, { dropout: 0.3, dimFeedforward: 8, device, generator })
    }

    forward(x: f.Tensor): f.Tensor {
      let y = this.lstm.forward(x).output
      for (const layer of this.layers) if (layer instanceof nn.Dropout) y = layer.forward(y)
      const noise = f.randn([4], { device, generator: this.noise.sources[0] })
      return this.attention.forward(y).add(noise)
    }
  }

  const make = () => {
    f.manualSeed(1)
    const model = new Block(new f.Generator(2))
    return { model, optimizer: new f.optim.SGD(model.parameters(), { lr: 0.1 }) }
  }
  type Run = ReturnType<typeof make>
  const x = f.randn([2, 5, 4], { device, generator: new f.Generator(4) })
  const step = ({ model, optimizer }: Run): number =>
    f.scope(() => {
      const loss = model.forward(x).square().mean()
      loss.backward()
      optimizer.step()
      optimizer.zeroGrad()
      return loss.item()
    })

  it('lets a run go on with equal bits', () => {
    const run = make()
    for (let i = 0; i < 3; i++) step(run)
    // The state passes through a JSON file.
    const state = JSON.parse(JSON.stringify(nn.randomState(run.model))) as nn.RandomState
    const weights = new Map([...run.model.stateDict()].map(([name, tensor]) => [name, tensor.clone()]))
    const expected = [step(run), step(run)]
    const other = make()
    other.model.loadStateDict(weights)
    const withoutState = step(other)
    other.model.loadStateDict(weights)
    nn.loadRandomState(other.model, state)
    expect([step(other), step(other)]).toEqual(expected)
    expect(withoutState).not.toBe(expected[0])
  })

  it('finds every generator by path, each once', () => {
    const { model } = make()
    const paths = model.namedGenerators().map(([path]) => path)
    expect(paths.sort()).toEqual(['layers.1.generator', 'lstm.generator', 'noise.sources.0'])
    expect(Object.keys(nn.randomState(model).modules).sort()).toEqual(paths)
    expect(model.namedModules().map(([path]) => path)).not.toContain('lstm.generator')
    const lora = applyLora(new nn.Sequential(new nn.Linear(2, 2, { device })), {
      rank: 1,
      dropout: 0.5,
      targetModules: ['0'],
      generator: new f.Generator(5),
    })
    expect(lora.namedGenerators().map(([path]) => path)).toEqual(['0.adapters.default.lora_dropout.default.generator'])
  })

  it('refuses a state of another model, and changes nothing then', () => {
    const { model } = make()
    step({ model, optimizer: new f.optim.SGD(model.parameters(), { lr: 0 }) })
    const state = nn.randomState(model)
    f.rand([3], { device })
    const before = nn.randomState(model)
    const { 'lstm.generator': lstm, ...rest } = state.modules
    const fails = (given: unknown, error: new (...args: never[]) => Error, ...messages: string[]) => {
      const load = () => nn.loadRandomState(model, given as nn.RandomState)
      expect(load).toThrow(error)
      for (const message of messages) expect(load).toThrow(message)
      expect(nn.randomState(model)).toEqual(before)
    }
    fails(
      { ...state, modules: { ...rest, other: lstm } },
      f.StateDictError,
      'missing: lstm.generator',
      'unexpected: other',
    )
    fails(
      { ...state, modules: { ...state.modules, 'lstm.generator': { ...lstm, offset: -1 } } },
      f.ValueError,
      'offset',
    )
    fails({ ...state, default: undefined }, f.ValueError, '[loadRandomState]')
    fails(null, f.ValueError, '[loadRandomState]')
    expect(() => nn.randomState(3 as never)).toThrow('[randomState] needs a module')
    nn.loadRandomState(model, state)
    expect(nn.randomState(model)).toEqual(state)
  })
})
