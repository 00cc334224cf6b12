/**
 * Elementwise kernels: out[i] = f(x[i]). Arguments carry out's shape, broadcast by strides of 0; out is dense. Numbers
 * are computed in float64 and rounded when they are stored. The operations of every training step have loops of their
 * own, which V8 compiles to a few instructions per element. The others call a function for each element.
 */
import type { TypedArray } from '../../core/dtype.js'
import { ValueError } from '../../core/errors.js'
import type { families, Kernels } from '../table/index.js'
import { erf, erfc, erfinv } from './erf.js'
import { digamma, lgamma, polygamma } from './gamma.js'
import { widened } from './half.js'
import type { HostView } from './view.js'
import { walk } from './walk.js'

type ElementwiseName = keyof (typeof families)['elementwise']

interface Unary {
  readonly out: HostView
  readonly x: HostView
}
interface Binary {
  readonly out: HostView
  readonly a: HostView
  readonly b: HostView
}
interface Backward {
  readonly dx: HostView
  readonly dy: HostView
  readonly x: HostView
}

interface Limits {
  readonly min: number
  readonly max: number
}

/** A row of n elements: out is dense from o; x starts at i and steps by di, y at j by dj. */
type UnaryRow<A> = (n: number, out: TypedArray, o: number, x: TypedArray, i: number, di: number, args: A) => void
type BinaryRow = (
  n: number,
  out: TypedArray,
  o: number,
  x: TypedArray,
  i: number,
  di: number,
  y: TypedArray,
  j: number,
  dj: number,
) => void

function unaryRows<A extends Unary>(row: UnaryRow<A>, int32Row = row): (args: A) => void {
  return (args) => {
    const { out, x } = args
    const run = out.dtype === 'int32' ? int32Row : row
    walk(out.shape, [out, x], (n, [o = 0, i = 0], [, di = 0]) => run(n, out.data, o, x.data, i, di, args))
  }
}

function runBinary(row: BinaryRow, out: HostView, a: HostView, b: HostView): void {
  walk(out.shape, [out, a, b], (n, [o = 0, i = 0, j = 0], [, di = 0, dj = 0]) =>
    row(n, out.data, o, a.data, i, di, b.data, j, dj),
  )
}

function unary<A extends Unary>(f: (x: number, args: A) => number): (args: A) => void {
  return unaryRows((n, out, o, x, i, di, args) => {
    for (let k = 0; k < n; k++) out[o + k] = f(x[i + k * di] as number, args)
  })
}

function binaryRows(row: BinaryRow, int32Row = row): (args: Binary) => void {
  return ({ out, a, b }) => runBinary(out.dtype === 'int32' ? int32Row : row, out, a, b)
}

function binary(f: (a: number, b: number) => number): (args: Binary) => void {
  return binaryRows((n, out, o, x, i, di, y, j, dj) => {
    for (let k = 0; k < n; k++) out[o + k] = f(x[i + k * di] as number, y[j + k * dj] as number)
  })
}

function comparison(f: (a: number, b: number) => boolean): (args: Binary) => void {
  return ({ out, a, b }) =>
    runBinary(
      (n, truth, o, x, i, di, y, j, dj) => {
        for (let k = 0; k < n; k++) truth[o + k] = f(x[i + k * di] as number, y[j + k * dj] as number) ? 1 : 0
      },
      out,
      widened(a),
      widened(b),
    )
}

/** dx = f(dy, x) */
function backward<A extends Backward>(f: (dy: number, x: number, args: A) => number): (args: A) => void {
  return (args) =>
    runBinary(
      (n, dx, o, dy, i, di, x, j, dj) => {
        for (let k = 0; k < n; k++) dx[o + k] = f(dy[i + k * di] as number, x[j + k * dj] as number, args)
      },
      args.dx,
      args.dy,
      args.x,
    )
}

/** dx = f(dy, y), for functions whose derivative follows from their output */
function backwardOfOutput(f: (dy: number, y: number) => number) {
  return ({ dx, dy, y }: { dx: HostView; dy: HostView; y: HostView }) => backward(f)({ dx, dy, x: y })
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))
const softplus = (x: number) => Math.log1p(Math.exp(x))
/**
 * C's pow, which is defined in more cases than JavaScript's: 1 to any power is 1, and so is any number to the power 0.
 */
const pow = (x: number, e: number) => (x === 1 || (x === -1 && Math.abs(e) === Number.POSITIVE_INFINITY) ? 1 : x ** e)

/** A power of int32 by squaring. Negative exponents give reciprocals, truncated to whole numbers. */
function wholePow(base: number, exponent: number): number {
  if (exponent < 0) return base === 1 ? 1 : base === -1 ? (exponent % 2 === 0 ? 1 : -1) : 0
  let power = 1
  for (let square = base, rest = exponent; rest > 0; rest = Math.floor(rest / 2), square = Math.imul(square, square))
    if (rest % 2 === 1) power = Math.imul(power, square)
  return power
}

// gelu(x) = x * Phi(x); the tanh form is of Hendrycks and Gimpel, arXiv 1606.08415.
const phi = (x: number) => Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI)
const bigPhi = (x: number) => 0.5 * (1 + erf(x * Math.SQRT1_2))
const geluTanh = (x: number) => Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))

function geluTanhDerivative(x: number): number {
  const t = geluTanh(x)
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x * x)
}

function mishDerivative(x: number): number {
  const t = Math.tanh(softplus(x))
  return t + x * sigmoid(x) * (1 - t * t)
}

function siluDerivative(x: number): number {
  const s = sigmoid(x)
  return s * (1 + x * (1 - s))
}

/** Comparisons in which NaN wins, and of two zeros the second one, as in PyTorch. */
const largest = (a: number, b: number) => (a > b || Number.isNaN(a) ? a : b)
const smallest = (a: number, b: number) => (a < b || Number.isNaN(a) ? a : b)

/** Rounds to the nearest whole number, ties to the even one. */
function toEven(x: number): number {
  const whole = Math.round(x)
  return Math.abs(x % 1) === 0.5 && whole % 2 !== 0 ? whole - 1 : whole
}

function copySign(a: number, b: number): number {
  const negative = b < 0 || Object.is(b, -0)
  return negative ? -Math.abs(a) : Math.abs(a)
}

function remainder(a: number, b: number): number {
  const rest = a % b
  return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest
}

/**
 * The floor of the exact quotient. a / b itself may round up to the next whole number, so it cannot simply be rounded
 * down.
 */
function floorOfQuotient(a: number, b: number): number {
  if (b === 0) return a / b
  const rest = a % b
  const quotient = (a - rest) / b - (rest !== 0 && b < 0 !== rest < 0 ? 1 : 0)
  if (quotient === 0) return copySign(0, a / b)
  const whole = Math.floor(quotient)
  return quotient - whole > 0.5 ? whole + 1 : whole
}

/** Does the same as `binary` for divisions: an int32 divisor of 0 is an error. */
function division(op: string, f: (a: number, b: number) => number): (args: Binary) => void {
  const whole = (a: number, b: number): number => {
    if (b === 0)
      throw new ValueError(op, 'an int32 is divided by 0; convert the tensors to float32, which has infinities and NaN')
    return f(a, b) | 0
  }
  return (args) => binary(args.out.dtype === 'int32' ? whole : f)(args)
}

/** A number as the dtype of the elements beside it holds it. */
const held = (out: TypedArray, value: number) => (out instanceof Float32Array ? Math.fround(value) : value)

/** The arguments of a clamp, with the limits as the dtype of the elements holds them. */
const heldLimits = <A extends Limits>({ data }: HostView, args: A): A => ({
  ...args,
  min: held(data, args.min),
  max: held(data, args.max),
})

/** Copies bits, so it serves every dtype. */
function where({ out, condition, a, b }: Binary & { condition: HostView }): void {
  const [to, from, x, y] = [out.data, condition.data, a.data, b.data]
  walk(out.shape, [out, condition, a, b], (n, [o = 0, c = 0, i = 0, j = 0], [, dc = 0, di = 0, dj = 0]) => {
    for (let k = 0; k < n; k++) to[o + k] = (from[c + k * dc] ? x[i + k * di] : y[j + k * dj]) as number
  })
}

function relu_backward({ dx, dy, y }: Pick<Backward, 'dx' | 'dy'> & { readonly y: HostView }): void {
  runBinary(
    (n, dx, o, dy, i, di, y, j, dj) => {
      for (let k = 0; k < n; k++) dx[o + k] = (y[j + k * dj] as number) <= 0 ? 0 : (dy[i + k * di] as number)
    },
    dx,
    dy,
    y,
  )
}

export const elementwise = {
  add: binaryRows((n, out, o, x, i, di, y, j, dj) => {
    for (let k = 0; k < n; k++) out[o + k] = (x[i + k * di] as number) + (y[j + k * dj] as number)
  }),
  sub: binaryRows((n, out, o, x, i, di, y, j, dj) => {
    for (let k = 0; k < n; k++) out[o + k] = (x[i + k * di] as number) - (y[j + k * dj] as number)
  }),
  mul: binaryRows(
    (n, out, o, x, i, di, y, j, dj) => {
      for (let k = 0; k < n; k++) out[o + k] = (x[i + k * di] as number) * (y[j + k * dj] as number)
    },
    (n, out, o, x, i, di, y, j, dj) => {
      for (let k = 0; k < n; k++) out[o + k] = Math.imul(x[i + k * di] as number, y[j + k * dj] as number)
    },
  ),
  div: binaryRows((n, out, o, x, i, di, y, j, dj) => {
    for (let k = 0; k < n; k++) out[o + k] = (x[i + k * di] as number) / (y[j + k * dj] as number)
  }),
  maximum: binary(largest),
  minimum: binary(smallest),
  pow: (args) => binary(args.out.dtype === 'int32' ? wholePow : pow)(args),
  eq: comparison((a, b) => a === b),
  ne: comparison((a, b) => a !== b),
  lt: comparison((a, b) => a < b),
  le: comparison((a, b) => a <= b),
  gt: comparison((a, b) => a > b),
  ge: comparison((a, b) => a >= b),
  affine: unaryRows(
    (n, out, o, x, i, di, args) => {
      const scale = held(out, args.scale)
      const shift = held(out, args.shift)
      for (let k = 0; k < n; k++) out[o + k] = (x[i + k * di] as number) * scale + shift
    },
    (n, out, o, x, i, di, { scale, shift }) => {
      for (let k = 0; k < n; k++) out[o + k] = Math.imul(x[i + k * di] as number, scale) + shift
    },
  ),
  pow_scalar: unaryRows(
    (n, out, o, x, i, di, args) => {
      const exponent = held(out, args.exponent)
      // Roots of -0 and of -infinity are those of sqrt, as in PyTorch.
      const f = exponent === 0.5 ? Math.sqrt : exponent === -0.5 ? (x: number) => 1 / Math.sqrt(x) : pow
      for (let k = 0; k < n; k++) out[o + k] = f(x[i + k * di] as number, exponent)
    },
    (n, out, o, x, i, di, { exponent }) => {
      for (let k = 0; k < n; k++) out[o + k] = wholePow(x[i + k * di] as number, exponent)
    },
  ),
  clamp: (args) =>
    unary<Unary & Limits>((x, { min, max }) => smallest(max, largest(min, x)))(heldLimits(args.out, args)),
  clamp_backward: (args) =>
    backward<Backward & Limits>((dy, x, { min, max }) => (x >= min && x <= max ? dy : 0))(heldLimits(args.dx, args)),
  where,
  neg: unary((x) => -x),
  abs: unary(Math.abs),
  sign: unary((x) => (x > 0 ? 1 : x < 0 ? -1 : 0)),
  square: unaryRows(
    (n, out, o, x, i, di) => {
      for (let k = 0; k < n; k++) out[o + k] = (x[i + k * di] as number) * (x[i + k * di] as number)
    },
    (n, out, o, x, i, di) => {
      for (let k = 0; k < n; k++) out[o + k] = Math.imul(x[i + k * di] as number, x[i + k * di] as number)
    },
  ),
  exp: unary(Math.exp),
  log: unary(Math.log),
  log1p: unary(Math.log1p),
  sqrt: unary(Math.sqrt),
  rsqrt: unary((x) => 1 / Math.sqrt(x)),
  reciprocal: unary((x) => 1 / x),
  sin: unary(Math.sin),
  cos: unary(Math.cos),
  tanh: unary(Math.tanh),
  erf: unary(erf),
  sigmoid: unary(sigmoid),
  floor: unary(Math.floor),
  ceil: unary(Math.ceil),
  trunc: unary(Math.trunc),
  round: unary(toEven),
  expm1: unary(Math.expm1),
  exp2: unary((x) => 2 ** x),
  log2: unary(Math.log2),
  log10: unary(Math.log10),
  tan: unary(Math.tan),
  asin: unary(Math.asin),
  acos: unary(Math.acos),
  atan: unary(Math.atan),
  sinh: unary(Math.sinh),
  cosh: unary(Math.cosh),
  asinh: unary(Math.asinh),
  acosh: unary(Math.acosh),
  atanh: unary(Math.atanh),
  erfc: unary(erfc),
  erfinv: unary(erfinv),
  lgamma: unary(lgamma),
  digamma: unary(digamma),
  polygamma: unary((x, { order }) => polygamma(x, order)),
  atan2: binary(Math.atan2),
  hypot: binary(Math.hypot),
  copysign: binary(copySign),
  fmod: division('fmod', (a, b) => a % b),
  remainder: division('remainder', remainder),
  quotient: (args) => division('div', args.floors ? floorOfQuotient : (a, b) => Math.trunc(a / b))(args),
  bitwise_and: binary((a, b) => a & b),
  bitwise_or: binary((a, b) => a | b),
  bitwise_xor: binary((a, b) => a ^ b),
  bitwise_left_shift: binary((a, b) => (b >= 0 && b < 32 ? a << b : 0)),
  bitwise_right_shift: binary((a, b) => a >> (b >= 0 && b < 32 ? b : 31)),
  relu: unaryRows((n, out, o, x, i, di) => {
    for (let k = 0; k < n; k++) out[o + k] = largest(0, x[i + k * di] as number)
  }),
  relu_backward,
  silu: unary((x) => x * sigmoid(x)),
  silu_backward: backward((dy, x) => dy * siluDerivative(x)),
  mish: unary((x) => x * Math.tanh(softplus(x))),
  mish_backward: backward((dy, x) => dy * mishDerivative(x)),
  hardswish: unary((x) => (x * Math.min(Math.max(x + 3, 0), 6)) / 6),
  hardswish_backward: backward((dy, x) => (x <= -3 ? 0 : x >= 3 ? dy : dy * (x / 3 + 0.5))),
  gelu: unary((x, { tanhApproximation }) => (tanhApproximation ? 0.5 * x * (1 + geluTanh(x)) : x * bigPhi(x))),
  gelu_backward: backward(
    (dy, x, { tanhApproximation }) => dy * (tanhApproximation ? geluTanhDerivative(x) : bigPhi(x) + x * phi(x)),
  ),
  softplus: unary((x, { beta, threshold }) => (x * beta > threshold ? x : softplus(x * beta) / beta)),
  softplus_backward: backward((dy, x, { beta, threshold }) => (x * beta > threshold ? dy : dy * sigmoid(x * beta))),
  elu: unary((x, { alpha }) => (x < 0 ? alpha * Math.expm1(x) : x)),
  elu_backward: backward((dy, x, { alpha }) => (x > 0 ? dy : dy * alpha * Math.exp(x))),
  leaky_relu: unary((x, { slope }) => (x > 0 ? x : x * slope)),
  leaky_relu_backward: backward((dy, x, { slope }) => (x > 0 ? dy : dy * slope)),
  sigmoid_backward: backwardOfOutput((dy, y) => dy * y * (1 - y)),
  tanh_backward: backwardOfOutput((dy, y) => dy * (1 - y * y)),
} satisfies Pick<Kernels<HostView>, ElementwiseName>
