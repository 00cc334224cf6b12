/**
 * Scaled dot-product attention (Vaswani et al., 2017). It is fused and tiled, and never holds a whole row of scores in
 * memory.
 */
import { agree, apply, checkDType, checkTensor } from '../../autograd/operator.js'
import { empty, run } from '../../backend/dispatch.js'
import type { PhiloxPosition } from '../../backend/table/index.js'
import { DTypeError, Faults, formatShape } from '../../core/errors.js'
import { checkGenerator, defaultGenerator, type Generator } from '../../core/generator.js'
import { checkFlag, checkOptions, type OptionNames, ownOptions } from '../../core/options.js'
import { countOf, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { anyFloating, checkProbability, checkScalar, like } from '../common.js'
import { castTo } from '../convert.js'
import { dropoutAt } from '../drop.js'
import { mul } from '../elementwise/index.js'
import { emptyInOrderOf, emptySideBySide } from '../layout.js'
import { matmul } from '../matmul.js'
import { operator as define, kernel } from '../operator.js'
import { squeeze, transpose, unsqueeze } from '../shape/index.js'
import { sumTo } from '../totals.js'
import { expandView } from '../views.js'
import {
  checkMaskDType,
  counts,
  distanceBias,
  forGroups,
  masked,
  maskFits,
  type Span,
  seenKeys,
  slopesOf,
  spanOf,
  weigh,
} from './weights.js'

/** The name in errors. */
const operator = 'scaledDotProductAttention'

interface Attention extends Span {
  readonly scale: number
  readonly dropout: number
  readonly random: PhiloxPosition
}

/**
 * q [B, Hq, Tq, D], k [B, Hk, Tk, D], v [B, Hk, Tk, Dv], mask (bool or floating) that broadcasts to [B, Hq, Tq, Tk], or
 * null, lengths int32 [B] or null.
 */
type AttentionInputs = [q: Tensor, k: Tensor, v: Tensor, mask: Tensor | null, lengths: Tensor | null]

function scoresShape(q: Tensor, k: Tensor): Shape {
  return [...q.sizes.slice(0, 3), k.sizes[2] ?? 0]
}

/** The mask as the kernel's two arguments: the keys that take part, or the numbers to add to the scores. */
function masks(mask: Tensor | null, scores: Shape): { maskBool: Tensor | null; maskAdd: Tensor | null } {
  const wide = mask && expandView(mask, scores)
  return { maskBool: wide?.dtype === 'bool' ? wide : null, maskAdd: wide && wide.dtype !== 'bool' ? wide : null }
}

/** Throws a ShapeError that names all misfits. */
function checkShapes([q, k, v, mask, lengths]: AttentionInputs): void {
  const faults = new Faults()
  const shapes = () => `q ${formatShape(q.sizes)}, k ${formatShape(k.sizes)}, v ${formatShape(v.sizes)}`
  faults.check(
    q.ndim === 4 && k.ndim === 4 && v.ndim === 4,
    () => `q, k and v must be [B, H, T, D], but are ${shapes()}`,
  )
  faults.throwShape(operator, [q.sizes, k.sizes, v.sizes])
  const [b, hq = 0, , d] = q.sizes
  const [, hk = 0, tk = 0] = k.sizes
  faults.check(k.sizes[0] === b && v.sizes[0] === b, () => `batch sizes differ: ${shapes()}`)
  faults.check(k.sizes[3] === d, () => `q and k have different last sizes: ${shapes()}`)
  faults.check(v.sizes[1] === hk && v.sizes[2] === tk, () => `k and v differ in heads or time: ${shapes()}`)
  faults.check(hq === hk || (hk > 0 && hq % hk === 0), () => `${hq} query heads are not a multiple of ${hk} key heads`)
  if (mask) {
    const wanted = scoresShape(q, k)
    faults.check(
      maskFits(mask.sizes, wanted),
      () => `attnMask ${formatShape(mask.sizes)} does not broadcast to ${formatShape(wanted)}`,
    )
  }
  if (lengths)
    faults.check(
      lengths.ndim === 1 && lengths.sizes[0] === b,
      () => `lengths is ${formatShape(lengths.sizes)}, but must be [${b}], one length for each batch row`,
    )
  faults.throwShape(operator, [q.sizes, k.sizes, v.sizes])
}

const attentionRecord = define<AttentionInputs, Attention, [out: Tensor], [statistics: Tensor]>({
  name: operator,
  // The mask becomes one of two arguments of the row, by its dtype, so the positions of inputs and arguments differ
  // after it.
  inputs: ['q', 'k', 'v', { name: 'attnMask', dtypes: 'free' }, { name: 'lengths', dtypes: 'free' }],
  infer(inputs) {
    checkShapes(inputs)
    const [q, , v] = inputs
    const [b = 0, h = 0, t = 0] = q.sizes
    return [
      like(q, [b, h, t, v.sizes[3] ?? 0]),
      { shape: [b, h, 2, t], dtype: q.dtype === 'float64' ? 'float64' : 'float32' },
    ]
  },
  forward: kernel('attention_forward', ([q, k, v, mask, lengths], attrs, { out, statistics }) => ({
    out,
    statistics,
    q,
    k,
    v,
    ...masks(mask, scoresShape(q, k)),
    lengths,
    ...attrs,
  })),
  composite([givenQ, givenK, givenV, mask, lengths], attrs) {
    const { scale, dropout, random } = attrs
    const { dtype } = givenQ
    const wide = (x: Tensor) => (x.dtype === 'bfloat16' ? castTo(x, 'float32') : x)
    const [q, k, v] = [wide(givenQ), wide(givenK), wide(givenV)]
    const hq = q.sizes[1] ?? 0
    const scores = mul(matmul(q, transpose(forGroups(k, hq), -2, -1)), scale)
    const p = weigh(masked(scores, mask), seenKeys(scores.sizes, lengths, attrs, q.device))
    const out = matmul(dropout > 0 ? dropoutAt(p, dropout, random) : p, forGroups(v, hq))
    return castTo(out, dtype)
  },
  gradient: {
    saves: () => ({ inputs: [0, 1, 2, 3, 4], outputs: [0, 1] }),
    fused: true,
    kernels: ['attention_backward'],
    backward(ctx, [dy]) {
      const [q, k, v, mask] = [ctx.input(0), ctx.input(1), ctx.input(2), ctx.input(3)]
      const scores = scoresShape(q, k)
      const op = `${operator} backward`
      const [needQ, needK, needV, needMask] = ctx.needs
      // If q, k and v are views of one projection, their gradients share one memory in the same way.
      const side = needQ && needK && needV ? emptySideBySide([q, k, v], op) : null
      const [dq = null, dk = null, dv = null] =
        side ?? [q, k, v].map((x, i) => (ctx.needs[i] ? emptyInOrderOf(x, x.sizes, op) : null))
      const dmask = needMask && mask ? empty(q.device, scores, mask.dtype, op) : null
      run('attention_backward', {
        dq,
        dk,
        dv,
        dmask,
        dy,
        q,
        k,
        v,
        out: ctx.output(0),
        statistics: ctx.output(1),
        ...masks(mask, scores),
        lengths: ctx.input(4),
        ...ctx.attrs,
      })
      return [dq, dk, dv, dmask && mask && sumTo(dmask, mask.sizes), null]
    },
  },
})

export interface AttentionOptions {
  /**
   * A mask that broadcasts to [B, H, Tq, Tk]. In a bool mask true takes part, and false is -Infinity; a floating mask
   * is added to the scores. Only -Infinity masks fully: if all keys of a query get the lowest number instead, they
   * weigh the same. NaN or infinity in a masked key or value makes the query NaN, as in PyTorch.
   */
  readonly attnMask?: Tensor | null
  /** Lets key j take part in query i only if j <= i. The content of later keys and values does not matter. */
  readonly isCausal?: boolean
  /**
   * With isCausal, the position of the first query among the keys: key j takes part in query i if j <= offset + i. It
   * is the number of cached keys if the queries come after a cache. An integer; the default 0 is PyTorch's alignment,
   * and Tk - Tq is FlashAttention's, whose last query sees all keys.
   */
  readonly offset?: number | undefined
  /**
   * With isCausal, the most keys that a query sees: the key at its own position and those just before it. It is
   * Mistral's `sliding_window`, and FlashAttention's `window_size` of (window - 1, 0). At least 1; default: all. The
   * cost is that of the window, not of all keys. The content of keys and values outside it does not matter.
   */
  readonly window?: number | undefined
  /**
   * int32 [B]: the number of real keys in each batch row. Keys after them are padding and take no part, whatever they
   * hold. A row of length 0 gives 0. A length outside [0, Tk] is a late ValueError, because only the data tell.
   */
  readonly lengths?: Tensor | null
  /**
   * Linear biases (ALiBi, Press et al., 2022): adds to the scores of each head -slope times the distance between the
   * query's position, `offset` + i, and the key's. True takes the slopes 2^(-8 h / Hq) for heads h = 1, 2, ...; a
   * tensor [Hq] gives your own.
   */
  readonly alibi?: boolean | Tensor
  /** The factor of the scores. Default 1 / sqrt(D). */
  readonly scale?: number | undefined
  /** Probability of dropping an attention weight. Default 0. */
  readonly dropoutP?: number
  readonly generator?: Generator | undefined
}

const attentionNames: OptionNames<AttentionOptions> = {
  attnMask: true,
  isCausal: true,
  offset: true,
  window: true,
  lengths: true,
  alibi: true,
  scale: true,
  dropoutP: true,
  generator: true,
}

/**
 * softmax(q k^T scale + mask) v; 0 for a query without keys. q [B, Hq, Tq, D], k [B, Hk, Tk, D], v [B, Hk, Tk, Dv],
 * where Hq is a multiple of Hk (grouped heads need no copies of keys). Tensors [B, T, D] work too, and any strides.
 * Throws a ShapeError that names all misfits.
 */
export function scaledDotProductAttention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  checkOptions(operator, options, attentionNames)
  const { attnMask = null, isCausal = false, lengths = null, alibi = false, dropoutP = 0, generator } = options
  checkFlag(operator, 'isCausal', isCausal)
  checkGenerator(operator, generator)
  checkTensor(operator, 'q', q)
  checkTensor(operator, 'k', k)
  checkTensor(operator, 'v', v)
  if (attnMask !== null) checkTensor(operator, 'attnMask', attnMask)
  if (lengths !== null) checkTensor(operator, 'lengths', lengths)
  if (q.ndim === 3 && k.ndim === 3 && v.ndim === 3) {
    const mask = attnMask?.ndim === 3 ? unsqueeze(attnMask, 1) : attnMask
    return squeeze(
      scaledDotProductAttention(unsqueeze(q, 1), unsqueeze(k, 1), unsqueeze(v, 1), {
        ...ownOptions(operator, options, attentionNames),
        attnMask: mask,
      }),
      1,
    )
  }
  checkDType(operator, 'q', q, anyFloating)
  checkProbability(operator, dropoutP, 'dropoutP')
  if (!agree(k, q) || !agree(v, q))
    throw new DTypeError(
      operator,
      `q, k and v are ${q.dtype}, ${k.dtype} and ${v.dtype}, but must be of one dtype; convert them with .to()`,
    )
  if (attnMask) {
    const fits = agree(attnMask, q) || (q.dtype === 'bfloat16' && attnMask.dtype === 'float32')
    checkMaskDType(operator, attnMask, q.dtype, fits)
  }
  if (lengths) checkDType(operator, 'lengths', lengths, counts)
  const scale = checkScalar(operator, 'scale', options.scale ?? 1 / Math.sqrt(q.sizes[3] || 1))
  const span = spanOf(operator, options, k.sizes[2] ?? 0)
  const given = attnMask?.dtype.endsWith('float16') ? castTo(attnMask, 'float32') : attnMask
  const slopes = slopesOf(operator, alibi, q.sizes[1] ?? 0, q)
  const [tq, tk] = [q.sizes[2] ?? 0, k.sizes[2] ?? 0]
  const mask = slopes ? masked(distanceBias(slopes, tq, tk, options.offset ?? 0), given) : given
  const inputs: AttentionInputs = [q, k, v, mask, lengths]
  // Checks come first, because a refused call must not take random numbers.
  if (dropoutP > 0) checkShapes(inputs)
  const random = (generator ?? defaultGenerator()).take(dropoutP > 0 ? countOf(scoresShape(q, k)) : 0)
  return apply(attentionRecord, inputs, { scale, ...span, dropout: dropoutP, random })
}
