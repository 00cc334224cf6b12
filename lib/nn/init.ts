/** In-place initialisers with PyTorch's names and defaults. All draw from the given or the default generator. */
import { noGrad } from '../autograd/mode.js'
import { checkTensor } from '../autograd/operator.js'
import { DTypeError, formatShape, namedAs, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkGenerator, defaultGenerator, type Generator } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import { scope } from '../core/scope.js'
import { countOf } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { checkDistinct, checkProbability, checkScalar } from '../ops/common.js'
import { eye, fromTypedArray, full } from '../ops/creation.js'
import { add, clamp, erf, log, lt, maximum, mul, neg, sqrt, sub, where } from '../ops/elementwise/index.js'
import { copyInto, fill_ } from '../ops/inplace.js'
import { matmul } from '../ops/matmul.js'
import { rand, randn } from '../ops/random.js'
import { cat } from '../ops/shape/index.js'

export interface InitOptions {
  readonly generator?: Generator | undefined
}

/** Throws for a value that cannot be filled: not a tensor, a freed one, or one whose elements overlap in memory. */
function checkFillable(op: string, tensor: Tensor): void {
  checkTensor(op, 'the tensor', tensor)
  tensor.storage.check(op)
  checkDistinct(op, 'the tensor', tensor)
}

function fillFrom<T extends Tensor>(op: string, tensor: T, options: InitOptions, draw: (placed: Placed) => Tensor): T {
  checkOptions(op, options, { generator: true })
  checkGenerator(op, options.generator)
  checkFillable(op, tensor)
  if (!tensor.dtype.includes('float'))
    throw new DTypeError(op, `the tensor is ${tensor.dtype}, but must be floating, because what is drawn has fractions`)
  const { dtype, device } = tensor
  // The generator goes on as for a tensor with elements. Draws for each tensor of a model that is to be loaded would take
  // longer than the load.
  if (device.kind === 'meta') {
    ;(options.generator ?? defaultGenerator()).take(tensor.numel)
    return tensor
  }
  // The drawn numbers take as much memory as the parameter, so they are freed at once and not left to a collection.
  namedAs(op, () =>
    noGrad(() => scope(() => copyInto(tensor, draw({ dtype, device, generator: options.generator }), op))),
  )
  return tensor
}

type Placed = Pick<Tensor, 'dtype' | 'device'> & InitOptions

/** Throws unless the number is finite, because NaN and infinity would fill the weights with NaN. */
function checkFinite(op: string, name: string, value: number): number {
  if (!Number.isFinite(checkScalar(op, name, value)))
    throw new ValueError(op, `${name} is ${value}, but must be finite`)
  return value
}

/** Fills with uniform numbers in [low, high). Throws ValueError if low exceeds high. */
export function uniform_<T extends Tensor>(tensor: T, low = 0, high = 1, options: InitOptions = {}): T {
  checkFinite('uniform_', 'low', low)
  checkFinite('uniform_', 'high', high)
  if (low > high) throw new ValueError('uniform_', `low is ${low}, which is more than high, ${high}`)
  return fillFrom('uniform_', tensor, options, (placed) => rand(tensor.shape, { ...placed, low, high }))
}

/** Fills with normal numbers of this mean and standard deviation. Throws ValueError for a negative deviation. */
export function normal_<T extends Tensor>(tensor: T, mean = 0, std = 1, options: InitOptions = {}): T {
  checkFinite('normal_', 'mean', mean)
  checkFinite('normal_', 'std', std)
  if (std < 0) throw new ValueError('normal_', `std is ${std}, but must not be negative`)
  return fillFrom('normal_', tensor, options, (placed) => randn(tensor.shape, { ...placed, mean, std }))
}

function fillWith<T extends Tensor>(op: string, tensor: T, value: number): T {
  checkFillable(op, tensor)
  namedAs(op, () =>
    noGrad(() => {
      if (tensor.isContiguous) fill_(tensor, value)
      else scope(() => copyInto(tensor, full([], value, { dtype: tensor.dtype, device: tensor.device }), op))
    }),
  )
  return tensor
}

/** Fills with one number. */
export function constant_<T extends Tensor>(tensor: T, value: number): T {
  return fillWith('constant_', tensor, checkScalar('constant_', 'the value', value))
}

/** The polynomials of `quantile`, highest power first: near the middle, and in the tails. */
const nearMiddle = [
  2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 2.1858087e-4, -1.25372503e-3, -4.17768164e-3,
  2.46640727e-1, 1.50140941,
]
const inTails = [
  -2.00214257e-4, 1.00950558e-4, 1.34934322e-3, -3.67342844e-3, 5.73950773e-3, -7.6224613e-3, 9.43887047e-3, 1.00167406,
  2.83297682,
]

/**
 * The inverse of erf. Giles, "Approximating the erfinv function" (GPU Computing Gems 2, 2011), the single-precision
 * version, to seven digits.
 */
function inverseErf(y: Tensor): Tensor {
  const polynomial = (at: Tensor, powers: readonly number[]) =>
    powers
      .slice(1)
      .reduce<Tensor>(
        (sum, c) => add(mul(sum, at), c),
        full(at.sizes, powers[0] ?? 0, { dtype: at.dtype, device: at.device }),
      )
  const w = neg(log(mul(sub(1, y), add(y, 1))))
  const middle = polynomial(sub(w, 2.5), nearMiddle)
  const tails = polynomial(sub(sqrt(maximum(w, 5)), 3), inTails)
  return mul(y, where(lt(w, 5), middle, tails))
}

/** erf of a number, computed by the operator in float64. */
function erfOf(x: number): number {
  return erf(full([], x, { dtype: 'float64', device: 'reference' })).item()
}

/**
 * Fills with normal numbers of this mean and standard deviation, restricted to [a, b]. Throws ValueError unless the
 * deviation is positive and a is below b.
 */
export function truncNormal_<T extends Tensor>(
  tensor: T,
  mean = 0,
  std = 1,
  a = -2,
  b = 2,
  options: InitOptions = {},
): T {
  const op = 'truncNormal_'
  for (const [name, value] of Object.entries({ mean, std, a, b })) checkFinite(op, name, value)
  if (!(std > 0)) throw new ValueError(op, `std is ${std}, but must be more than 0`)
  if (a >= b) throw new ValueError(op, `a is ${a}, but must be less than b, ${b}`)
  const [low, high] = [a, b].map((limit) => erfOf((limit - mean) / (std * Math.SQRT2))) as [number, number]
  return fillFrom(op, tensor, options, ({ dtype, ...placed }) => {
    const drawn = rand(tensor.shape, { ...placed, dtype: dtype === 'float64' ? dtype : 'float32', low, high })
    return clamp(add(mul(inverseErf(drawn), std * Math.SQRT2), mean), a, b)
  })
}

/** The rows and columns of a matrix. Throws unless the tensor has two dimensions. */
function matrixOf(op: string, tensor: Tensor): [rows: number, columns: number] {
  checkTensor(op, 'the tensor', tensor)
  const [rows, columns] = tensor.sizes
  if (tensor.ndim !== 2 || rows === undefined || columns === undefined)
    throw new ShapeError(op, `needs a matrix, but got ${formatShape(tensor.sizes)}`, [tensor.sizes])
  return [rows, columns]
}

/** Fills a matrix with ones on the diagonal and zeros elsewhere: a linear layer that changes nothing. */
export function eye_<T extends Tensor>(tensor: T): T {
  const [rows, columns] = matrixOf('eye_', tensor)
  return fillFrom('eye_', tensor, {}, (placed) => eye(rows, columns, { dtype: placed.dtype, device: placed.device }))
}

export interface DiracOptions {
  /** The groups of the convolution. Default 1. */
  readonly groups?: number
}

/**
 * Fills a convolution's weight [out, in, ...] so that it passes on as many channels as it can, each within its group.
 * Throws ShapeError unless the weight has three to five dimensions, and ValueError if the groups do not divide the
 * outputs.
 */
export function dirac_<T extends Tensor>(tensor: T, options: DiracOptions = {}): T {
  const op = 'dirac_'
  const { groups = 1 } = checkOptions(op, options, { groups: true })
  checkTensor(op, 'the tensor', tensor)
  const [out = 0, into = 0, ...field] = tensor.sizes
  if (tensor.ndim < 3 || tensor.ndim > 5)
    throw new ShapeError(op, `needs a weight of three to five dimensions, but got ${formatShape(tensor.sizes)}`, [
      tensor.sizes,
    ])
  if (!Number.isInteger(groups) || groups < 1 || out % groups !== 0)
    throw new ValueError(op, `groups is ${shown(groups)}, but must divide the ${out} output channels`)
  return fillFrom(op, tensor, {}, ({ dtype, device }) => {
    const weight = new Float32Array(tensor.numel)
    const size = countOf(field)
    const middle = field.reduce((at, length) => at * length + Math.floor(length / 2), 0)
    const each = out / groups
    if (weight.length > 0)
      for (let group = 0; group < groups; group++)
        for (let d = 0; d < Math.min(each, into); d++) weight[((group * each + d) * into + d) * size + middle] = 1
    return fromTypedArray(weight, tensor.shape, { device }).to(dtype)
  })
}

/** The number of rows that are made orthogonal among themselves, between matrix products. */
const orthogonalPanel = 64

/**
 * Makes rows of `size` orthonormal, in place, by two rounds of the modified Gram-Schmidt process, which is enough
 * (Kahan).
 */
function orthonormalise(rows: Float32Array | Float64Array, count: number, size: number): void {
  for (let i = 0; i < count; i++) {
    const row = rows.subarray(i * size, (i + 1) * size)
    for (let pass = 0; pass < 2; pass++) {
      for (let k = 0; k < i; k++) {
        const before = rows.subarray(k * size, (k + 1) * size)
        let product = 0
        for (let j = 0; j < size; j++) product += (row[j] as number) * (before[j] as number)
        for (let j = 0; j < size; j++) row[j] = (row[j] as number) - product * (before[j] as number)
      }
      let square = 0
      for (let j = 0; j < size; j++) square += (row[j] as number) ** 2
      const scale = 1 / Math.sqrt(square)
      for (let j = 0; j < size; j++) row[j] = (row[j] as number) * scale
    }
  }
}

/**
 * Uniformly distributed orthonormal rows. They are normal at first; from each panel its components along the previous
 * panels are subtracted.
 */
function orthonormalRows(count: number, size: number, placed: Placed): Tensor {
  const panels: Tensor[] = []
  for (let start = 0; start < count; start += orthogonalPanel) {
    const rows = Math.min(orthogonalPanel, count - start)
    let panel: Tensor = randn([rows, size], placed)
    // On meta there are no rows to read.
    if (panel.device.kind !== 'meta') {
      for (let pass = 0; pass < 2; pass++)
        for (const before of panels) panel = sub(panel, matmul(matmul(panel, before.transpose(0, 1)), before))
      const numbers = panel.dataSync() as Float32Array | Float64Array
      orthonormalise(numbers, rows, size)
      panel = fromTypedArray(numbers, [rows, size], { dtype: placed.dtype, device: placed.device })
    }
    panels.push(panel)
  }
  return cat(panels, 0)
}

/**
 * Fills a tensor, seen as a matrix [first size, the rest], with orthogonal rows of length `gain`, or orthogonal columns
 * if there are more rows (Saxe et al., 2013). Waits for the numbers, as `dataSync` does. Throws ShapeError for fewer
 * than two dimensions.
 */
export function orthogonal_<T extends Tensor>(tensor: T, gain = 1, options: InitOptions = {}): T {
  const op = 'orthogonal_'
  checkFinite(op, 'gain', gain)
  checkTensor(op, 'the tensor', tensor)
  if (tensor.ndim < 2)
    throw new ShapeError(op, `needs a tensor of at least two dimensions, but got ${formatShape(tensor.sizes)}`, [
      tensor.sizes,
    ])
  if (tensor.numel === 0) return tensor
  const rows = tensor.sizes[0] as number
  const columns = tensor.numel / rows
  return fillFrom(op, tensor, options, ({ dtype, ...placed }) => {
    const wide = { ...placed, dtype: dtype === 'float64' ? ('float64' as const) : ('float32' as const) }
    const drawn = orthonormalRows(Math.min(rows, columns), Math.max(rows, columns), wide)
    return mul(rows > columns ? drawn.transpose(0, 1) : drawn, gain).reshape(tensor.shape)
  })
}

/**
 * Fills a matrix with normal numbers, and a random share of each column with zeros (Martens, 2010). Throws ShapeError
 * for a tensor that is no matrix, and ValueError for a negative deviation.
 */
export function sparse_<T extends Tensor>(tensor: T, sparsity: number, std = 0.01, options: InitOptions = {}): T {
  const op = 'sparse_'
  const [rows, columns] = matrixOf(op, tensor)
  checkProbability(op, sparsity, 'sparsity')
  if (checkFinite(op, 'std', std) < 0) throw new ValueError(op, `std is ${std}, but must not be negative`)
  return fillFrom(op, tensor, options, ({ generator = defaultGenerator(), ...placed }) => {
    const drawn = randn(tensor.shape, { ...placed, generator, std })
    const zeros = new Uint8Array(rows * columns)
    const count = Math.ceil(sparsity * rows)
    for (let column = 0; column < columns; column++)
      for (const row of generator.randperm(rows).slice(0, count)) zeros[row * columns + column] = 1
    return where(fromTypedArray(zeros, [rows, columns], { dtype: 'bool', device: placed.device }), 0, drawn)
  })
}

/** Fills with zeros. */
export const zeros_ = <T extends Tensor>(tensor: T): T => fillWith('zeros_', tensor, 0)
/** Fills with ones. */
export const ones_ = <T extends Tensor>(tensor: T): T => fillWith('ones_', tensor, 1)

/** The numbers of inputs and outputs of one unit of a weight [out, in, ...]. */
export function fans(op: string, tensor: Tensor): { readonly fanIn: number; readonly fanOut: number } {
  checkTensor(op, 'the tensor', tensor)
  if (tensor.ndim < 2)
    throw new ShapeError(op, `needs a weight of at least two dimensions, but got ${formatShape(tensor.sizes)}`, [
      tensor.sizes,
    ])
  const field = countOf(tensor.sizes.slice(2))
  return { fanIn: (tensor.sizes[1] as number) * field, fanOut: (tensor.sizes[0] as number) * field }
}

const gains = {
  linear: () => 1,
  conv1d: () => 1,
  conv2d: () => 1,
  conv3d: () => 1,
  convTranspose1d: () => 1,
  convTranspose2d: () => 1,
  convTranspose3d: () => 1,
  sigmoid: () => 1,
  tanh: () => 5 / 3,
  relu: () => Math.SQRT2,
  leakyRelu: (slope: number) => Math.sqrt(2 / (1 + slope ** 2)),
  selu: () => 3 / 4,
}

export type Nonlinearity = keyof typeof gains

/** The factor for the initial weights before a nonlinearity. `param` is leakyRelu's slope. */
export function calculateGain(nonlinearity: Nonlinearity, param = 0.01): number {
  return gainOf('calculateGain', nonlinearity, param)
}

function gainOf(op: string, nonlinearity: Nonlinearity, param: number): number {
  checkFinite(op, 'param', param)
  if (typeof nonlinearity !== 'string' || !Object.hasOwn(gains, nonlinearity))
    throw new ValueError(op, `unknown nonlinearity ${shown(nonlinearity)}; known are ${Object.keys(gains).join(', ')}`)
  return gains[nonlinearity](param)
}

/** The gain divided by the root of the number that a unit sees; 0 if there are no weights to draw. */
function perRoot(gain: number, seen: number, tensor: Tensor): number {
  return tensor.numel === 0 ? 0 : gain / Math.sqrt(seen)
}

export interface KaimingOptions extends InitOptions {
  /** The slope of the leaky ReLU that follows. */
  readonly a?: number
  readonly mode?: 'fanIn' | 'fanOut'
  readonly nonlinearity?: Nonlinearity
}

function kaimingStd(op: string, tensor: Tensor, options: KaimingOptions): number {
  checkOptions(op, options, { generator: true, a: true, mode: true, nonlinearity: true })
  const { a = 0, mode = 'fanIn', nonlinearity = 'leakyRelu' } = options
  checkFinite(op, 'a', a)
  if (mode !== 'fanIn' && mode !== 'fanOut')
    throw new ValueError(op, `mode is ${shown(mode)}, but must be 'fanIn' or 'fanOut'`)
  return perRoot(gainOf(op, nonlinearity, a), fans(op, tensor)[mode], tensor)
}

/**
 * Fills with uniform numbers in +-sqrt(3) gain / sqrt(fan) (He et al., 2015). Throws ShapeError for a tensor of fewer
 * than two dimensions.
 */
export function kaimingUniform_<T extends Tensor>(tensor: T, options: KaimingOptions = {}): T {
  const op = 'kaimingUniform_'
  const bound = Math.sqrt(3) * kaimingStd(op, tensor, options)
  const { generator } = options
  return fillFrom(op, tensor, { generator }, (placed) => rand(tensor.shape, { ...placed, low: -bound, high: bound }))
}

/**
 * Fills with normal numbers of deviation gain / sqrt(fan) (He et al., 2015). Throws ShapeError for a tensor of fewer
 * than two dimensions.
 */
export function kaimingNormal_<T extends Tensor>(tensor: T, options: KaimingOptions = {}): T {
  const op = 'kaimingNormal_'
  const std = kaimingStd(op, tensor, options)
  const { generator } = options
  return fillFrom(op, tensor, { generator }, (placed) => randn(tensor.shape, { ...placed, std }))
}

export interface XavierOptions extends InitOptions {
  /** Default 1. */
  readonly gain?: number
}

function xavierStd(op: string, tensor: Tensor, options: XavierOptions): number {
  const { gain = 1 } = checkOptions(op, options, { generator: true, gain: true })
  const { fanIn, fanOut } = fans(op, tensor)
  if (checkFinite(op, 'gain', gain) < 0) throw new ValueError(op, `gain is ${gain}, but must not be negative`)
  return perRoot(gain * Math.SQRT2, fanIn + fanOut, tensor)
}

/**
 * Fills with uniform numbers in +-gain sqrt(6 / (fanIn + fanOut)) (Glorot and Bengio, 2010). Throws ShapeError for a
 * tensor of fewer than two dimensions.
 */
export function xavierUniform_<T extends Tensor>(tensor: T, options: XavierOptions = {}): T {
  const op = 'xavierUniform_'
  const bound = Math.sqrt(3) * xavierStd(op, tensor, options)
  const { generator } = options
  return fillFrom(op, tensor, { generator }, (placed) => rand(tensor.shape, { ...placed, low: -bound, high: bound }))
}

/**
 * Fills with normal numbers of deviation gain sqrt(2 / (fanIn + fanOut)) (Glorot and Bengio, 2010). Throws ShapeError
 * for a tensor of fewer than two dimensions.
 */
export function xavierNormal_<T extends Tensor>(tensor: T, options: XavierOptions = {}): T {
  const op = 'xavierNormal_'
  const std = xavierStd(op, tensor, options)
  const { generator } = options
  return fillFrom(op, tensor, { generator }, (placed) => randn(tensor.shape, { ...placed, std }))
}
