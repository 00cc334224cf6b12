import { describe, expect, it } from 'vitest'
import {
  draw,
  minP,
  noRepeatNgrams,
  repetitionPenalty,
  topK,
  topP,
  typicalP,
} from '../../lib/models/generation/scores.js'

const never = Number.NEGATIVE_INFINITY

describe('filters', () => {
  const scores = () => Float64Array.from([0.5, 0.2, 0.15, 0.1, 0.05].map(Math.log))
  const kept = (filter: (own: Float64Array) => void) => {
    const own = scores()
    filter(own)
    return [...own.keys()].filter((i) => own[i] !== never)
  }
  it('keep what they say', () => {
    expect(kept((own) => topK(own, 2))).toEqual([0, 1])
    expect(kept((own) => topK(own, 9))).toEqual([0, 1, 2, 3, 4])
    expect(kept((own) => topP(own, 0.49))).toEqual([0])
    expect(kept((own) => topP(own, 0.51))).toEqual([0, 1])
    expect(kept((own) => topP(own, 1))).toEqual([0, 1, 2, 3, 4])
    expect(kept((own) => minP(own, 0.29))).toEqual([0, 1, 2])
    expect(kept((own) => minP(own, 0.31))).toEqual([0, 1])
    expect(kept((own) => noRepeatNgrams(own, [1, 2, 3, 1, 2], 3))).toEqual([0, 1, 2, 4])
    expect(kept((own) => noRepeatNgrams(own, [1, 2, 1], 1))).toEqual([0, 3, 4])
    const own = Float64Array.from([2, -2, 1])
    repetitionPenalty(own, [0, 1, 1], 2)
    expect([...own]).toEqual([1, -4, 1])
  })

  it('keep tokens that are as typical as the last one kept, as in transformers', () => {
    const own = Float64Array.from([0.4, 0.4, 0.2].map(Math.log))
    typicalP(own, 0.1)
    expect([...own.keys()].filter((i) => own[i] !== never)).toEqual([0, 1])
    expect(kept((each) => typicalP(each, 0.19))).toEqual([1])
    expect(kept((each) => typicalP(each, 1))).toEqual([0, 1, 2, 3, 4])
  })

  it('keep the later of equally good tokens at the border, as a stable sort of transformers does', () => {
    const kept = (shares: readonly number[], mass: number) => {
      const own = Float64Array.from(shares.map(Math.log))
      topP(own, mass)
      return [...own.keys()].filter((i) => own[i] !== never)
    }
    expect(kept([0.25, 0.25, 0.25, 0.25], 0.3)).toEqual([2, 3])
    expect(kept([0.2, 0.4, 0.2, 0.2], 0.5)).toEqual([1, 3])
    expect(kept([0.2, 0.4, 0.2, 0.2], 0.7)).toEqual([1, 2, 3])
  })

  it('leave the shares of what they keep', () => {
    const counts = [0, 0, 0, 0, 0]
    for (let i = 0; i < 1000; i++)
      counts[draw(scores(), (i + 0.5) / 1000)] = (counts[draw(scores(), (i + 0.5) / 1000)] as number) + 1
    expect(counts).toEqual([500, 200, 150, 100, 50])
  })
})
