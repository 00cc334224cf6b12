/** Scaled dot-product attention (Vaswani et al., 2017), fused and tiled, never holding a row of scores per query in memory. */
import { agree, apply, checkDType, checkTensor } from '../autograd/operator.js'
import { empty, run } from '../backend/dispatch.js'
import type { PhiloxPosition } from '../backend/table/index.js'
import { DTypeError, Faults, formatShape, shown, ValueError } from '../core/errors.js'
import { checkGenerator, defaultGenerator, type Generator } from '../core/generator.js'
import { checkFlag, checkOptions, type OptionNames, ownOptions } from '../core/options.js'
import { countOf, type Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { anyFloating, checkProbability, checkScalar, like } from './common.js'
import { castTo } from './convert.js'
import { arange } from './creation.js'
import { dropoutAt } from './drop.js'
import { add, div, eq, exp, gt, le, lt, mul, sub, where } from './elementwise/index.js'
import { emptyInOrderOf, emptySideBySide } from './layout.js'
import { matmul } from './matmul.js'
import { operator as define, kernel } from './operator.js'
import { peakOf } from './peak.js'
import { sum } from './reduce/index.js'
import { expand, reshape, squeeze, transpose, unsqueeze } from './shape/index.js'
import { sumTo } from './totals.js'
import { expandView } from './views.js'

/** What errors name. */
const operator = 'scaledDotProductAttention'

interface Attention {
  readonly scale: number
  /** Query i stands at offset + i among the keys, and sees none later; Tk hides none. */
  readonly offset: number
  /** How many keys up to its own position a query sees; 0: all. */
  readonly window: number
  readonly dropout: number
  readonly random: PhiloxPosition
}

/**
 * q [B, Hq, Tq, D], k [B, Hk, Tk, D], v [B, Hk, Tk, Dv], mask (bool or floating) that broadcasts to [B, Hq, Tq, Tk], or null,
 * lengths int32 [B] or null.
 */
type AttentionInputs = [q: Tensor, k: Tensor, v: Tensor, mask: Tensor | null, lengths: Tensor | null]

function scoresShape(q: Tensor, k: Tensor): Shape {
  return [...q.sizes.slice(0, 3), k.sizes[2] ?? 0]
}

/** The mask as the kernel's two arguments: which keys take part, or what is added to the scores. */
function masks(mask: Tensor | null, scores: Shape): { maskBool: Tensor | null; maskAdd: Tensor | null } {
  const wide = mask && expandView(mask, scores)
  return { maskBool: wide?.dtype === 'bool' ? wide : null, maskAdd: wide && wide.dtype !== 'bool' ? wide : null }
}

/** Which keys [Tk] take part in which queries by offset, window and lengths: masks to be applied one after the other. */
function limits(q: Tensor, tk: number, lengths: Tensor | null, { offset, window }: Attention): Tensor[] {
  const [b = 0, , tq = 0] = q.sizes
  const count = (n: number) => arange(0, n, 1, { dtype: 'int32', device: q.device })
  const ahead = sub(unsqueeze(count(tk), 0), unsqueeze(count(tq), 1))
  const masks: Tensor[] = []
  if (offset < tk - 1) masks.push(le(ahead, offset))
  // Held to what lies among the keys, because positions may be beyond int32.
  if (window > 0) masks.push(gt(ahead, Math.min(Math.max(offset - window, -tq), tk)))
  if (lengths) masks.push(lt(reshape(count(tk), [1, 1, 1, tk]), reshape(lengths, [b, 1, 1, 1])))
  return masks
}

const attentionRecord = define<AttentionInputs, Attention, [out: Tensor], [statistics: Tensor]>({
  name: operator,
  // The mask is one of two arguments, by its dtype, so that the row's are not at the places of what follows it.
  inputs: ['q', 'k', 'v', { name: 'attnMask', dtypes: 'free' }, { name: 'lengths', dtypes: 'free' }],
  infer([q, , v]) {
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
    const [b = 0, hk = 0, tk = 0, d = 0] = k.sizes
    const [, hq = 0] = q.sizes
    const [, , , dv = 0] = v.sizes
    const group = hk === 0 ? 1 : hq / hk
    // Each key head serves a group of query heads.
    const repeat = (x: Tensor, size: number): Tensor =>
      reshape(expand(unsqueeze(x, 2), [b, hk, group, tk, size]), [b, hq, tk, size])
    const plain: Tensor = mul(matmul(q, transpose(repeat(k, d), -2, -1)), scale)
    const never = Number.NEGATIVE_INFINITY
    const masked: Tensor = !mask ? plain : mask.dtype === 'bool' ? where(mask, plain, never) : add(plain, mask)
    let scores = masked
    for (const seen of limits(q, tk, lengths, attrs)) scores = where(seen, scores, never)
    // A row without any key gives 0 instead of NaN.
    const peak = peakOf(scores, -1)
    const open = where(eq(peak, never), 0, peak)
    const e = exp(sub(scores, open))
    const total = sum(e, -1, { keepdim: true })
    const p = div(e, where(eq(total, 0), 1, total))
    const out = matmul(dropout > 0 ? dropoutAt(p, dropout, random) : p, repeat(v, dv))
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
      // In the one memory of the projection that q, k and v are views of, where they are.
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
   * bool: true takes part, false is -Infinity; floating: added to the scores. Broadcast to [B, H, Tq, Tk]. Only -Infinity
   * masks fully: the lowest number, for all keys of a query, weighs them alike. NaN or infinity in a masked key or value
   * makes the query NaN, as in PyTorch.
   */
  readonly attnMask?: Tensor | null
  /** Key j takes part in query i where j <= i; what later keys and values hold does not matter. */
  readonly isCausal?: boolean
  /**
   * With isCausal: the position of the first query among the keys, so that key j takes part in query i where
   * j <= offset + i. For queries that come after a cache of keys, the number of keys in front of them. An integer, default 0,
   * which is PyTorch's alignment; Tk - Tq is FlashAttention's, whose last query sees all keys.
   */
  readonly offset?: number | undefined
  /**
   * With isCausal: how many keys, its own position's and those right before it, a query sees at most, as Mistral's
   * `sliding_window`; FlashAttention's `window_size` of (window - 1, 0). At least 1; default: all. The cost is that of the
   * window, not of all keys; what keys and values outside it hold does not matter.
   */
  readonly window?: number | undefined
  /**
   * int32 [B]: how many keys of each batch row are real; those after them, the padding, take no part, whatever they hold. A
   * row of length 0 gives 0. A length outside [0, Tk] throws ValueError, later as all that depends on data.
   */
  readonly lengths?: Tensor | null
  /** Default 1 / sqrt(D). */
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
  scale: true,
  dropoutP: true,
  generator: true,
}

/** The two integers of the kernel: a query's keys begin `window` before its position offset + i and end there. */
function positions(
  { isCausal = false, offset, window }: AttentionOptions,
  tk: number,
): Pick<Attention, 'offset' | 'window'> {
  for (const [name, value, least] of [
    ['offset', offset, 0],
    ['window', window, 1],
  ] as const) {
    if (value === undefined) continue
    if (!Number.isSafeInteger(value) || value < least)
      throw new ValueError(operator, `${name} is ${shown(value)}, but must be an integer of at least ${least}`)
    if (!isCausal)
      throw new ValueError(
        operator,
        `${name} is ${value}, but isCausal is false: which keys come before a query matters to causal attention only; ` +
          `set isCausal, or leave ${name} out`,
      )
  }
  return { offset: isCausal ? (offset ?? 0) : tk, window: window ?? 0 }
}

/**
 * softmax(q k^T scale + mask) v; 0 for a query that has no key. q [B, Hq, Tq, D], k [B, Hk, Tk, D], v [B, Hk, Tk, Dv], where Hq is a multiple of Hk (grouped
 * heads need no copies of keys); tensors of [B, T, D] work too. Any strides. Throws ShapeError naming all misfits.
 */
export function scaledDotProductAttention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  checkOptions(operator, options, attentionNames)
  const { attnMask = null, isCausal = false, lengths = null, dropoutP = 0, generator } = options
  checkFlag(operator, 'isCausal', isCausal)
  checkGenerator(operator, generator)
  for (const [name, x] of Object.entries({ q, k, v })) checkTensor(operator, name, x)
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
  const faults = new Faults()
  const shapes = `q ${formatShape(q.sizes)}, k ${formatShape(k.sizes)}, v ${formatShape(v.sizes)}`
  faults.check(q.ndim === 4 && k.ndim === 4 && v.ndim === 4, () => `q, k and v must be [B, H, T, D], but are ${shapes}`)
  faults.throwShape(operator, [q.sizes, k.sizes, v.sizes])
  const [b, hq = 0, , d] = q.sizes
  const [, hk = 0, tk = 0] = k.sizes
  faults.check(k.sizes[0] === b && v.sizes[0] === b, () => `batch sizes differ: ${shapes}`)
  faults.check(k.sizes[3] === d, () => `q and k have different last sizes: ${shapes}`)
  faults.check(v.sizes[1] === hk && v.sizes[2] === tk, () => `k and v differ in heads or time: ${shapes}`)
  faults.check(hq === hk || (hk > 0 && hq % hk === 0), () => `${hq} query heads are not a multiple of ${hk} key heads`)
  if (attnMask) {
    if (!(attnMask.dtype === 'bool' || agree(attnMask, q) || (q.dtype === 'bfloat16' && attnMask.dtype === 'float32')))
      throw new DTypeError(
        operator,
        `attnMask is ${attnMask.dtype}, but must be bool (true takes part) or ${q.dtype} (added); convert it with ` +
          `.to('${attnMask.dtype.startsWith('float') || attnMask.dtype === 'bfloat16' ? q.dtype : 'bool'}')`,
      )
    const wanted = scoresShape(q, k)
    const fits =
      attnMask.ndim <= 4 && attnMask.sizes.every((size, i) => size === 1 || size === wanted[i + 4 - attnMask.ndim])
    faults.check(fits, () => `attnMask ${formatShape(attnMask.sizes)} does not broadcast to ${formatShape(wanted)}`)
  }
  if (lengths) {
    checkDType(operator, 'lengths', lengths, ['int32'])
    faults.check(
      lengths.ndim === 1 && lengths.sizes[0] === b,
      () => `lengths is ${formatShape(lengths.sizes)}, but must be [${b}], one length a batch row`,
    )
  }
  faults.throwShape(operator, [q.sizes, k.sizes, v.sizes])
  const scale = checkScalar(operator, 'scale', options.scale ?? 1 / Math.sqrt(d || 1))
  const count = dropoutP > 0 ? countOf(scoresShape(q, k)) : 0
  const attrs = {
    scale,
    ...positions(options, tk),
    dropout: dropoutP,
    random: (generator ?? defaultGenerator()).take(count),
  }
  const mask = attnMask?.dtype.endsWith('float16') ? castTo(attnMask, 'float32') : attnMask
  return apply(attentionRecord, [q, k, v, mask ?? null, lengths], attrs)
}
