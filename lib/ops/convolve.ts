/**
 * The records of convolutions (cross-correlations, as in PyTorch) and of their two gradients, each of which is
 * differentiable. Tensors are [N, C, H, W], or [N, C, L], which kernels treat as images of one row.
 */
import { apply, checkTensor, type Needs, type Operator } from '../autograd/operator.js'
import { Faults, formatShape, namedAs } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { like, seenAs } from './common.js'
import { checkGroups, checkPadding, type Dims, type Padding, type Single, spatial, zerosOf } from './conv-options.js'
import { reluGradient } from './elementwise/relu-gradient.js'
import { kernel, operator } from './operator.js'
import type { Both, Pair } from './pair.js'
import { sum } from './reduce/index.js'
import { pad, squeeze, unsqueeze } from './shape/index.js'
import { widened } from './widened.js'

/** The attributes of a convolution in the two dimensions of planes. */
export interface Conv {
  readonly stride: Both
  readonly padding: Both
  readonly dilation: Both
  readonly groups: number
}

function outputSize(size: number, kernel: number, stride: number, pad: number, dilation: number): number {
  return Math.floor((size + 2 * pad - dilation * (kernel - 1) - 1) / stride) + 1
}

/** The sizes of a plane. A signal is a plane of one row. */
export function planeOf({ sizes }: Tensor): Both {
  return sizes.length === 3 ? [1, sizes[2] as number] : [sizes[2] ?? 1, sizes[3] ?? 1]
}

/** The tensor as kernels take it: [N, C, H, W]. */
function asPlanes(x: Tensor): Tensor {
  return x.ndim === 3 ? seenAs(x, [x.sizes[0] as number, x.sizes[1] as number, 1, x.sizes[2] as number]) : x
}

function outputShape(x: Tensor, weight: Tensor, a: Conv): Shape {
  const [h, w] = planeOf(x)
  const [kh, kw] = planeOf(weight)
  const width = outputSize(w, kw, a.stride[1], a.padding[1], a.dilation[1])
  const lead = [x.sizes[0] ?? 0, weight.sizes[0] ?? 0]
  return x.ndim === 3 ? [...lead, width] : [...lead, outputSize(h, kh, a.stride[0], a.padding[0], a.dilation[0]), width]
}

const spaces = { 1: 'L', 2: 'H, W' } as const

function checkConv(op: string, dims: Dims, x: Tensor, weight: Tensor, bias: Tensor | null, a: Conv): void {
  const faults = new Faults()
  const xs = formatShape(x.sizes)
  const ws = formatShape(weight.sizes)
  faults.check(x.ndim === dims + 2, () => `x must be [N, C, ${spaces[dims]}] or [C, ${spaces[dims]}], but is ${xs}`)
  faults.check(weight.ndim === dims + 2, () => `weight must be [out, in / groups, ${spaces[dims]}], but is ${ws}`)
  const [, channels = 0] = x.sizes
  const [out = 0, perGroup = 0] = weight.sizes
  const [h, w] = planeOf(x)
  const [kh, kw] = planeOf(weight)
  faults.check(
    perGroup * a.groups === channels,
    () => `gets ${channels} channels, but takes ${perGroup * a.groups}: x is ${xs}, weight ${ws} in ${a.groups} groups`,
  )
  faults.check(out > 0 && perGroup > 0, () => `weight ${ws} has no channels; there must be at least one in and one out`)
  faults.check(out % a.groups === 0, () => `${out} output channels do not divide into ${a.groups} groups`)
  checkBias(faults, bias, out)
  const [reachH, reachW] = [a.dilation[0] * (kh - 1) + 1, a.dilation[1] * (kw - 1) + 1]
  const [paddedH, paddedW] = [h + 2 * a.padding[0], w + 2 * a.padding[1]]
  const sizes = (height: number, width: number) => (dims === 1 ? `${width}` : `${height} x ${width}`)
  faults.check(
    kh > 0 && kw > 0 && reachH <= paddedH && reachW <= paddedW,
    () =>
      `a kernel that reaches over ${sizes(reachH, reachW)} does not fit into the padded ` +
      `${dims === 1 ? 'row of' : 'image'} ${sizes(paddedH, paddedW)}`,
  )
  faults.throwShape(op, [x.sizes, weight.sizes])
}

export function checkBias(faults: Faults, bias: Tensor | null, out: number): void {
  faults.check(
    !bias || (bias.ndim === 1 && bias.sizes[0] === out),
    () => `bias is ${formatShape(bias?.sizes ?? [])}, but must be [${out}]`,
  )
}

/** With `relu` negative results become 0, which saves two passes over them. */
type ConvForward = Conv & { readonly relu: boolean }

/** Makes a record each for one and two dimensions, so that errors name the called function. */
function convolution(
  op: 'conv1d' | 'conv2d',
  dims: Dims,
): Operator<[x: Tensor, weight: Tensor, bias: Tensor | null], ConvForward> {
  return operator<[x: Tensor, weight: Tensor, bias: Tensor | null], ConvForward>({
    name: op,
    op,
    infer([x, weight, bias], attrs) {
      checkConv(op, dims, x, weight, bias, attrs)
      return like(x, outputShape(x, weight, attrs))
    },
    forward: kernel('conv2d_forward', ([x, weight, bias], attrs, { out }) => ({
      out: asPlanes(out),
      x: asPlanes(x),
      weight: asPlanes(weight),
      bias,
      ...attrs,
    })),
    gradient: {
      saves: (needs, { relu }) => ({ inputs: factorsFor(needs), ...(relu ? { outputs: [0] } : {}) }),
      backward(ctx, [gradient]) {
        const { relu, ...attrs } = ctx.attrs
        const g = relu ? reluGradient(gradient, ctx.output(0), ctx.createGraph) : gradient
        return [
          ctx.needs[0] ? apply(inputGradient, [g, ctx.input(1)], { ...attrs, shape: ctx.spec(0).shape }) : null,
          ctx.needs[1] ? apply(weightGradient, [g, ctx.input(0)], { ...attrs, shape: ctx.spec(1).shape }) : null,
          ctx.needs[2] ? sum(g, dims === 1 ? [0, 2] : [0, 2, 3]) : null,
        ]
      },
    },
  })
}

const records = { 1: convolution('conv1d', 1), 2: convolution('conv2d', 2) }

/** The inputs to save for a product of inputs 0 and 1. The gradient of either needs the other. */
function factorsFor(needs: Needs): readonly number[] {
  return [...(needs[1] ? [0] : []), ...(needs[0] ? [1] : [])]
}

type ConvGradient = Conv & { readonly shape: Shape }

function conv(x: Tensor, weight: Tensor, attrs: Conv): Tensor {
  return apply(records[x.ndim === 3 ? 1 : 2], [x, weight, null], { ...attrs, relu: false })
}

/**
 * dx from (dy, weight). It is linear in both, so its gradients are a convolution and a weight gradient. A transposed
 * convolution is the same function, and has records of this form under its own names.
 */
function adjoint(name: string, op?: string): Operator<[dy: Tensor, weight: Tensor], ConvGradient> {
  return operator<[dy: Tensor, weight: Tensor], ConvGradient>({
    name,
    ...(op === undefined ? {} : { op, inputs: ['x', 'weight'] }),
    infer: ([dy], { shape }) => like(dy, shape),
    forward: kernel('conv2d_input_gradient', ([dy, weight], { shape: _, ...attrs }, { dx }) => ({
      dx: asPlanes(dx),
      dy: asPlanes(dy),
      weight: asPlanes(weight),
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
}

const inputGradient = adjoint('conv2d_input_gradient')

export const transposedRecords = {
  1: adjoint('convTranspose1d', 'convTranspose1d'),
  2: adjoint('convTranspose2d', 'convTranspose2d'),
}

/** Computes dweight from (dy, x). */
const weightGradient: Operator<[dy: Tensor, x: Tensor], ConvGradient> = operator<[dy: Tensor, x: Tensor], ConvGradient>(
  {
    name: 'conv2d_weight_gradient',
    infer: ([dy], { shape }) => like(dy, shape),
    forward: kernel('conv2d_weight_gradient', ([dy, x], { shape: _, ...attrs }, { dweight }) => ({
      dweight: asPlanes(dweight),
      dy: asPlanes(dy),
      x: asPlanes(x),
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

interface Options<Stride extends Single | Pair, Pad extends Padding<Single | Pair>, Dilation extends Single | Pair> {
  readonly stride?: Stride
  /**
   * Zeros on each side. 'same' takes as many as keep the input's size (if their number is odd, one more at the end),
   * and needs a stride of 1. Default 0.
   */
  readonly padding?: Pad
  readonly dilation?: Dilation
  /**
   * The number of groups into which input and output channels are cut. Each group of outputs sees only its group of
   * inputs. Default 1.
   */
  readonly groups?: number
}
export interface Conv1dOptions<
  S extends Single = Single,
  P extends Padding<Single> = Padding<Single>,
  D extends Single = Single,
> extends Options<S, P, D> {}
export interface Conv2dOptions<S extends Pair = Pair, P extends Padding<Pair> = Padding<Pair>, D extends Pair = Pair>
  extends Options<S, P, D> {}

const names: OptionNames<Conv2dOptions> = { stride: true, padding: true, dilation: true, groups: true }

/** conv1d or conv2d, with `relu` followed by relu, with the same bits. */
export function convolve(
  dims: Dims,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  options: Conv1dOptions | Conv2dOptions,
  relu: boolean,
): Tensor {
  const op = dims === 1 ? 'conv1d' : 'conv2d'
  checkTensor(op, 'x', x)
  checkTensor(op, 'weight', weight)
  checkOptions(op, options, names)
  const stride = spatial(op, dims, 'stride', options.stride ?? 1, 1)
  const dilation = spatial(op, dims, 'dilation', options.dilation ?? 1, 1)
  checkPadding(op, dims, options.padding ?? 0, stride)
  const groups = checkGroups(op, options.groups ?? 1)
  const { padding, extra } = zerosOf(dims, options.padding ?? 0, dilation, planeOf(weight))
  const attrs = { stride, padding, dilation, groups, relu }
  const single = x.ndim === dims + 1
  const batch = single ? unsqueeze(x, 0) : x
  const [h, w] = extra
  const framed =
    h + w > 0 && batch.ndim === dims + 2 ? namedAs(op, () => pad(batch, [0, w, 0, h].slice(0, 2 * dims))) : batch
  const out = widened(op, [framed, weight, bias], (inputs) => apply(records[dims], inputs, attrs))
  return single ? squeeze(out, 0) : out
}
