import * as nn from '../../../lib/nn/index.js'
import * as ops from '../../../lib/ops/index.js'
import { binary, bool, type Kinds, largest, module, op, unary } from './kind.js'

export const kinds: Kinds = {
  ...Object.fromEntries(
    (
      [
        'relu',
        'silu',
        'sigmoid',
        'tanh',
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
        ...(['selu', 'softsign', 'logSigmoid', 'tanhshrink', 'relu6', 'hardsigmoid', 'expm1', 'exp2', 'log2'] as const),
        ...([
          'log10',
          'atan',
          'sinh',
          'cosh',
          'tan',
          'asin',
          'acos',
          'asinh',
          'acosh',
          'atanh',
          'erfc',
          'erfinv',
        ] as const),
        ...(['sign', 'frac', 'trunc', 'round', 'ceil', 'floor', 'rad2deg', 'deg2rad', 'nanToNum'] as const),
      ] as const
    ).map((name) => [name, unary((x) => ops[name](x))]),
  ),
  gelu: op((given) => ops.gelu(given.in('x'), { approximate: given.option('approximate', 'none') })),
  softplus: op((given) =>
    ops.softplus(given.in('x'), { beta: given.option('beta', 1), threshold: given.option('threshold', 20) }),
  ),
  celu: op((given) => ops.celu(given.in('x'), { alpha: given.option('alpha', 1) })),
  softshrink: op((given) => ops.softshrink(given.in('x'), { lambd: given.option('lambd', 0.5) })),
  hardshrink: op((given) => ops.hardshrink(given.in('x'), { lambd: given.option('lambd', 0.5) })),
  hardtanh: op((given) =>
    ops.hardtanh(given.in('x'), { minVal: given.option('minVal', -1), maxVal: given.option('maxVal', 1) }),
  ),
  threshold: op((given) => ops.threshold(given.in('x'), given.arg('threshold'), given.arg('value'))),
  logit: op((given) => ops.logit(given.in('x'), { eps: given.option<number | null>('eps', null) })),
  glu: op((given) => ops.glu(given.in('x'), given.option('dim', -1))),
  swiglu: op((given) => ops.swiglu(given.in('gate'), given.in('up'))),
  prelu: module(
    (given) => new nn.PReLU({ numParameters: given.values('param.weight').data.length }),
    (layer: nn.PReLU, given) => layer.forward(given.in('x')),
  ),
  atan2: binary((a, b) => ops.atan2(a, b)),
  fmod: binary((a, b) => ops.fmod(a, b)),
  remainder: binary((a, b) => ops.remainder(a, b)),
  hypot: binary((a, b) => ops.hypot(a, b)),
  copysign: binary((a, b) => ops.copysign(a, b)),
  logaddexp: binary((a, b) => ops.logaddexp(a, b)),
  xlogy: binary((a, b) => ops.xlogy(a, b)),
  lerp: op(
    (given) =>
      ops.lerp(given.in('a'), given.in('b'), given.has('in.weight') ? given.in('weight') : given.arg<number>('weight')),
    largest,
  ),
  addcmul: op(
    (given) => ops.addcmul(given.in('a'), given.in('b'), given.in('c'), { value: given.option('value', 1) }),
    largest,
  ),
  addcdiv: op(
    (given) => ops.addcdiv(given.in('a'), given.in('b'), given.in('c'), { value: given.option('value', 1) }),
    largest,
  ),
  add: binary((a, b) => ops.add(a, b)),
  sub: binary((a, b) => ops.sub(a, b)),
  mul: binary((a, b) => ops.mul(a, b)),
  div: binary((a, b) => ops.div(a, b)),
  maximum: binary((a, b) => ops.maximum(a, b)),
  minimum: binary((a, b) => ops.minimum(a, b)),
  pow: op(
    (given) =>
      given.has('in.b') ? ops.pow(given.in('a'), given.in('b')) : ops.pow(given.in('x'), given.arg<number>('exponent')),
    largest,
  ),
  clamp: op((given) => ops.clamp(given.in('x'), given.arg('min'), given.arg('max'))),
  where: op((given) => ops.where(bool(given.in('condition')), given.in('a'), given.in('b'))),
}
