/**
 * The one table of kernels. Every kernel that any device runs stands here once; the interface a backend fulfils is
 * derived from it by type (`Kernels`), the C++ declarations and the decoder of calls by `npm run generate`.
 *
 * An argument is `role[?|[]] type`:
 *   roles   out     dense memory that the kernel overwrites
 *           place   as out, with any strides
 *           inout   dense memory that the kernel reads and writes
 *           update  as inout, with any strides
 *           in      dense memory, read only
 *           strided memory with any strides, read only (0 where broadcast)
 *   ?       the argument may be null;  []  any number of tensors
 *   types   T       one dtype, the same for every T of a call, out of the kernel's `T`
 *           float   float32 or bfloat16, whatever the other arguments are
 *           any     any dtype, or a dtype by name
 * or one of  number (a double), integer (a safe integer), flag (a boolean), philox (a position in a random stream).
 *
 * A kernel computes in float32 (or wider) what it takes and gives in bfloat16, and rounds the result once. `precision` is
 * the operators' policy under autocast: `low` (bfloat16), `float32`, or `widest`, that of the widest input, where nothing
 * is said. Convolution and LSTM are `float32` because their kernels take nothing else.
 *
 * Wherever a kernel takes float32 the reference device also takes float64; no other device does.
 *
 * `work` is what the queue may assume of the time a call takes: `linear` in the elements of its arguments, or `heavy`.
 * `optional` kernels may be missing from a device, which then runs the operator's composite.
 *
 * Over 600 lines, for it is one table.
 */
import type { DType, Precision } from '../core/dtype.js'

type Role = 'out' | 'place' | 'inout' | 'update' | 'in' | 'strided'
type Arity = '' | '?' | '[]'
type ElementType = 'T' | 'float' | 'any' | DType
export type TensorArgument = `${Role}${Arity} ${ElementType}`
export type Argument = TensorArgument | 'number' | 'integer' | 'flag' | 'philox'

export type Family =
  | 'elementwise'
  | 'reduce'
  | 'shape'
  | 'indexing'
  | 'matmul'
  | 'conv'
  | 'pool'
  | 'norm'
  | 'softmax'
  | 'loss'
  | 'recurrent'
  | 'attention'
  | 'random'
  | 'optimizer'

export interface KernelSpec {
  readonly family: Family
  readonly args: { readonly [name: string]: Argument }
  /** The dtypes that `T` may stand for. */
  readonly T?: readonly DType[]
  readonly work?: 'linear' | 'heavy'
  readonly precision?: Precision
  readonly optional?: boolean
  /** What a late error names, where that is not the kernel: the function that the program called. */
  readonly calledAs?: string
}

const float = ['float32'] as const
const numeric = ['float32', 'int32'] as const
const floats = ['float32', 'bfloat16'] as const
const numbers = ['float32', 'bfloat16', 'int32'] as const
const every = ['float32', 'bfloat16', 'float16', 'int32', 'uint8', 'bool'] as const

/** out = f(x), one line a function; the derivative's line gives what its backward reads. */
const unary = { family: 'elementwise', args: { out: 'out T', x: 'strided T' }, T: floats } as const
/** As unary, for functions whose results lose too much of a rounded argument. */
const exact = { ...unary, precision: 'float32' } as const
/** dx = dy * f'(x) */
const unaryBackward = {
  family: 'elementwise',
  args: { dx: 'out T', dy: 'strided T', x: 'strided T' },
  T: floats,
} as const
const binary = { family: 'elementwise', args: { out: 'out T', a: 'strided T', b: 'strided T' }, T: numbers } as const
const comparison = {
  family: 'elementwise',
  args: { out: 'out bool', a: 'strided T', b: 'strided T' },
  T: every,
} as const
/** out has x's shape with 1 in each reduced dimension; a dimension is reduced where out has 1. */
const reduction = {
  family: 'reduce',
  args: { out: 'out T', x: 'strided T' },
  T: numeric,
  precision: 'float32',
} as const

const window2d = {
  strideH: 'integer',
  strideW: 'integer',
  padH: 'integer',
  padW: 'integer',
  dilationH: 'integer',
  dilationW: 'integer',
} as const
const conv2d = { ...window2d, groups: 'integer' } as const
const pool2d = { kernelH: 'integer', kernelW: 'integer', ...window2d } as const
const avgPool2d = {
  kernelH: 'integer',
  kernelW: 'integer',
  strideH: 'integer',
  strideW: 'integer',
  padH: 'integer',
  padW: 'integer',
  countIncludePad: 'flag',
} as const
/** Options of cross entropy: `reduction` is 0 none, 1 mean, 2 sum. */
const crossEntropy = { ignoreIndex: 'integer', smoothing: 'number', reduction: 'integer' } as const
const attention = { scale: 'number', causal: 'flag', dropout: 'number', random: 'philox' } as const

export const kernels = {
  // elementwise ---------------------------------------------------------------------------------------------------
  add: binary,
  sub: binary,
  mul: binary,
  div: { ...binary, T: floats },
  maximum: binary,
  minimum: binary,
  pow: { ...binary, T: floats, precision: 'float32' },
  eq: comparison,
  ne: comparison,
  lt: comparison,
  le: comparison,
  gt: comparison,
  ge: comparison,
  /** out = x * scale + shift */
  affine: { ...unary, args: { ...unary.args, scale: 'number', shift: 'number' }, T: numbers },
  /** out = x ** exponent */
  pow_scalar: { ...exact, args: { ...unary.args, exponent: 'number' } },
  clamp: { ...unary, args: { ...unary.args, min: 'number', max: 'number' }, T: numbers },
  /** dx = dy where min <= x <= max, else 0 */
  clamp_backward: { ...unaryBackward, args: { ...unaryBackward.args, min: 'number', max: 'number' } },
  where: {
    family: 'elementwise',
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
  floor: unary,
  relu: { ...unary, T: numbers },
  /** dx = dy where y > 0, else 0; the third argument is the output of relu, which says the same as its input */
  relu_backward: { family: 'elementwise', args: { dx: 'out T', dy: 'strided T', y: 'strided T' }, T: floats },
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
  sigmoid_backward: { family: 'elementwise', args: { dx: 'out T', dy: 'strided T', y: 'strided T' }, T: floats },
  /** dx = dy * (1 - y * y); the third argument is the output of tanh */
  tanh_backward: { family: 'elementwise', args: { dx: 'out T', dy: 'strided T', y: 'strided T' }, T: floats },

  // shape: copies; views cost nothing and have no kernel -------------------------------------------------------------
  /** out = x, converted to out's dtype (floats to integers truncate, anything to bool is != 0) */
  copy: { family: 'shape', args: { out: 'out any', x: 'strided any' } },
  /** dst = src (same shape; src may be broadcast), converted to dst's dtype */
  copy_into: { family: 'shape', args: { dst: 'update any', src: 'strided any' } },
  /** dst += src */
  accumulate: { family: 'shape', args: { dst: 'update T', src: 'strided T' }, T: numbers },
  fill: { family: 'shape', args: { out: 'out any', value: 'number' } },
  /** out[i] = start + i * step */
  arange: { family: 'shape', args: { out: 'out T', start: 'number', step: 'number' }, T: numeric },
  cat: { family: 'shape', args: { out: 'out T', inputs: 'strided[] T', dim: 'integer' }, T: every },

  // reduce ----------------------------------------------------------------------------------------------------------
  /** out = scale * sum(x), in x's dtype, or one of float32 and bfloat16 in the other */
  sum: { ...reduction, args: { out: 'out any', x: 'strided T', scale: 'number' }, T: numbers },
  amax: reduction,
  amin: reduction,
  /** indices along dim of the first largest element; NaN counts as largest; out has 1 at dim */
  argmax: {
    family: 'reduce',
    args: { out: 'out int32', x: 'strided T', dim: 'integer' },
    T: numeric,
    precision: 'float32',
  },
  argmin: {
    family: 'reduce',
    args: { out: 'out int32', x: 'strided T', dim: 'integer' },
    T: numeric,
    precision: 'float32',
  },
  cumsum: {
    family: 'reduce',
    args: { out: 'out T', x: 'in T', dim: 'integer', reverse: 'flag' },
    T: numeric,
    precision: 'float32',
  },

  // indexing; an index outside [0, size) is recorded as an error of the call ---------------------------------------
  /** out[.., i, ..] = x[.., index[i], ..] along dim; index has one dimension */
  index_select: {
    calledAs: 'indexSelect',
    family: 'indexing',
    args: { out: 'out T', x: 'in T', index: 'in int32', dim: 'integer' },
    T: every,
  },
  /** out[.., :] = weight[ids[..], :]: rows of one matrix, for ids of any shape */
  embedding: {
    family: 'indexing',
    args: { out: 'out T', weight: 'in T', ids: 'in int32' },
    T: every,
  },
  /** dx = 0, then dx[.., index[i], ..] += dy[.., i, ..] in the order of i; rows with index == skip stay 0 (-1: none) */
  index_add: {
    calledAs: 'indexSelect backward',
    family: 'indexing',
    args: { dx: 'out T', dy: 'in T', index: 'in int32', dim: 'integer', skip: 'integer' },
    T: float,
    precision: 'float32',
  },
  /** sum[.., index[i], ..] += dy[.., i, ..] in the order of i; rows with index == skip get nothing (-1: none) */
  index_accumulate: {
    calledAs: 'indexSelect backward',
    family: 'indexing',
    args: { sum: 'inout T', dy: 'in T', index: 'in int32', dim: 'integer', skip: 'integer' },
    T: float,
  },
  /** out[i][j][k] = x[i][j][index[i][j][k]] (dim 2); index may be smaller than x in the other dimensions */
  gather: { family: 'indexing', args: { out: 'out T', x: 'in T', index: 'in int32', dim: 'integer' }, T: every },
  /** dx = 0, then dx[i][j][index[i][j][k]] += dy[i][j][k] (dim 2) */
  scatter_add: {
    calledAs: 'gather backward',
    family: 'indexing',
    args: { dx: 'out T', dy: 'in T', index: 'in int32', dim: 'integer' },
    T: float,
    precision: 'float32',
  },

  // matmul ----------------------------------------------------------------------------------------------------------
  /** out[.., M, N] = a[.., M, K] b[.., K, N] (+ bias[N]); a and b have out's rank, batch dimensions broadcast by stride 0.
   * Sums are float32 or wider, whatever the dtypes. */
  matmul: {
    family: 'matmul',
    args: { out: 'out float', a: 'strided float', b: 'strided float', bias: 'in? float' },
    work: 'heavy',
    precision: 'low',
  },

  /** sum += a b, for gradients; shapes as in matmul */
  matmul_accumulate: {
    family: 'matmul',
    args: { sum: 'inout float32', a: 'strided float', b: 'strided float' },
    work: 'heavy',
  },

  // conv: NCHW images, OIHW weights ---------------------------------------------------------------------------------
  /** relu: negative sums become 0, as the kernel relu has it */
  conv2d_forward: {
    calledAs: 'conv2d',
    family: 'conv',
    args: { out: 'out T', x: 'in T', weight: 'in T', bias: 'in? T', ...conv2d, relu: 'flag' },
    T: float,
    work: 'heavy',
    precision: 'float32',
  },
  conv2d_input_gradient: {
    calledAs: 'conv2d backward',
    family: 'conv',
    args: { dx: 'out T', dy: 'in T', weight: 'in T', ...conv2d },
    T: float,
    work: 'heavy',
    precision: 'float32',
  },
  conv2d_weight_gradient: {
    calledAs: 'conv2d backward',
    family: 'conv',
    args: { dweight: 'out T', dy: 'in T', x: 'in T', ...conv2d },
    T: float,
    work: 'heavy',
    precision: 'float32',
  },

  // pool ------------------------------------------------------------------------------------------------------------
  /** indices: position of the first maximum within the H*W plane of x; NaN counts as largest; padding never wins */
  max_pool2d_forward: {
    calledAs: 'maxPool2d',
    family: 'pool',
    args: { out: 'out T', indices: 'out int32', x: 'in T', ...pool2d },
    T: float,
    precision: 'float32',
  },
  max_pool2d_backward: {
    calledAs: 'maxPool2d backward',
    family: 'pool',
    args: { dx: 'out T', dy: 'in T', indices: 'in int32' },
    T: float,
    precision: 'float32',
  },
  avg_pool2d_forward: {
    calledAs: 'avgPool2d',
    family: 'pool',
    args: { out: 'out T', x: 'in T', ...avgPool2d },
    T: float,
    precision: 'float32',
  },
  avg_pool2d_backward: {
    calledAs: 'avgPool2d backward',
    family: 'pool',
    args: { dx: 'out T', dy: 'in T', ...avgPool2d },
    T: float,
    precision: 'float32',
  },

  // norm ------------------------------------------------------------------------------------------------------------
  /** x is [N, C, L]; statistics [C] over N and L. training: of the batch, and running = (1 - momentum) running +
   * momentum batch (variance unbiased); else mean and rstd come from the running statistics. */
  batch_norm_forward: {
    calledAs: 'batchNorm',
    family: 'norm',
    args: {
      out: 'out T',
      mean: 'out T',
      rstd: 'out T',
      x: 'in T',
      weight: 'in? T',
      bias: 'in? T',
      runningMean: 'inout? T',
      runningVar: 'inout? T',
      momentum: 'number',
      eps: 'number',
      training: 'flag',
    },
    T: float,
    optional: true,
    precision: 'float32',
  },
  /** training: through the batch's statistics; else they are constants */
  batch_norm_backward: {
    calledAs: 'batchNorm backward',
    family: 'norm',
    args: {
      dx: 'out? T',
      dweight: 'out? T',
      dbias: 'out? T',
      dy: 'in T',
      x: 'in T',
      mean: 'in T',
      rstd: 'in T',
      weight: 'in? T',
      training: 'flag',
    },
    T: float,
    optional: true,
  },
  /** x is [rows, columns], normalised over columns; mean and rstd are [rows] */
  layer_norm_forward: {
    calledAs: 'layerNorm',
    family: 'norm',
    args: { out: 'out T', mean: 'out T', rstd: 'out T', x: 'in T', weight: 'in? T', bias: 'in? T', eps: 'number' },
    T: float,
    optional: true,
    precision: 'float32',
  },
  layer_norm_backward: {
    calledAs: 'layerNorm backward',
    family: 'norm',
    args: {
      dx: 'out? T',
      dweight: 'out? T',
      dbias: 'out? T',
      dy: 'in T',
      x: 'in T',
      mean: 'in T',
      rstd: 'in T',
      weight: 'in? T',
    },
    T: float,
    optional: true,
  },

  // softmax over dim ------------------------------------------------------------------------------------------------
  softmax_forward: {
    calledAs: 'softmax',
    family: 'softmax',
    args: { out: 'out T', x: 'in T', dim: 'integer' },
    T: float,
    precision: 'float32',
  },
  /** dx = y * (dy - sum(dy * y)) */
  softmax_backward: {
    calledAs: 'softmax backward',
    family: 'softmax',
    args: { dx: 'out T', dy: 'in T', y: 'in T', dim: 'integer' },
    T: float,
  },
  log_softmax_forward: {
    calledAs: 'logSoftmax',
    family: 'softmax',
    args: { out: 'out T', x: 'in T', dim: 'integer' },
    T: float,
    precision: 'float32',
  },
  /** dx = dy - exp(y) * sum(dy) */
  log_softmax_backward: {
    calledAs: 'logSoftmax backward',
    family: 'softmax',
    args: { dx: 'out T', dy: 'in T', y: 'in T', dim: 'integer' },
    T: float,
  },

  // loss ------------------------------------------------------------------------------------------------------------
  /** logits [N, C], read in float32 whatever their dtype; target [N], weight [C]. out is [N] (none) or []; statistics
   * [2, N] holds the largest logit m of each row, then each row's sum of exp(logit - m); total [] is the sum of the counted
   * rows' weights, what mean divides by. A label outside [0, C) that is not ignoreIndex is recorded as an error. */
  cross_entropy_forward: {
    calledAs: 'crossEntropy',
    family: 'loss',
    args: {
      out: 'out T',
      statistics: 'out T',
      total: 'out T',
      logits: 'in float',
      target: 'in int32',
      weight: 'in? T',
      ...crossEntropy,
    },
    T: float,
    optional: true,
    precision: 'float32',
  },
  /** dy has the shape of the forward's out */
  cross_entropy_backward: {
    calledAs: 'crossEntropy backward',
    family: 'loss',
    args: {
      dlogits: 'out float',
      dy: 'in T',
      statistics: 'in T',
      total: 'in T',
      logits: 'in float',
      target: 'in int32',
      weight: 'in? T',
      ...crossEntropy,
    },
    T: float,
    optional: true,
  },

  // recurrent: one layer, one direction, all time steps; gates i, f, g, o -------------------------------------------
  /** x [T, B, I] -> out [T, B, H], hn and cn [B, H]. wIh [4H, I], wHh [4H, H], biases [4H]; h0, c0 [B, H] or null for 0.
   * gates [T, B, 4H] (activated) and cells [T, B, H] are kept for backward; null when nothing wants a gradient.
   * reverse: time runs from the end; hn, cn are then the state after step 0. */
  lstm_forward: {
    calledAs: 'lstm',
    family: 'recurrent',
    args: {
      out: 'out T',
      hn: 'out T',
      cn: 'out T',
      gates: 'out? T',
      cells: 'out? T',
      x: 'in T',
      h0: 'in? T',
      c0: 'in? T',
      wIh: 'in T',
      wHh: 'in T',
      bIh: 'in? T',
      bHh: 'in? T',
      reverse: 'flag',
    },
    T: float,
    work: 'heavy',
    precision: 'float32',
  },
  /** dbias [4H] is the gradient of bIh and of bHh alike; dy, dhn, dcn may be null (0) */
  lstm_backward: {
    calledAs: 'lstm backward',
    family: 'recurrent',
    args: {
      dx: 'out? T',
      dh0: 'out? T',
      dc0: 'out? T',
      dwIh: 'out? T',
      dwHh: 'out? T',
      dbias: 'out? T',
      dy: 'in? T',
      dhn: 'in? T',
      dcn: 'in? T',
      x: 'in T',
      h0: 'in? T',
      c0: 'in? T',
      wIh: 'in T',
      wHh: 'in T',
      out: 'in T',
      gates: 'in T',
      cells: 'in T',
      reverse: 'flag',
    },
    T: float,
    work: 'heavy',
  },

  // attention -------------------------------------------------------------------------------------------------------
  /** q [B, Hq, Tq, D], k [B, Hk, Tk, D], v [B, Hk, Tk, Dv], Hq a multiple of Hk; out [B, Hq, Tq, Dv]; statistics [B, Hq,
   * 2, Tq]: the largest score m of each query, then each query's sum of exp(score - m). mask, broadcast to [B, Hq, Tq, Tk] by stride 0: bool (true: take part) or float32 (added to the scores). causal: key
   * j takes part in query i where j <= i. A row without keys gives 0. A mask is added: a masked key that is not finite makes the row NaN;
   * causal: later keys are not read. Dropout drops element e of [B, Hq, Tq, Tk]
   * by the e-th integer of `random`, and scales the rest by 1 / (1 - dropout). */
  attention_forward: {
    calledAs: 'scaledDotProductAttention',
    family: 'attention',
    args: {
      out: 'place T',
      statistics: 'out float32',
      q: 'strided T',
      k: 'strided T',
      v: 'strided T',
      maskBool: 'strided? bool',
      maskAdd: 'strided? float32',
      ...attention,
    },
    T: floats,
    work: 'heavy',
    precision: 'low',
  },
  /** dmask [B, Hq, Tq, Tk] is dense: the gradient of the scores before they are summed to the mask's shape */
  attention_backward: {
    calledAs: 'scaledDotProductAttention backward',
    family: 'attention',
    args: {
      dq: 'place? T',
      dk: 'place? T',
      dv: 'place? T',
      dmask: 'out? float32',
      dy: 'strided T',
      q: 'strided T',
      k: 'strided T',
      v: 'strided T',
      out: 'strided T',
      statistics: 'in float32',
      maskBool: 'strided? bool',
      maskAdd: 'strided? float32',
      ...attention,
    },
    T: floats,
    work: 'heavy',
  },

  // random: element i of a call takes word i % 4 of Philox block offset + floor(i / 4) ------------------------------
  /** low + (high - low) * u, u = (word >> 8) / 2^24 in [0, 1), computed in float64 and rounded */
  random_uniform: {
    family: 'random',
    args: { out: 'out T', random: 'philox', low: 'number', high: 'number' },
    T: float,
  },
  /** mean + std * inverse normal distribution((word + 0.5) / 2^32), computed in float64 and rounded */
  random_normal: {
    family: 'random',
    args: { out: 'out T', random: 'philox', mean: 'number', std: 'number' },
    T: float,
  },
  /** low + floor(word * (high - low) / 2^32) */
  random_integers: {
    family: 'random',
    args: { out: 'out int32', random: 'philox', low: 'integer', high: 'integer' },
  },
  /** out = word < round(p * 2^32) ? 0 : x / (1 - p); its own backward with the same position */
  dropout: {
    family: 'random',
    args: { out: 'out T', x: 'strided T', random: 'philox', p: 'number' },
    T: floats,
  },

  // optimizer: all parameters in one call. shadows: bfloat16 copies of the first shadows.length parameters, written too ------
  /** d = grad + weightDecay * p; buf = first ? d : momentum * buf + (1 - dampening) * d; p -= lr * (nesterov ? d + momentum * buf : buf) */
  sgd: {
    family: 'optimizer',
    args: {
      params: 'inout[] T',
      grads: 'in[] T',
      momentumBuffers: 'inout[] T',
      lr: 'number',
      momentum: 'number',
      dampening: 'number',
      weightDecay: 'number',
      nesterov: 'flag',
      maximize: 'flag',
      first: 'flag',
      shadows: 'inout[] bfloat16',
    },
    T: float,
  },
  /** decoupled: AdamW (p *= 1 - lr * weightDecay), else L2 in the gradient; maxSquares is empty unless amsgrad */
  adam: {
    family: 'optimizer',
    args: {
      params: 'inout[] T',
      grads: 'in[] T',
      means: 'inout[] T',
      squares: 'inout[] T',
      maxSquares: 'inout[] T',
      lr: 'number',
      beta1: 'number',
      beta2: 'number',
      eps: 'number',
      weightDecay: 'number',
      decoupled: 'flag',
      maximize: 'flag',
      step: 'integer',
      shadows: 'inout[] bfloat16',
    },
    T: float,
  },
  /** out [] = (sum |x|^p)^(1/p) over all tensors; p may be Infinity */
  total_norm: { family: 'optimizer', args: { out: 'out T', tensors: 'in[] T', p: 'number' }, T: float },
  /** each tensor *= min(1, maxNorm / (norm + 1e-6)) */
  clip_scale: {
    family: 'optimizer',
    args: { tensors: 'inout[] T', norm: 'in T', maxNorm: 'number' },
    T: float,
  },
} as const satisfies { readonly [name: string]: KernelSpec }

export type KernelTable = typeof kernels
export type KernelName = keyof KernelTable

/** A position in a random stream: what Philox turns into numbers, on every device the same. */
export interface PhiloxPosition {
  /** A safe integer: the key. */
  readonly seed: number
  /** An unsigned 32-bit integer: which of the generator's independent sequences. */
  readonly stream: number
  /** A safe integer: blocks of four words taken before. */
  readonly offset: number
}

type ArgumentValue<A, V> = A extends 'number' | 'integer'
  ? number
  : A extends 'flag'
    ? boolean
    : A extends 'philox'
      ? PhiloxPosition
      : A extends `${Role}? ${ElementType}`
        ? V | null
        : A extends `${Role}[] ${ElementType}`
          ? readonly V[]
          : V

/** The arguments of kernel K where a tensor is a V. */
export type KernelArguments<K extends KernelName, V> = {
  readonly [A in keyof KernelTable[K]['args']]: ArgumentValue<KernelTable[K]['args'][A], V>
}

type OptionalName = {
  [K in KernelName]: KernelTable[K] extends { optional: true } ? K : never
}[KernelName]

/** What a backend written in TypeScript fulfils: a missing required kernel does not compile. */
export type Kernels<V> = {
  readonly [K in Exclude<KernelName, OptionalName>]: (args: KernelArguments<K, V>) => void
} & {
  readonly [K in OptionalName]?: (args: KernelArguments<K, V>) => void
}

export const kernelNames = Object.keys(kernels) as readonly KernelName[]

/** What an error that a kernel recorded names. */
export function calledAs(kernel: string): string {
  const table: { readonly [name: string]: KernelSpec } = kernels
  return table[kernel]?.calledAs ?? kernel
}

export interface ParsedArgument {
  readonly name: string
  readonly role: Role | 'number' | 'integer' | 'flag' | 'philox'
  readonly arity: 'one' | 'optional' | 'list'
  readonly dtype: ElementType | null
}

/** A kernel's arguments, in order, taken apart; what dispatch and the generator read. */
export function parseArguments(spec: KernelSpec): readonly ParsedArgument[] {
  return Object.entries(spec.args).map(([name, text]) => {
    const match = /^(out|place|inout|update|in|strided)(\?|\[\])? (\w+)$/.exec(text)
    if (!match) return { name, role: text as ParsedArgument['role'], arity: 'one', dtype: null }
    const arity = match[2] === '?' ? 'optional' : match[2] === '[]' ? 'list' : 'one'
    return { name, role: match[1] as Role, arity, dtype: match[3] as ElementType }
  })
}
