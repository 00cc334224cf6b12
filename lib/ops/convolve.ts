/** The records of convolutions (cross-correlations, as in PyTorch) and of their two gradients, each differentiable in turn. */
import { apply, checkTensor, type Needs, type Operator } from '../autograd/operator.js'
import { Faults, formatShape, shown, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { like } from './common.js'
import { reluGradient } from './elementwise/relu-gradient.js'
import { kernel, operator } from './operator.js'
import { type Both, type Pair, pair } from './pair.js'
import { sum } from './reduce.js'
import { squeeze, unsqueeze } from './shape/index.js'

interface Conv {
  readonly stride: Both
  readonly padding: Both
  readonly dilation: Both
  readonly groups: number
}

function outputSize(size: number, kernel: number, stride: number, pad: number, dilation: number): number {
  return Math.floor((size + 2 * pad - dilation * (kernel - 1) - 1) / stride) + 1
}

function outputShape(x: Shape, weight: Shape, a: Conv): Shape {
  const [n = 0, , h = 0, w = 0] = x
  const [out = 0, , kh = 0, kw = 0] = weight
  return [
    n,
    out,
    outputSize(h, kh, a.stride[0], a.padding[0], a.dilation[0]),
    outputSize(w, kw, a.stride[1], a.padding[1], a.dilation[1]),
  ]
}

function checkConv(x: Tensor, weight: Tensor, bias: Tensor | null, a: Conv): void {
  const faults = new Faults()
  const xs = formatShape(x.sizes)
  const ws = formatShape(weight.sizes)
  faults.check(x.ndim === 4, () => `x must be [N, C, H, W], but is ${xs}`)
  faults.check(weight.ndim === 4, () => `weight must be [out, in / groups, H, W], but is ${ws}`)
  const [, channels = 0, h = 0, w = 0] = x.sizes
  const [out = 0, perGroup = 0, kh = 0, kw = 0] = weight.sizes
  faults.check(
    perGroup * a.groups === channels,
    () => `x ${xs} has ${channels} channels, but weight ${ws} with ${a.groups} groups takes ${perGroup * a.groups}`,
  )
  faults.check(out > 0 && perGroup > 0, () => `weight ${ws} has no channels; there must be one in and one out at least`)
  faults.check(out % a.groups === 0, () => `${out} output channels do not divide into ${a.groups} groups`)
  faults.check(
    !bias || (bias.ndim === 1 && bias.sizes[0] === out),
    () => `bias is ${formatShape(bias?.sizes ?? [])}, but must be [${out}]`,
  )
  const [reachH, reachW] = [a.dilation[0] * (kh - 1) + 1, a.dilation[1] * (kw - 1) + 1]
  const [paddedH, paddedW] = [h + 2 * a.padding[0], w + 2 * a.padding[1]]
  faults.check(
    kh > 0 && kw > 0 && reachH <= paddedH && reachW <= paddedW,
    () => `a kernel that reaches over ${reachH} x ${reachW} does not fit into the padded image ${paddedH} x ${paddedW}`,
  )
  faults.throwShape('conv2d', [x.sizes, weight.sizes])
}

/** relu: negative results become 0, which saves two passes over them. */
type ConvForward = Conv & { readonly relu: boolean }

const convRecord = operator<[x: Tensor, weight: Tensor, bias: Tensor | null], ConvForward>({
  name: 'conv2d',
  infer([x, weight, bias], attrs) {
    checkConv(x, weight, bias, attrs)
    return like(x, outputShape(x.sizes, weight.sizes, attrs))
  },
  forward: kernel('conv2d_forward', ([x, weight, bias], attrs, { out }) => ({ out, x, weight, bias, ...attrs })),
  gradient: {
    saves: (needs, { relu }) => ({ inputs: factorsFor(needs), ...(relu ? { outputs: [0] } : {}) }),
    backward(ctx, [gradient]) {
      const { relu, ...attrs } = ctx.attrs
      const g = relu ? reluGradient(gradient, ctx.output(0), ctx.createGraph) : gradient
      return [
        ctx.needs[0] ? apply(inputGradient, [g, ctx.input(1)], { ...attrs, shape: ctx.spec(0).shape }) : null,
        ctx.needs[1] ? apply(weightGradient, [g, ctx.input(0)], { ...attrs, shape: ctx.spec(1).shape }) : null,
        ctx.needs[2] ? sum(g, [0, 2, 3]) : null,
      ]
    },
  },
})

/** What a product of inputs 0 and 1 saves: the gradient of one needs the other. */
function factorsFor(needs: Needs): readonly number[] {
  return [...(needs[1] ? [0] : []), ...(needs[0] ? [1] : [])]
}

type ConvGradient = Conv & { readonly shape: Shape }

function conv(x: Tensor, weight: Tensor, attrs: Conv): Tensor {
  return apply(convRecord, [x, weight, null], { ...attrs, relu: false })
}

/** dx from (dy, weight): linear in both, so that its gradients are a convolution and a weight gradient. */
const inputGradient: Operator<[dy: Tensor, weight: Tensor], ConvGradient> = operator<
  [dy: Tensor, weight: Tensor],
  ConvGradient
>({
  name: 'conv2d_input_gradient',
  infer: ([dy], { shape }) => like(dy, shape),
  forward: kernel('conv2d_input_gradient', ([dy, weight], { shape: _, ...attrs }, { dx }) => ({
    dx,
    dy,
    weight,
    ...attrs,
  })),
  gradient: {
    saves: (needs) => ({ inputs: factorsFor(needs) }),
    backward(ctx, [g]) {
      const { shape: _, ...attrs } = ctx.attrs
      return [
        ctx.needs[0] ? conv(g, ctx.input(1), attrs) : null,
        ctx.needs[1] ? apply(weightGradient, [ctx.input(0), g], { ...attrs, shape: ctx.spec(1).shape }) : null,
      ]
    },
  },
})

/** dweight from (dy, x). */
const weightGradient: Operator<[dy: Tensor, x: Tensor], ConvGradient> = operator<[dy: Tensor, x: Tensor], ConvGradient>(
  {
    name: 'conv2d_weight_gradient',
    infer: ([dy], { shape }) => like(dy, shape),
    forward: kernel('conv2d_weight_gradient', ([dy, x], { shape: _, ...attrs }, { dweight }) => ({
      dweight,
      dy,
      x,
      ...attrs,
    })),
    gradient: {
      saves: (needs) => ({ inputs: factorsFor(needs) }),
      backward(ctx, [g]) {
        const { shape: _, ...attrs } = ctx.attrs
        return [
          ctx.needs[0] ? conv(ctx.input(1), g, attrs) : null,
          ctx.needs[1] ? apply(inputGradient, [ctx.input(0), g], { ...attrs, shape: ctx.spec(1).shape }) : null,
        ]
      },
    },
  },
)

export interface Conv2dOptions {
  readonly stride?: Pair
  /** Zeros on each side. */
  readonly padding?: Pair
  readonly dilation?: Pair
  /** Input and output channels are cut into this many groups that see only each other. */
  readonly groups?: number
}

const conv2dNames: OptionNames<Conv2dOptions> = { stride: true, padding: true, dilation: true, groups: true }

/** As conv2d; with `relu` its relu, to the bit. */
export function convolve(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  options: Conv2dOptions,
  relu: boolean,
): Tensor {
  checkTensor('conv2d', 'x', x)
  checkOptions('conv2d', options, conv2dNames)
  const stride = pair('conv2d', 'stride', options.stride ?? 1, 1)
  const padding = pair('conv2d', 'padding', options.padding ?? 0, 0)
  const dilation = pair('conv2d', 'dilation', options.dilation ?? 1, 1)
  const { groups = 1 } = options
  if (!Number.isSafeInteger(groups) || groups < 1)
    throw new ValueError('conv2d', `groups is ${shown(groups)}, but must be a positive integer`)
  const single = x.ndim === 3
  const out = apply(convRecord, [single ? unsqueeze(x, 0) : x, weight, bias], {
    stride,
    padding,
    dilation,
    groups,
    relu,
  })
  return single ? squeeze(out, 0) : out
}
