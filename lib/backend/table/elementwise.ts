/** The rows of elementwise functions: any strides, broadcast by stride 0. */
import { every, floats, numbers } from './grammar.js'

/** out = f(x), one line for each function. The line of the derivative says what its backward reads. */
const unary = { args: { out: 'out T', x: 'strided T' }, T: floats } as const
/** Like unary, but for functions whose results suffer too much from a rounded argument. */
const exact = { ...unary, precision: 'float32' } as const
/** dx = dy * f'(x) */
const unaryBackward = { args: { dx: 'out T', dy: 'strided T', x: 'strided T' }, T: floats } as const
const binary = { args: { out: 'out T', a: 'strided T', b: 'strided T' }, T: numbers } as const
const bits = { ...binary, T: ['int32'] } as const
const comparison = { args: { out: 'out bool', a: 'strided T', b: 'strided T' }, T: every } as const

export const elementwise = {
  add: binary,
  sub: binary,
  mul: binary,
  div: { ...binary, T: floats },
  maximum: binary,
  minimum: binary,
  pow: { ...binary, precision: 'float32' },
  eq: comparison,
  ne: comparison,
  lt: comparison,
  le: comparison,
  gt: comparison,
  ge: comparison,
  /** out = x * scale + shift */
  affine: { ...unary, args: { ...unary.args, scale: 'number', shift: 'number' }, T: numbers },
  /** out = x ** exponent */
  pow_scalar: { ...exact, args: { ...unary.args, exponent: 'number' }, T: numbers },
  clamp: { ...unary, args: { ...unary.args, min: 'number', max: 'number' }, T: numbers },
  /** dx = dy where min <= x <= max, else 0 */
  clamp_backward: { ...unaryBackward, args: { ...unaryBackward.args, min: 'number', max: 'number' } },
  where: {
    args: { out: 'out T', condition: 'strided bool', a: 'strided T', b: 'strided T' },
    T: every,
  },
  neg: { ...unary, T: numbers },
  abs: { ...unary, T: numbers },
  sign: { ...unary, T: numbers },
  square: { ...exact, T: numbers },
  exp: exact,
  log: exact,
  log1p: exact,
  sqrt: exact,
  rsqrt: exact,
  reciprocal: exact,
  sin: exact,
  cos: exact,
  tanh: unary,
  erf: exact,
  sigmoid: unary,
  floor: { ...unary, T: numbers },
  ceil: { ...unary, T: numbers },
  trunc: { ...unary, T: numbers },
  /** rounds to the nearest whole number, ties to the even one */
  round: { ...unary, T: numbers },
  expm1: exact,
  exp2: exact,
  log2: exact,
  log10: exact,
  tan: exact,
  asin: exact,
  acos: exact,
  atan: exact,
  sinh: exact,
  cosh: exact,
  asinh: exact,
  acosh: exact,
  atanh: exact,
  erfc: exact,
  erfinv: exact,
  lgamma: exact,
  digamma: exact,
  /** the derivative of digamma of an order of at least 1 */
  polygamma: { ...exact, args: { ...unary.args, order: 'number' } },
  atan2: { ...binary, T: floats, precision: 'float32' },
  hypot: { ...binary, T: floats },
  /** |a| with the sign of b, that of zeros and NaN too */
  copysign: { ...binary, T: floats },
  /** a - b trunc(a / b): has the sign of a */
  fmod: binary,
  /** a - b floor(a / b): has the sign of b */
  remainder: binary,
  /** floor(a / b), or trunc(a / b) */
  quotient: { ...binary, calledAs: 'div', args: { ...binary.args, floors: 'flag' } },
  bitwise_and: { ...bits, calledAs: 'bitwiseAnd' },
  bitwise_or: { ...bits, calledAs: 'bitwiseOr' },
  bitwise_xor: { ...bits, calledAs: 'bitwiseXor' },
  /** a << b, 0 where b is not from 0 to 31 */
  bitwise_left_shift: { ...bits, calledAs: 'bitwiseLeftShift' },
  /** a >> b with the sign drawn in, by 31 where b is not from 0 to 31 */
  bitwise_right_shift: { ...bits, calledAs: 'bitwiseRightShift' },
  relu: { ...unary, T: numbers },
  /** dx = dy where y > 0, else 0; the third argument is the output of relu, which says the same as its input */
  relu_backward: { args: { dx: 'out T', dy: 'strided T', y: 'strided T' }, T: floats },
  silu: unary,
  silu_backward: unaryBackward,
  mish: unary,
  mish_backward: unaryBackward,
  hardswish: unary,
  hardswish_backward: unaryBackward,
  /** tanhApproximation selects the tanh form; else the exact erf form */
  gelu: { ...unary, args: { ...unary.args, tanhApproximation: 'flag' } },
  gelu_backward: { ...unaryBackward, args: { ...unaryBackward.args, tanhApproximation: 'flag' } },
  softplus: { ...exact, args: { ...unary.args, beta: 'number', threshold: 'number' } },
  softplus_backward: { ...unaryBackward, args: { ...unaryBackward.args, beta: 'number', threshold: 'number' } },
  elu: { ...unary, args: { ...unary.args, alpha: 'number' } },
  elu_backward: { ...unaryBackward, args: { ...unaryBackward.args, alpha: 'number' } },
  leaky_relu: { ...unary, calledAs: 'leakyRelu', args: { ...unary.args, slope: 'number' } },
  leaky_relu_backward: {
    ...unaryBackward,
    calledAs: 'leakyRelu backward',
    args: { ...unaryBackward.args, slope: 'number' },
  },
  /** dx = dy * y * (1 - y); the third argument is the output of sigmoid, not its input */
  sigmoid_backward: { args: { dx: 'out T', dy: 'strided T', y: 'strided T' }, T: floats },
  /** dx = dy * (1 - y * y); the third argument is the output of tanh */
  tanh_backward: { args: { dx: 'out T', dy: 'strided T', y: 'strided T' }, T: floats },
} as const
