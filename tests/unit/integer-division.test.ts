/** A division of integers by 0 is an error that only the data can show. */
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'

const whole = { dtype: 'int32' } as const

describe.each(['reference', 'cpu'])('on %s', (device) => {
  it.each(['fmod', 'remainder', 'floorDivide'] as const)('%s by 0 names the operator once', (name) => {
    const divide = () => {
      f[name](f.tensor([7, 8], { ...whole, device }), f.tensor([2, 0], { ...whole, device })).toArray()
    }
    expect(divide).toThrow(f.ValueError)
    expect(divide).toThrow(/^\[\w+\] an int32 is divided by 0; convert the tensors to float32/)
  })
})
