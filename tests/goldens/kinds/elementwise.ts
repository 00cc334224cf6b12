import * as ops from '../../../lib/ops/index.js'
import { binary, bool, type Kinds, op, unary } from './kind.js'

export const kinds: Kinds = {
  ...Object.fromEntries(
    (
      [
        'relu',
        'silu',
        'sigmoid',
        'tanh',
        'softplus',
        'elu',
        'leakyRelu',
        'mish',
        'hardswish',
        'exp',
        'sin',
        'cos',
        'erf',
        'neg',
        'abs',
        'square',
        'log',
        'sqrt',
        'rsqrt',
        'reciprocal',
        'log1p',
      ] as const
    ).map((name) => [name, unary((x) => ops[name](x))]),
  ),
  gelu: op((given) => ops.gelu(given.in('x'), { approximate: given.option('approximate', 'none') })),
  add: binary((a, b) => ops.add(a, b)),
  sub: binary((a, b) => ops.sub(a, b)),
  mul: binary((a, b) => ops.mul(a, b)),
  div: binary((a, b) => ops.div(a, b)),
  maximum: binary((a, b) => ops.maximum(a, b)),
  minimum: binary((a, b) => ops.minimum(a, b)),
  pow: op((given) => ops.pow(given.in('x'), given.arg<number>('exponent'))),
  clamp: op((given) => ops.clamp(given.in('x'), given.arg('min'), given.arg('max'))),
  where: op((given) => ops.where(bool(given.in('condition')), given.in('a'), given.in('b'))),
}
