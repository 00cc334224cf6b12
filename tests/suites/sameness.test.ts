/**
 * The same numbers everywhere. Bits are equal at any number of threads and from run to run. Random numbers, weights,
 * batches and masks are equal on every device. The losses of a smooth model are equal within a stated distance.
 */
import { describe, expect, it } from 'vitest'
import { NativeDevice } from '../../lib/backend/native/device.js'
import * as f from '../../lib/index.js'
import { families } from '../cases/index.js'
import { casesFor, compareBits, devices, nameOf, others, reference, runCase } from './support.js'

function on<R>(device: f.Device, run: () => R): R {
  const before = f.defaultDevice()
  f.setDefaultDevice(device)
  try {
    return run()
  } finally {
    f.setDefaultDevice(before)
  }
}

const natives = devices.filter((device) => device instanceof NativeDevice)

describe.each(natives.map((device) => [device.name, device] as const))('%s gives the same bits', (_name, device) => {
  it.each(casesFor('threads').map((each) => [nameOf(each), each.case] as const))('%s', (_title, c) => {
    const before = device.threads
    try {
      device.threads = 1
      const one = runCase(c, device, 'float32')
      for (const threads of [2, 3, 3, 1]) {
        device.threads = threads
        expect(device.threads).toBe(threads)
        compareBits(runCase(c, device, 'float32'), one)
      }
    } finally {
      device.threads = before
    }
  })
})

describe.each(others.map((device) => [device.name, device] as const))('the reference and %s', (_name, device) => {
  const random = families['random']?.cases ?? []
  it.each(random.map((c) => [nameOf({ family: 'random', case: c }), c] as const))(
    'draw the same bits: %s',
    (_title, c) => {
      compareBits(runCase(c, device, 'float32'), runCase(c, reference, 'float32'))
    },
  )

  it('draw the same from any position', () => {
    const draw = (where: f.Device) =>
      [0, 7, 2 ** 32 - 3, 2 ** 40].map((offset) => {
        const generator = new f.Generator(Number.MAX_SAFE_INTEGER, 0xffffffff)
        generator.loadStateDict({ ...generator.stateDict(), offset })
        const options = { device: where, generator }
        return [
          f.rand([333], options),
          f.randn([333], { ...options, std: 3 }),
          f.randint(-5, 2 ** 31, [333], options),
          f.dropout(f.ones([333], { device: where }), 0.5, { generator }),
        ].map((x) => [...x.dataSync()])
      })
    expect(draw(device)).toEqual(draw(reference))
  })

  const model = () =>
    new f.nn.ModuleList<f.nn.Module>([
      new f.nn.Conv2d(3, 5, 3),
      new f.nn.BatchNorm2d(5),
      new f.nn.LSTM(7, 6, { numLayers: 2, bidirectional: true }),
      new f.nn.Embedding(11, 4),
      new f.nn.TransformerEncoderLayer(8, 2, { dimFeedforward: 16 }),
      new f.nn.Linear(8, 3),
    ])

  it('make the same weights from a seed', () => {
    const weights = (where: f.Device) =>
      on(where, () => {
        f.manualSeed(42)
        return [...model().namedState()].map(([name, t]) => [name, [...t.detach().dataSync()]])
      })
    const expected = weights(reference)
    expect(expected.length).toBeGreaterThan(20)
    expect(weights(device)).toEqual(expected)
    expect(weights(device)).toEqual(expected)
  })

  it('make the same batches from a seed', async () => {
    const batches = async (where: f.Device) => {
      f.manualSeed(7)
      const data = new f.TensorDataset(f.arange(0, 23, 1, { device: where }), f.randn([23, 2], { device: where }))
      const seen: number[][] = []
      const loader = new f.DataLoader(data, { batchSize: 5, shuffle: true })
      for (let epoch = 0; epoch < 2; epoch++)
        for await (const [index, x] of loader) seen.push([...index.dataSync()], [...x.dataSync()])
      return seen
    }
    const expected = await batches(reference)
    expect(expected).toHaveLength(20)
    expect(await batches(device)).toEqual(expected)
  })

  it('drop the same in layers and in attention', () => {
    const masks = (where: f.Device) =>
      on(where, () => {
        f.manualSeed(5)
        const x = f.ones([1, 2, 9, 9])
        // If all keys are alike, the weights that attention drops are missing from the sum of the identity.
        const identity = f.expand(f.eye(9), [1, 2, 9, 9])
        const kept = f.gt(f.scaledDotProductAttention(x, x, identity, { dropoutP: 0.4 }), 0)
        const layer = f.gt(new f.nn.Dropout(0.3).forward(x), 0)
        return [kept, layer].map((mask) => mask.toArray())
      })
    expect(masks(device)).toEqual(masks(reference))
  })

  const smooth: readonly [string, (seed: number) => () => f.Tensor][] = [
    [
      'an MLP with tanh',
      () => {
        const net = new f.nn.Sequential(
          new f.nn.Linear(8, 32),
          new f.nn.Tanh(),
          new f.nn.Linear(32, 32),
          new f.nn.Tanh(),
          new f.nn.Linear(32, 4),
        )
        const optimizer = new f.optim.SGD(net.parameters(), { lr: 0.1, momentum: 0.9 })
        const [x, y] = [f.randn([33, 8]), f.randn([33, 4])]
        return () => {
          const loss = f.mseLoss(net.forward(x), y)
          net.zeroGrad()
          loss.backward()
          f.optim.clipGradNorm(net.parameters(), 1)
          optimizer.step()
          return loss
        }
      },
    ],
    [
      'a transformer',
      () => {
        const embed = new f.nn.Embedding(17, 16)
        const blocks = [0, 1].map(
          () =>
            new f.nn.TransformerEncoderLayer(16, 4, {
              dimFeedforward: 32,
              activation: 'gelu',
              normFirst: true,
              dropout: 0.1,
            }),
        )
        const head = new f.nn.Linear(16, 17)
        const all = new f.nn.ModuleList<f.nn.Module>([embed, ...blocks, head])
        const optimizer = new f.optim.AdamW(all.parameters(), { lr: 1e-3 })
        const [ids, labels] = [f.randint(0, 17, [3, 11]), f.randint(0, 17, [33])]
        return () => {
          let x: f.Tensor = embed.forward(ids)
          for (const block of blocks) x = block.forward(x, { isCausal: true })
          const loss = f.crossEntropy(f.reshape(head.forward(x) as f.Tensor, [33, 17]), labels)
          all.zeroGrad()
          loss.backward()
          optimizer.step()
          return loss
        }
      },
    ],
    [
      'an LSTM with layer norm',
      () => {
        const lstm = new f.nn.LSTM(5, 12, { bidirectional: true, batchFirst: true })
        const norm = new f.nn.LayerNorm(24)
        const head = new f.nn.Linear(24, 3)
        const all = new f.nn.ModuleList<f.nn.Module>([lstm, norm, head])
        const optimizer = new f.optim.Adam(all.parameters(), { lr: 1e-2 })
        const [x, labels] = [f.randn([7, 9, 5]), f.randint(0, 3, [63])]
        return () => {
          const { output } = lstm.forward(x)
          const loss = f.crossEntropy(f.reshape(head.forward(norm.forward(output)) as f.Tensor, [63, 3]), labels)
          all.zeroGrad()
          loss.backward()
          optimizer.step()
          return loss
        }
      },
    ],
  ]

  it.each(smooth)('agree about the losses of %s for 20 steps to 1e-4', (_title, build) => {
    const losses = (where: f.Device) =>
      on(where, () => {
        f.manualSeed(3)
        const step = build(3)
        return Array.from({ length: 20 }, () => f.scope(() => step().item()))
      })
    const [expected, actual] = [losses(reference), losses(device)]
    expect(expected[19]).toBeLessThan(expected[0] as number)
    expected.forEach((loss, i) => {
      expect(Math.abs((actual[i] as number) - loss), `step ${i}`).toBeLessThanOrEqual(1e-4)
    })
    // On one device the same seed gives the same bits.
    expect(losses(device)).toEqual(actual)
  })
})

it('generators give no number twice, and go on from a state', () => {
  const generator = new f.Generator(9)
  const [a, b] = [f.rand([5], { generator }), f.rand([5], { generator })]
  expect([...a.dataSync()]).not.toEqual([...b.dataSync()])
  const state = generator.stateDict()
  const c = f.randn([5], { generator })
  const other = new f.Generator(1)
  other.loadStateDict(state)
  expect([...f.randn([5], { generator: other }).dataSync()]).toEqual([...c.dataSync()])
  const [left, right] = [generator.split(), generator.split()]
  expect([...f.rand([5], { generator: left }).dataSync()]).not.toEqual([
    ...f.rand([5], { generator: right }).dataSync(),
  ])
})
