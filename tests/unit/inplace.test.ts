import { describe, expect, it } from 'vitest'
import { arange, nn } from '../../lib/index.js'
import { deviceNames } from '../suites/support.js'

describe.each(deviceNames)('copy_ on %s', (device) => {
  const numbers = () => arange(0, 6, 1, { dtype: 'float32', device })
  it('takes the tensor itself', () => {
    const x = numbers()
    x.copy_(x)
    x.view([2, 3]).copy_(x.view([2, 3]))
    expect([...x.dataSync()]).toEqual([0, 1, 2, 3, 4, 5])
  })
  it('takes parts that overlap', () => {
    const x = numbers()
    x.narrow(0, 1, 5).copy_(x.narrow(0, 0, 5))
    expect([...x.dataSync()]).toEqual([0, 0, 1, 2, 3, 4])
    const y = arange(0, 4, 1, { dtype: 'float32', device }).view([2, 2])
    y.copy_(y.transpose(0, 1))
    expect([...y.dataSync()]).toEqual([0, 2, 1, 3])
    const z = numbers()
    z.copy_(z.narrow(0, 3, 1))
    expect([...z.dataSync()]).toEqual([3, 3, 3, 3, 3, 3])
  })
  it('loads a model its own state', () => {
    const layer = new nn.Linear(3, 2, { device })
    const before = [...layer.weight.dataSync()]
    layer.loadStateDict(layer.stateDict())
    expect([...layer.weight.dataSync()]).toEqual(before)
  })
})
