import { describe, expect, test } from 'vitest'
import { nn, randn, type Tensor, trace } from '../../lib/index.js'
import { recomputing } from '../../lib/nn/recompute.js'

class Own extends nn.Module {
  readonly embed = new nn.Linear(4, 4)
  readonly layers = [0, 1].map(() => new nn.Sequential(new nn.Linear(4, 4), new nn.Linear(4, 4)))
  given = (): unknown => this.layers
  blocks(): nn.Module[] {
    return this.given() as nn.Module[]
  }
  forward(x: Tensor): Tensor {
    return this.layers.reduce((y, layer) => layer.forward(y).tanh(), this.embed.forward(x))
  }
}

class Listed extends nn.Module {
  blocks: unknown
  constructor(blocks: unknown) {
    super()
    this.blocks = blocks
  }
  forward(): never {
    throw new Error('is not called')
  }
}

describe('blocks of a model', () => {
  test('are what the model declares, by a method or a list', () => {
    const own = new Own()
    expect(nn.blocksOf(own)).toEqual(own.layers)
    const list = new nn.ModuleList([new nn.Linear(2, 2), new nn.Linear(2, 2)])
    expect(nn.blocksOf(new Listed(list))).toEqual([...list])
    expect(nn.blocksOf(new Listed(6))).toBeNull()
    expect(nn.blocksOf(new Listed(['a']))).toBeNull()
    expect(nn.blocksOf(new nn.Linear(2, 2))).toBeNull()
  })

  test('of the containers are their layers', () => {
    const sequential = new nn.Sequential(new nn.Linear(2, 2), new nn.ReLU())
    expect(nn.blocksOf(sequential)).toEqual([sequential.at(0), sequential.at(1)])
    const both = new nn.Transformer({
      dModel: 4,
      nhead: 2,
      numEncoderLayers: 2,
      numDecoderLayers: 1,
      dimFeedforward: 4,
    })
    const names = new Map(both.namedModules().map(([name, module]) => [module, name]))
    expect(nn.blocksOf(both)?.map((block) => names.get(block))).toEqual([
      'encoder.layers.0',
      'encoder.layers.1',
      'decoder.layers.0',
    ])
  })

  test('must be modules within the model', () => {
    const own = new Own()
    own.given = () => null
    expect(() => nn.blocksOf(own)).toThrow('[Own.blocks] gave null')
    own.given = () => [new nn.Linear(2, 2)]
    expect(() => nn.blocksOf(own)).toThrow('block 0 is a Linear that is not in the model')
    own.given = () => [own.embed, own]
    expect(() => nn.blocksOf(own)).toThrow('block 1 is the model itself')
  })
})

describe('modules that are computed again', () => {
  const gradients = (model: nn.Module & { forward(x: Tensor): Tensor }, x: Tensor, groups: nn.Module[][]) => {
    model.zeroGrad()
    const { result, kernels } = trace(() => {
      const loss = recomputing(groups, () => model.forward(x)).sum()
      loss.backward()
      return loss
    })
    const found = [...model.parameters()].map((parameter) => [...(parameter.grad as Tensor).dataSync()])
    return { loss: result.item(), found, products: kernels.filter(({ kernel }) => kernel.startsWith('matmul')).length }
  }

  // The last recomputed product is left out, because only its inputs are saved.
  test.each([
    ['each', (layers: nn.Module[]) => layers.map((layer) => [layer]), [2, 0]],
    ['together', (layers: nn.Module[]) => [layers], [2, 1]],
  ] as const)('%s, they give the same bits', (_, group, products) => {
    const own = new Own()
    const chain = new nn.Sequential(new nn.Linear(4, 4), new nn.ReLU(), new nn.Dropout(0), new nn.Linear(4, 4))
    const x = randn([3, 4])
    for (const [i, model] of [own, chain].entries()) {
      const plain = gradients(model, x, [])
      const again = gradients(model, x, group([...(nn.blocksOf(model) ?? [])]))
      expect(again.found).toEqual(plain.found)
      expect(again.loss).toBe(plain.loss)
      expect(again.products - plain.products).toBe(products[i])
    }
  })

  test('run their own hooks once', () => {
    const own = new Own()
    let calls = 0
    own.layers[1]?.registerForwardHook(() => void calls++)
    gradients(own, randn([3, 4]), [own.layers])
    expect(calls).toBe(1)
  })
})
