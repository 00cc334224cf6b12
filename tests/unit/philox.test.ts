import { describe, expect, it } from 'vitest'
import { multiplyHigh, philox4, philox4x32 } from '../../lib/core/philox.js'

/** Counter, key and words of philox4x32-10 in Random123's known-answer tests. */
const knownAnswers = [
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
] as const

describe('Philox 4x32-10', () => {
  it.each(knownAnswers)('turns counter %j and key %j into %j', (counter, key, words) => {
    const block = Uint32Array.from(counter)
    philox4x32(block, key[0], key[1])
    expect([...block]).toEqual(words)
  })

  it('spreads seed and block over both halves of key and counter', () => {
    const seed = 0x1fffff * 2 ** 32 + 0x89abcdef
    const block = 0x12345 * 2 ** 32 + 0xfedcba98
    const direct = Uint32Array.of(0xfedcba98, 0x12345, 0xcafebabe, 0)
    philox4x32(direct, 0x89abcdef, 0x1fffff)
    const out = new Uint32Array(4)
    philox4(seed, 0xcafebabe, block, out)
    expect([...out]).toEqual([...direct])
  })

  it('takes a negative seed as its two halves in two’s complement', () => {
    const direct = Uint32Array.of(7, 0, 1, 0)
    philox4x32(direct, 0xffffffff, 0xffffffff)
    const out = new Uint32Array(4)
    philox4(-1, 1, 7, out)
    expect([...out]).toEqual([...direct])
  })

  it('multiplies exactly', () => {
    const values = [0, 1, 2, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 0xd2511f53]
    for (const a of values)
      for (const b of [...values, 2 ** 32])
        expect(multiplyHigh(a, b)).toBe(Number(((BigInt(a) * BigInt(b)) >> 32n) & 0xffffffffn))
  })
})
