/** Errors of dtypes name all dtypes that an argument may have, wherever the error is made. */
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { publicCalls } from '../fuzz/calls.js'

/** The error of the call, or undefined if the call is sound. */
function failure(run: () => unknown): unknown {
  try {
    run()
  } catch (error) {
    return error
  }
  return undefined
}

describe('an error about a dtype', () => {
  it('names bfloat16 where it is taken', () => {
    const faults: string[] = []
    let told = 0
    for (const { names, args, call } of publicCalls) {
      args().forEach((arg, i) => {
        if (!(arg instanceof f.Tensor) || arg.dtype !== 'float32') return
        const given = (dtype: f.DType) => {
          const list = args()
          list[i] = (list[i] as f.Tensor).detach().to(dtype)
          return failure(() => call(...(list as never[])))
        }
        const error = given('int32')
        if (!(error instanceof f.DTypeError) || !error.message.includes('must be float32 or')) return
        told++
        if (!error.message.includes('bfloat16') && given('bfloat16') === undefined)
          faults.push(`${names[0]}, argument ${i}: ${error.message}`)
      })
    }
    expect(faults).toEqual([])
    // Otherwise nothing would be tested.
    expect(told).toBeGreaterThan(100)
  })
})
