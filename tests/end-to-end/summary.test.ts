import { describe, expect, it } from 'vitest'
import { memory, nn } from '../../lib/index.js'

describe('summary', () => {
  const make = () =>
    new nn.Sequential(
      new nn.Conv2d(1, 4, 3, { padding: 1 }),
      new nn.BatchNorm2d(4),
      new nn.Flatten(),
      new nn.Dropout(0.5),
      new nn.Linear(256, 10),
    )

  it('tells layers, shapes, parameters and what is trained', () => {
    const model = make()
    model.at(4)?.requiresGrad_(false)
    const summary = model.summary([2, 1, 8, 8])
    expect(summary.layers.map(({ path, type, outputShapes }) => [path, type, outputShapes])).toEqual([
      ['', 'Sequential', [[2, 10]]],
      ['0', 'Conv2d', [[2, 4, 8, 8]]],
      ['1', 'BatchNorm2d', [[2, 4, 8, 8]]],
      ['2', 'Flatten', [[2, 256]]],
      ['3', 'Dropout', [[2, 256]]],
      ['4', 'Linear', [[2, 10]]],
    ])
    expect(summary).toMatchObject({ parameters: 40 + 8 + 2570, trainable: 48, buffers: 9 })
    expect(summary.toString().split('\n')).toEqual([
      'layer            output        parameters  trainable',
      '----------------------------------------------------',
      'Sequential       [2, 10]                -          -',
      '  0 Conv2d       [2, 4, 8, 8]          40         40',
      '  1 BatchNorm2d  [2, 4, 8, 8]           8          8',
      '  2 Flatten      [2, 256]               -          -',
      '  3 Dropout      [2, 256]               -          -',
      '  4 Linear       [2, 10]            2,570          0',
      '----------------------------------------------------',
      '2,618 parameters, 48 trainable, 9 elements of buffers',
    ])
  })

  it('names rows by their path within the layer around', () => {
    class Encoder extends nn.Module {
      layers = { a: [new nn.Linear(2, 2)], b: [new nn.Linear(2, 3)] }
      forward() {}
    }
    class Whole extends nn.Module {
      encoders = new Map([
        ['left', new Encoder()],
        ['right', new Encoder()],
      ])
      head = new nn.Linear(3, 1)
      forward() {}
    }
    const rows = String(new Whole().summary()).split('\n').slice(2, -2)
    expect(rows.map((row) => row.replace(/ {2,}[\d-]+ +[\d-]+$/, ''))).toEqual([
      'Whole',
      '  encoders.left Encoder',
      '    layers.a.0 Linear',
      '    layers.b.0 Linear',
      '  encoders.right Encoder',
      '    layers.a.0 Linear',
      '    layers.b.0 Linear',
      '  head Linear',
    ])
  })

  it('changes nothing: neither modes nor statistics nor memory', () => {
    const model = make()
    model.at(1)?.eval()
    const before = memory().tensors
    const running = model.stateDict().get('1.running_mean')?.clone()
    model.summary([2, 1, 8, 8])
    expect(memory().tensors).toBe(before + 1)
    expect(model.stateDict().get('1.running_mean')?.dataSync()).toEqual(running?.dataSync())
    expect([...model.modules()].map(({ training }) => training)).toEqual([true, true, false, true, true, true])
  })

  it('counts a shared parameter once, and needs no shape', () => {
    const first = new nn.Linear(4, 4)
    const second = new nn.Linear(4, 4)
    second.weight = first.weight
    const summary = new nn.Sequential(first, second).summary()
    expect(summary.parameters).toBe(16 + 4 + 4)
    expect(String(summary)).not.toContain('output')
  })

  it('throws what the forward throws', () => {
    expect(() => make().summary([2, 3, 8, 8])).toThrow(/^\[conv2d\]/)
  })
})
