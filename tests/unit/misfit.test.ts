/** Errors of dtypes: the argument at fault, the dtypes they name, and that following the advice once is enough. */
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'

/** The error that a call throws. */
function failure(call: () => unknown): Error | null {
  try {
    call()
    return null
  } catch (error) {
    return error as Error
  }
}

const everyDType = ['float32', 'bfloat16', 'float16', 'int32', 'uint8', 'bool'] as const

describe.each(['cpu', 'reference'])('dtypes that do not fit on %s', (device) => {
  const ones = (shape: f.Shape, dtype: f.DType = 'float32') => f.ones(shape, { device }).to(dtype)
  const wrong = (value: unknown) => value as f.Tensor

  it('what is no tensor comes before all dtypes', () => {
    const stats = wrong(undefined)
    expect(() => f.batchNorm(ones([3, 1], 'bfloat16'), stats, stats, { training: true })).toThrow(
      '[batchNorm] runningMean must be a tensor, but is of type undefined',
    )
    const weights = { wIh: ones([8, 2], 'int32'), wHh: ones([8, 2]) } as unknown as f.LstmWeights
    expect(() => f.lstm(ones([2, 1, 2]), [weights])).toThrow('[lstm] bIh must be a tensor, but is of type undefined')
    expect(() => f.conv2d(ones([1, 1, 3, 3], 'int32'), ones([1, 1, 1, 1], 'int32'), wrong('x'))).toThrow(
      '[conv2d] bias must be a tensor, but is of type string',
    )
  })

  it.each([
    ['layerNorm', () => f.layerNorm(ones([2, 2], 'int32'), [2], ones([2])), 'x is int32'],
    ['conv2d', () => f.conv2d(ones([1, 1, 3, 3], 'uint8'), ones([1, 1, 1, 1])), 'x is uint8'],
    ['batchNorm', () => f.batchNorm(ones([3, 2], 'bool'), ones([2]), ones([2])), 'x is bool'],
  ])('%s does not blame what is right', (op, call, fault) => {
    expect(failure(call)?.message).toBe(
      `[${op}] ${fault}, but must be float32 or float64 or bfloat16; convert it with .to('float32')`,
    )
  })

  it.each(['bool', 'uint8', 'float16', 'int32'] as const)('a mean of %s is told the floats', (dtype) => {
    expect(failure(() => f.mean(ones([3], dtype)))?.message).toBe(
      `[mean] x is ${dtype}, but must be float32 or float64 or bfloat16; convert it with .to('float32')`,
    )
  })

  it('factors are called as in the call, and the narrower is to be converted', () => {
    const [halves, truths] = [ones([2, 2], 'bfloat16'), ones([2, 2], 'bool')]
    expect(() => f.matmul(halves, truths)).toThrow("a is bfloat16 and b is bool; convert b with .to('bfloat16')")
    expect(() => f.linear(truths, halves)).toThrow("x is bool and weight is bfloat16; convert x with .to('bfloat16')")
    expect(() => f.linear(ones([2, 2]), halves)).toThrow('x is float32 and weight is bfloat16; convert weight with')
    expect(() => f.linear(halves, truths, ones([2], 'int32'))).toThrow(
      "weight is bool, but must be bfloat16; bias is int32, but must be float32 or bfloat16; convert them with .to('bfloat16')",
    )
    expect(() => f.autocast('bfloat16', () => f.matmul(ones([2, 2]), truths))).toThrow(
      "b is bool; convert b with .to('bfloat16')",
    )
  })

  it('a list tells its dtypes, under the name of what was called', () => {
    const list = [ones([2], 'bfloat16'), ones([2]), ones([2], 'int32'), ones([2])]
    const rule =
      "the tensors have dtypes bfloat16, float32 and int32, but must have one; convert them with .to('float32')"
    expect(failure(() => f.cat(list))?.message).toBe(`[cat] ${rule}`)
    expect(failure(() => f.stack(list))?.message).toBe(`[stack] ${rule}`)
  })

  it('a condition is reported, whatever the values are', () => {
    const [condition, floats, whole] = [ones([2], 'int32'), ones([2]), ones([2], 'int32')]
    const fault = "[where] condition is int32, but must be bool; convert it with .to('bool')"
    expect(failure(() => f.where(condition, floats, whole))?.message).toBe(fault)
    expect(failure(() => f.where(condition, whole, floats))?.message).toBe(fault)
  })

  it('sizes that a weight of another rank does not have are not named', () => {
    expect(failure(() => f.linear(ones([1, 2]), ones([2])))?.message).toBe(
      '[linear] weight must be [out, in], but is [2]',
    )
    expect(failure(() => f.linear(ones([1, 2]), ones([]), ones([2])))?.message).toBe(
      '[linear] weight must be [out, in], but is []',
    )
  })

  const dtypes = device === 'reference' ? [...everyDType, 'float64' as const] : everyDType
  const thirds = dtypes.filter((dtype) => dtype !== 'float16' && dtype !== 'uint8')
  const labels = f.zeros([2], { dtype: 'int32', device })
  const calls: {
    [op: string]: [names: readonly string[], call: (...inputs: f.Tensor[]) => unknown, shapes: f.Shape[]]
  } = {
    mul: [['a', 'b'], (a, b) => f.mul(wrong(a), wrong(b)), [[2], [2], []]],
    matmul: [['a', 'b'], (a, b) => f.matmul(wrong(a), wrong(b)), [[2, 2], [2, 2], []]],
    linear: [['x', 'weight', 'bias'], (x, w, b) => f.linear(wrong(x), wrong(w), b), [[2, 2], [2, 2], [2]]],
    where: [['condition', 'a', 'b'], (c, a, b) => f.where(wrong(c), wrong(a), wrong(b)), [[2], [2], [2]]],
    layerNorm: [['x', 'weight', 'bias'], (x, w, b) => f.layerNorm(wrong(x), [2], w, b), [[2, 2], [2], [2]]],
    conv2d: [['x', 'weight', 'bias'], (x, w, b) => f.conv2d(wrong(x), wrong(w), b), [[1, 1, 2, 2], [1, 1, 1, 1], [1]]],
    crossEntropy: [
      ['logits', 'weight'],
      (x, weight) => f.crossEntropy(wrong(x), labels, { weight: wrong(weight) }),
      [[2, 3], [3], []],
    ],
    cat: [['the tensors', '', ''], (a, b, c) => f.cat([wrong(a), wrong(b), wrong(c)]), [[2], [2], [2]]],
  }
  it.each(Object.entries(calls))('who does as the error of %s says needs one try', (_op, [names, call, shapes]) => {
    for (const first of dtypes)
      for (const second of dtypes)
        for (const third of names.length > 2 ? thirds : [first]) {
          const inputs = shapes.map((shape, i) => ones(shape, [first, second, third][i]))
          const error = failure(() => call(...inputs))
          if (error === null) continue
          expect(error).toBeInstanceOf(f.DTypeError)
          const [faults = '', advice = ''] = error.message.split('; convert ')
          const blamed = names.filter((name) => new RegExp(`(\\] |; | and )${name} (is|have) `).test(faults))
          const parts = [...advice.matchAll(/([\w]+) with \.to\('(\w+)'\)/g)]
          expect(parts.length, error.message).toBeGreaterThan(0)
          const converted = inputs.map((input, i) => {
            const part = parts.find(
              ([, who]) =>
                who === names[i] ||
                names[0] === 'the tensors' ||
                (['it', 'them', 'both'].includes(who ?? '') && blamed.includes(names[i] ?? '')),
            )
            return part === undefined ? input : input.to(part[2] as f.DType)
          })
          expect(
            failure(() => call(...converted)),
            error.message,
          ).toBeNull()
        }
  })
})

it('weights of classes are told a dtype that the next try takes', () => {
  const device = 'reference'
  const labels = f.zeros([2], { dtype: 'int32', device })
  const loss = (logits: f.DType, weight: f.DType) => () =>
    f.crossEntropy(f.ones([2, 3], { dtype: logits, device }), labels, {
      weight: f.ones([3], { dtype: weight, device }),
    })
  expect(failure(loss('bfloat16', 'float64'))?.message).toBe(
    "[crossEntropy] weight is float64, but must be float32; convert it with .to('float32')",
  )
  expect(failure(loss('float64', 'bfloat16'))?.message).toBe(
    "[crossEntropy] weight is bfloat16, but must be float64; convert it with .to('float64')",
  )
})
