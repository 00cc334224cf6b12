/** Activations whose slope is learned, random, or another tensor. */

import { apply, checkDType } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { formatShape, ShapeError, ValueError } from '../../core/errors.js'
import { checkGenerator, type Generator } from '../../core/generator.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import { normalizeDim, type Shape, sameShape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { anyFloating, checkScalar, like } from '../common.js'
import { castTo } from '../convert.js'
import { kernel, operator } from '../operator.js'
import { rand } from '../random.js'
import { narrow, reshape } from '../shape/index.js'
import { once } from '../widened.js'
import { leakyRelu, sigmoid, silu } from './activations.js'
import { mul } from './arithmetic.js'
import { gt, le, where } from './compare.js'

/** Both halves of x along `dim`. Throws ShapeError for an odd size. */
export function halves(op: string, x: Tensor, dim: number): [Tensor, Tensor] {
  checkDType(op, 'x', x, anyFloating)
  const axis = normalizeDim(op, dim, x.ndim)
  const size = x.sizes[axis] ?? 0
  if (size % 2 !== 0)
    throw new ShapeError(
      op,
      `dimension ${axis} of ${formatShape(x.sizes)} has ${size} elements, but must have an even number to be halved`,
      [x.sizes],
    )
  return [narrow(x, axis, 0, size / 2), narrow(x, axis, size / 2, size / 2)]
}

/** The first half of x along `dim` times the sigmoid of the second: the gated linear unit (Dauphin et al., 2017). */
export function glu<D extends DType>(x: Tensor<Shape, D>, dim?: number): Tensor<Shape, D>
export function glu(x: Tensor, dim = -1): Tensor {
  const [value, gate] = halves('glu', x, dim)
  return once('glu', [value, gate], (v, g) => mul(v, sigmoid(g)))
}

const swigluOf = (gate: Tensor, up: Tensor): Tensor => mul(silu(gate), up)

const swigluRecord = operator<[gate: Tensor, up: Tensor]>({
  name: 'swiglu',
  infer: ([gate]) => like(gate),
  forward: kernel('swiglu', ([gate, up], _attrs, { out }) => ({ out, gate, up })),
  composite: ([gate, up]) => once('swiglu', [gate, up], swigluOf),
  gradient: {
    saves: () => ({ inputs: [0, 1] }),
    backward: kernel('swiglu_backward', (ctx, [dy], { dgate, dup }) => ({
      dgate,
      dup,
      dy,
      gate: ctx.input(0),
      up: ctx.input(1),
    })),
  },
})

/** silu(gate) * up, with broadcasting: the hidden layer of Llama's feed-forward network (Shazeer, 2020). */
export function swiglu<S extends Shape, D extends DType>(gate: Tensor<S, D>, up: Tensor<S, D>): Tensor<S, D>
export function swiglu(gate: Tensor, up: Tensor): Tensor {
  checkDType('swiglu', 'gate', gate, anyFloating)
  checkDType('swiglu', 'up', up, anyFloating)
  // The kernel takes equal shapes and dtypes. Operators handle the rest.
  if (sameShape(gate.sizes, up.sizes) && gate.dtype === up.dtype) return apply(swigluRecord, [gate, up], null)
  return once('swiglu', [gate, up], swigluOf)
}

/**
 * x where positive, else weight x. The weight has one element, or one for each channel. Channels are x's second
 * dimension; a vector has a single channel. (He et al., 2015.) Throws ShapeError.
 */
export function prelu<S extends Shape, D extends DType>(x: Tensor<S, D>, weight: Tensor): Tensor<S, D>
export function prelu(x: Tensor, weight: Tensor): Tensor {
  checkDType('prelu', 'x', x, anyFloating)
  checkDType('prelu', 'weight', weight, anyFloating)
  const channels = x.ndim < 2 ? 1 : (x.sizes[1] ?? 1)
  if (weight.ndim > 1 || (weight.numel !== 1 && weight.numel !== channels))
    throw new ShapeError(
      'prelu',
      `the weight is ${formatShape(weight.sizes)}, but must have 1 element, or ${channels}, one for each channel of ` +
        `${formatShape(x.sizes)}`,
      [x.sizes, weight.sizes],
    )
  const slope =
    x.ndim < 2 || weight.numel === 1
      ? reshape(weight, [])
      : reshape(weight, [channels, ...x.sizes.slice(2).map(() => 1)])
  return once('prelu', [x, slope], (v, w) => {
    const positive = gt(v, 0)
    // Elements that are not scaled are replaced by 0, so that an infinity does not make the weight's gradient NaN.
    return where(positive, v, mul(w, where(positive, 0, v)))
  })
}

export interface RreluOptions {
  /** Default 1/8. */
  readonly lower?: number
  /** Default 1/3. */
  readonly upper?: number
  /** Whether to draw slopes. Default false: the slope is the mean of both limits. */
  readonly training?: boolean
  readonly generator?: Generator | undefined
}

const rreluNames: OptionNames<RreluOptions> = { lower: true, upper: true, training: true, generator: true }

/** x where positive, else x times a slope drawn uniformly from [lower, upper) for each element (Xu et al., 2015). */
export function rrelu<S extends Shape, D extends DType>(x: Tensor<S, D>, options?: RreluOptions): Tensor<S, D>
export function rrelu(x: Tensor, options: RreluOptions = {}): Tensor {
  const { lower = 1 / 8, upper = 1 / 3, training = false, generator } = checkOptions('rrelu', options, rreluNames)
  checkFlag('rrelu', 'training', training)
  checkGenerator('rrelu', generator)
  checkLimits('rrelu', lower, upper)
  checkDType('rrelu', 'x', x, anyFloating)
  if (!training) return leakyRelu(x, { negativeSlope: (lower + upper) / 2 })
  const slope = rand(x.sizes, { low: lower, high: upper, device: x.device, generator })
  return once('rrelu', [x], (v) => where(le(v, 0), mul(v, castTo(slope, v.dtype)), v))
}

/** Throws unless both limits are finite and lower <= upper. */
export function checkLimits(op: string, lower: number, upper: number): void {
  for (const [name, value] of Object.entries({ lower, upper }))
    if (!Number.isFinite(checkScalar(op, name, value)))
      throw new ValueError(op, `${name} is ${value}, but must be a finite number`)
  if (lower > upper) throw new ValueError(op, `lower is ${lower}, but must be at most upper, ${upper}`)
}
