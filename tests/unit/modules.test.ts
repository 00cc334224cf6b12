import { describe, expect, it } from 'vitest'
import { nn, ValueError } from '../../lib/index.js'
import { captureModes, trainModes } from '../../lib/nn/module.js'

describe('modes', () => {
  const make = () => {
    const inner = new nn.Sequential(new nn.BatchNorm1d(2), new nn.Dropout(0.5))
    const model = new nn.Sequential(inner, new nn.Linear(2, 2))
    return { model, inner, norm: inner.at(0) as nn.BatchNorm1d, modes: () => model.modules().map((m) => m.training) }
  }

  it('are put back one by one, as they were', () => {
    const { model, norm, modes } = make()
    norm.eval()
    const restore = captureModes(model)
    model.eval()
    expect(modes()).toEqual([false, false, false, false, false])
    restore()
    expect(modes()).toEqual([true, true, false, true, true])
  })

  it('of inner modules last through a training, and through an evaluation before it', () => {
    for (const first of ['inner', 'model']) {
      const { model, norm, modes } = make()
      if (first === 'inner') norm.eval()
      trainModes(model)
      expect(modes()).toEqual([true, true, first === 'model', true, true])
      model.eval()
      if (first === 'model') norm.eval()
      trainModes(model)
      expect(modes()).toEqual([true, true, false, true, true])
      // Whoever says train() means all.
      model.train()
      model.eval()
      trainModes(model)
      expect(modes()).toEqual([true, true, true, true, true])
    }
  })

  it('of a module inside an evaluated one are held with it', () => {
    const { model, inner, modes } = make()
    model.eval()
    inner.eval()
    trainModes(model)
    expect(modes()).toEqual([true, false, false, false, true])
    inner.train()
    expect(modes()).toEqual([true, true, true, true, true])
  })

  it('an evaluation by somebody else holds nothing', () => {
    const { model, inner, modes } = make()
    const restore = captureModes(inner)
    inner.eval()
    restore()
    model.eval()
    trainModes(model)
    expect(modes()).toEqual([true, true, true, true, true])
  })

  it('are booleans', () => {
    expect(() => new nn.Linear(1, 1).train('eval' as never)).toThrow(ValueError)
    expect(() => new nn.Linear(1, 1).train('eval' as never)).toThrow('[Linear.train] the mode is eval')
  })
})
