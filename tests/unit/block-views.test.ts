/** Views that would cut the blocks of a quantised tensor are refused, in the name of the called function. */
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'

const x = f.rand([4, 64]).to('q8_0')

const cuts: readonly (readonly [name: string, call: () => unknown])[] = [
  ['narrow', () => x.narrow(1, 5, 10)],
  ['select', () => x.select(1, 3)],
  ['slice', () => x.slice(null, [1, 5])],
  ['split', () => x.split(10, 1)],
  ['chunk', () => x.chunk(5, 1)],
  ['tensorSplit', () => x.tensorSplit(3, 1)],
  ['tensorSplit', () => x.tensorSplit([7], 1)],
  ['unbind', () => x.unbind(1)],
  ['view', () => x.view([64, 4])],
  ['reshape', () => x.reshape([64, 4])],
  ['unflatten', () => f.unflatten(x, 1, [4, 16])],
  ['diagonal', () => f.diagonal(x)],
  ['unfold', () => x.unfold(1, 2, 1)],
]

describe('a view that cuts blocks', () => {
  it.each(cuts)('is refused in the name of %s', (name, call) => {
    let error: unknown
    try {
      call()
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(f.ShapeError)
    expect((error as Error).message).toMatch(`[${name}] a [`)
    expect((error as Error).message).toContain('would cut its blocks of 32 elements')
  })

  it('is made where it takes whole blocks', () => {
    expect(x.narrow(1, 32, 32).shape).toEqual([4, 32])
    expect(x.select(0, 1).shape).toEqual([64])
    expect(x.split(32, 1).map(({ shape }) => shape)).toEqual([
      [4, 32],
      [4, 32],
    ])
  })
})
