/** CUDA's kernels, on the emulator, compared with the reference's. */
import { describe, expect, it } from 'vitest'
import { expectClean } from './process.js'

describe('on the emulator', () => {
  it('runs every elementwise kernel as the reference does, over ragged, broadcast and strided shapes', () => {
    const kernels = Number(/^(\d+) kernels agree/.exec(expectClean('kernels.js'))?.[1])
    expect(kernels).toBeGreaterThanOrEqual(56)
  }, 300_000)

  it('finds the same with threads in reverse order, and checked for races and stray accesses', () => {
    expectClean('kernels.js', {
      FIRESTEEL_EMULATOR_CHECK: '1',
      FIRESTEEL_EMULATOR_ORDER: 'reverse',
    })
  }, 300_000)

  it('runs the cases of its families, forward and backward, as the reference does, and refuses none', () => {
    const [, agreed, refused] = /^(\d+) cases agree, (\d+) are refused/.exec(expectClean('cases.js')) ?? []
    expect(Number(agreed)).toBeGreaterThanOrEqual(400)
    expect(refused).toBe('0')
  }, 300_000)

  it('finds no races and no stray accesses in small cases, with threads in reverse order', () => {
    expectClean('cases.js', {
      FIRESTEEL_EMULATOR_CHECK: '1',
      FIRESTEEL_EMULATOR_ORDER: 'reverse',
    })
  }, 300_000)

  it('multiplies matrices of every order, by every kernel, twice to the same bits', () => {
    expectClean('products.js')
    expectClean('products.js', {
      FIRESTEEL_EMULATOR_CHECK: '1',
      FIRESTEEL_EMULATOR_ORDER: 'reverse',
    })
  }, 300_000)

  it('multiplies by warpgroups on Hopper, around tiles, pieces and stages, with copies that land late', () => {
    const hopper = { FIRESTEEL_EMULATOR_CAPABILITY: '90' }
    expectClean('products.js', hopper)
    expectClean('products.js', { ...hopper, FIRESTEEL_EMULATOR_CHECK: '1', FIRESTEEL_EMULATOR_ORDER: 'reverse' })
  }, 300_000)

  it('computes losses of logits that are never there as a whole, around its groups of rows and tiles', () => {
    expectClean('head.js')
    expectClean('head.js', {
      FIRESTEEL_EMULATOR_CHECK: '1',
      FIRESTEEL_EMULATOR_ORDER: 'reverse',
    })
  }, 120_000)

  it('runs recurrent layers both ways, with lengths and states, around blocks and steps taken together', () => {
    expectClean('recurrent.js')
    expectClean('recurrent.js', {
      FIRESTEEL_EMULATOR_CHECK: '1',
      FIRESTEEL_EMULATOR_ORDER: 'reverse',
    })
  }, 120_000)

  it('aligns sequences with labels, around a block of states and of classes, and names wrong lengths', () => {
    expectClean('ctc.js')
    expectClean('ctc.js', {
      FIRESTEEL_EMULATOR_CHECK: '1',
      FIRESTEEL_EMULATOR_ORDER: 'reverse',
    })
  }, 120_000)

  it('makes blocks to the bit, and multiplies by them in either order, with few rows and many', () => {
    expectClean('blocks.js')
    expectClean('blocks.js', {
      FIRESTEEL_EMULATOR_CHECK: '1',
      FIRESTEEL_EMULATOR_ORDER: 'reverse',
    })
  }, 120_000)

  it('attends by every kernel, masked and not, and keeps NaN from rows that do not see it', () => {
    expectClean('attention.js')
    expectClean('attention.js', {
      FIRESTEEL_EMULATOR_CHECK: '1',
      FIRESTEEL_EMULATOR_ORDER: 'reverse',
    })
  }, 120_000)

  it('sorts lines of several blocks to the bit', () => {
    expectClean('sort.js', {
      FIRESTEEL_EMULATOR_CHECK: '1',
      FIRESTEEL_EMULATOR_ORDER: 'reverse',
    })
  }, 120_000)
})
