/** Settings of pairs of dtypes, of tensors of any dtype beside numbers, and of functions of each dtype. */
import * as f from '../../../lib/index.js'
import { named } from './images.js'
import type { Choices, Given, Setting } from './setting.js'

const all = ['float32', 'bfloat16', 'float16', 'int32', 'uint8', 'bool'] as const

/** Pairs of dtypes, of sizes [] and [3], and numbers. */
export function promotion(draw: Choices): Setting {
  const [a, b] = [draw.pick(all), draw.pick(all)]
  const value = (dtype: f.DType) => () =>
    dtype === 'bool'
      ? draw.integer(0, 1)
      : dtype === 'uint8'
        ? draw.integer(1, 5)
        : draw.integer(1, 5) * (draw.flag() ? 1 : -1) * (dtype === 'int32' ? 1 : 0.5)
  const x = draw.given(draw.pick([[], [3]]), a, value(a), false)
  const how = draw.integer(0, 3)
  const setting = (python: string, inputs: readonly Given[], call: (...x: f.Tensor[]) => f.Tensor): Setting => ({
    python,
    inputs,
    call: (x) => call(...x),
    mayDiffer: 'each library refuses dtypes that the other takes, always by a typed error',
  })
  const two: readonly (readonly [string, string])[] = [
    ['add', 'add'],
    ['sub', 'sub'],
    ['mul', 'mul'],
    ['div', 'div'],
    ['eq', 'eq'],
    ['ne', 'ne'],
    ['lt', 'lt'],
    ['ge', 'ge'],
    ['maximum', 'maximum'],
    ['minimum', 'minimum'],
    ['pow', 'pow'],
    ['floorDivide', 'floor_divide'],
    ['remainder', 'remainder'],
    ['fmod', 'fmod'],
    ['atan2', 'atan2'],
    ['bitwiseAnd', 'bitwise_and'],
    ['bitwiseOr', 'bitwise_or'],
    ['bitwiseXor', 'bitwise_xor'],
    ['logicalAnd', 'logical_and'],
    ['logicalXor', 'logical_xor'],
    ['where', 'where'],
    ['copysign', 'copysign'],
    ['hypot', 'hypot'],
    ['logaddexp', 'logaddexp'],
    ['xlogy', 'xlogy'],
    ['matmul', 'matmul'],
    ['cat', 'cat'],
    ['stack', 'stack'],
    ['lerp', 'lerp'],
    ['addcmul', 'addcmul'],
  ]
  const one: readonly (readonly [string, string])[] = [
    ['sum', 'sum'],
    ['prod', 'prod'],
    ['mean', 'mean'],
    ['amax', 'amax'],
    ['max', 'max'],
    ['variance', 'var'],
    ['cumsum', 'cumsum'],
    ['cumprod', 'cumprod'],
    ['logsumexp', 'logsumexp'],
    ['exp', 'exp'],
    ['sqrt', 'sqrt'],
    ['abs', 'abs'],
    ['neg', 'neg'],
    ['sign', 'sign'],
    ['floor', 'floor'],
    ['round', 'round'],
    ['square', 'square'],
    ['reciprocal', 'reciprocal'],
    ['sigmoid', 'sigmoid'],
    ['isnan', 'isnan'],
    ['logicalNot', 'logical_not'],
    ['bitwiseNot', 'bitwise_not'],
    ['relu', 'relu'],
    ['softmax', 'softmax'],
    ['countNonzero', 'count_nonzero'],
    ['argmax', 'argmax'],
    ['sort', 'sort'],
    ['unique', 'unique'],
    ['nansum', 'nansum'],
    ['median', 'median'],
    ['trunc', 'trunc'],
    ['frac', 'frac'],
    ['signbit', 'signbit'],
    ['isfinite', 'isfinite'],
  ]
  if (how === 0) {
    const [ours, theirs] = draw.pick(one)
    const needsDim = ['cumsum', 'cumprod', 'logsumexp', 'softmax'].includes(ours)
    const y = draw.given([3], a, value(a), false)
    const first = ours === 'sort' ? '[0]' : ''
    return setting(`torch.${theirs}(x0${needsDim ? ', 0' : ''})${first}`, [y], (x) => {
      const result = needsDim ? named(ours)(x, 0) : named(ours)(x)
      return (Array.isArray(result) ? result[0] : result) as f.Tensor
    })
  }
  const [ours, theirs] = draw.pick(two)
  if (how === 1 && ['add', 'sub', 'mul', 'div', 'eq', 'lt', 'ge', 'pow', 'remainder', 'fmod'].includes(ours)) {
    const number = draw.pick([2, 3, 1.5, 0.5])
    return setting(`torch.${theirs}(x0, ${number})`, [x], (x) => named(ours)(x, number) as f.Tensor)
  }
  const same = ['cat', 'stack', 'matmul', 'lerp', 'addcmul'].includes(ours)
  const p = same ? draw.given([3], a, value(a), false) : x
  const q = draw.given(same ? [3] : draw.pick([[], [3]]), b, value(b), false)
  if (ours === 'cat' || ours === 'stack')
    return setting(`torch.${theirs}([x0, x1])`, [p, q], (x, y) => named(ours)([x, y]) as f.Tensor)
  if (ours === 'where')
    return setting('torch.where(torch.tensor(True), x0, x1)', [x, q], (x, y) =>
      f.where(f.tensor(true, { device: x.device }), x, y),
    )
  if (ours === 'lerp') return setting('torch.lerp(x0, x1, 0.25)', [p, q], (x, y) => f.lerp(x, y, 0.25))
  if (ours === 'addcmul')
    return setting('torch.addcmul(x0, x0, x1, value=2)', [p, q], (x, y) => f.addcmul(x, x, y, { value: 2 }))
  return setting(`torch.${theirs}(x0, x1)`, [p, q], (x, y) => named(ours)(x, y) as f.Tensor)
}
