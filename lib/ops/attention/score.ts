/** Attention with a chosen score of queries and keys. */
import { agree, checkDType, checkTensor } from '../../autograd/operator.js'
import { DTypeError, Faults, formatShape, kindOf, ShapeError, shown, ValueError } from '../../core/errors.js'
import { checkGenerator } from '../../core/generator.js'
import { checkFlag, checkOptions, type OptionNames, ownOptions } from '../../core/options.js'
import type { Shape } from '../../core/shape.js'
import { Tensor } from '../../core/tensor.js'
import { anyFloating, checkProbability, checkScalar } from '../common.js'
import { castTo } from '../convert.js'
import { dropout } from '../dropout.js'
import { add, clamp, mul, rsqrt, square, tanh } from '../elementwise/index.js'
import { linear, matmul } from '../matmul.js'
import { sum } from '../reduce/index.js'
import { squeeze, transpose, unsqueeze } from '../shape/index.js'
import { type AttentionOptions, scaledDotProductAttention } from './scaled.js'
import {
  checkMaskDType,
  counts,
  distanceBias,
  forGroups,
  masked,
  maskFits,
  seenKeys,
  slopesOf,
  spanOf,
  weigh,
} from './weights.js'

const products = (q: Tensor, k: Tensor): Tensor => matmul(q, transpose(k, -2, -1))

function checkPair(op: string, q: Tensor, k: Tensor, more: { readonly [name: string]: Tensor } = {}): void {
  for (const [name, x] of Object.entries({ q, k, ...more })) {
    checkTensor(op, name, x)
    checkDType(op, name, x, anyFloating)
    if (!agree(x, q)) throw new DTypeError(op, `q is ${q.dtype}, but ${name} is ${x.dtype}; convert one with .to()`)
  }
  if (q.ndim < 2 || k.ndim !== q.ndim || q.sizes.slice(0, -2).some((size, i) => size !== k.sizes[i]))
    throw new ShapeError(
      op,
      `q is ${formatShape(q.sizes)} and k ${formatShape(k.sizes)}, but they must be [.., Tq, Dq] and [.., Tk, Dk] with the ` +
        'same sizes before',
      [q.sizes, k.sizes],
    )
}

function checkSameFeatures(op: string, q: Tensor, k: Tensor): void {
  if (q.sizes.at(-1) !== k.sizes.at(-1))
    throw new ShapeError(
      op,
      `q and k have different last sizes: q ${formatShape(q.sizes)}, k ${formatShape(k.sizes)}`,
      [q.sizes, k.sizes],
    )
}

/**
 * Scores q W k^T (Luong et al., 2015, "general"): q [.., Tq, Dq], k [.., Tk, Dk], weight [Dq, Dk] -> [.., Tq, Tk]. For
 * `attention(q, k, v, { score: (q, k) => generalScores(q, k, weight) })`. Throws ShapeError for a weight of another
 * shape.
 */
export function generalScores(q: Tensor, k: Tensor, weight: Tensor): Tensor {
  const op = 'generalScores'
  checkPair(op, q, k, { weight })
  const wanted = [q.sizes.at(-1) as number, k.sizes.at(-1) as number]
  if (formatShape(weight.sizes) !== formatShape(wanted))
    throw new ShapeError(op, `weight is ${formatShape(weight.sizes)}, but must be [Dq, Dk] = ${formatShape(wanted)}`, [
      weight.sizes,
    ])
  return asGiven(products(matmul(wide(q), wide(weight)), wide(k)), q)
}

/**
 * Scores vector . tanh(Wq q + Wk k) (Bahdanau et al., 2015): q [.., Tq, Dq], k [.., Tk, Dk], queryWeight [H, Dq],
 * keyWeight [H, Dk], vector [H] -> [.., Tq, Tk]. Takes memory for H numbers for each pair of query and key.
 */
export function additiveScores(q: Tensor, k: Tensor, queryWeight: Tensor, keyWeight: Tensor, vector: Tensor): Tensor {
  const op = 'additiveScores'
  checkPair(op, q, k, { queryWeight, keyWeight, vector })
  const h = vector.sizes[0] ?? 0
  const wanted = {
    queryWeight: [queryWeight, [h, q.sizes.at(-1) as number]],
    keyWeight: [keyWeight, [h, k.sizes.at(-1) as number]],
    vector: [vector, [h]],
  } as const
  const faults = new Faults()
  for (const [name, [x, shape]] of Object.entries(wanted))
    faults.check(
      formatShape(x.sizes) === formatShape(shape),
      () => `${name} is ${formatShape(x.sizes)}, but must be ${formatShape(shape)}, H being the size of vector`,
    )
  faults.throwShape(op, [queryWeight.sizes, keyWeight.sizes, vector.sizes])
  const pairs: Tensor = add(
    unsqueeze(linear(wide(q), wide(queryWeight)), -2),
    unsqueeze(linear(wide(k), wide(keyWeight)), -3),
  )
  return asGiven(squeeze(matmul(tanh(pairs), unsqueeze(wide(vector), -1)), -1), q)
}

/** The tensor in the dtype in which sums are computed. */
const wide = (x: Tensor): Tensor => (x.dtype === 'bfloat16' ? castTo(x, 'float32') : x)

/** Converts a result to the inputs' dtype, except under autocast, which chooses its own. */
const asGiven = (x: Tensor, input: Tensor): Tensor => (input.dtype === 'bfloat16' ? castTo(x, 'bfloat16') : x)

/** Vectors divided by their length, or by `eps` if that is larger, as in `torch.nn.functional.normalize`. */
function directions(x: Tensor, eps: number): Tensor {
  return mul(x, rsqrt(clamp(sum(square(x), -1, { keepdim: true }), eps * eps)))
}

export interface CosineOptions {
  /** The factor of cosines: the inverse of the temperature. Default 1. */
  readonly scale?: number
  /** The shortest length that a vector is divided by. Default 1e-12. */
  readonly eps?: number
}

/**
 * Scores scale cos(q, k) (Graves et al., 2014): q [.., Tq, D], k [.., Tk, D] -> [.., Tq, Tk]. Throws ValueError unless
 * `eps` is positive.
 */
export function cosineScores(q: Tensor, k: Tensor, options: CosineOptions = {}): Tensor {
  const op = 'cosineScores'
  const { scale = 1, eps = 1e-12 } = checkOptions(op, options, { scale: true, eps: true })
  checkScalar(op, 'scale', scale)
  if (!(checkScalar(op, 'eps', eps) > 0)) throw new ValueError(op, `eps is ${shown(eps)}, but must be positive`)
  checkPair(op, q, k)
  checkSameFeatures(op, q, k)
  const cosines = products(directions(wide(q), eps), directions(wide(k), eps))
  return asGiven(mul(cosines, scale), q)
}

/** Scores [.., Tq, Tk] of q [.., Tq, Dq] with k [.., Tk, Dk]. */
export type ScoreFunction = (q: Tensor, k: Tensor) => Tensor

export interface ScoreOptions extends AttentionOptions {
  /**
   * The score. 'scaledDot' (default) is q . k / sqrt(D), or times `scale`; 'dot' is q . k; 'cosine' is the cosine of q
   * and k, times `scale`. A function of q [.., Tq, Dq] and k [.., Tk, Dk] must give [.., Tq, Tk], such as
   * `generalScores` and `additiveScores` with weights of your own.
   */
  readonly score?: 'scaledDot' | 'dot' | 'cosine' | ScoreFunction
}

/**
 * Returns [out, weights [.., Tq, Tk]], with the weights after dropout, which takes memory for all of them. Default
 * false.
 */
interface NeedWeights {
  readonly needWeights?: boolean
}

const scoreNames: OptionNames<ScoreOptions & NeedWeights> = {
  attnMask: true,
  isCausal: true,
  offset: true,
  window: true,
  lengths: true,
  alibi: true,
  scale: true,
  dropoutP: true,
  generator: true,
  score: true,
  needWeights: true,
}

function scoreOf(op: string, score: NonNullable<ScoreOptions['score']>, scale: number | undefined): ScoreFunction {
  if (scale !== undefined) checkScalar(op, 'scale', scale)
  switch (score) {
    case 'scaledDot':
      return (q, k) => {
        checkSameFeatures(op, q, k)
        return mul(products(q, k), scale ?? 1 / Math.sqrt(q.sizes.at(-1) || 1))
      }
    case 'cosine':
      return (q, k) => {
        checkSameFeatures(op, q, k)
        return cosineScores(q, k, { scale: scale ?? 1 })
      }
    default: {
      const own = score === 'dot' ? products : score
      if (typeof own !== 'function')
        throw new ValueError(
          op,
          `score is ${shown(score)}, but must be 'scaledDot', 'dot', 'cosine', or a function of q and k`,
        )
      if (scale !== undefined)
        throw new ValueError(
          op,
          `scale is ${scale}, but ${score === 'dot' ? "the score 'dot' has none" : 'the score is a function'}; multiply in it`,
        )
      return (q, k) => {
        if (score === 'dot') checkSameFeatures(op, q, k)
        return own(q, k)
      }
    }
  }
}

function checkOperands(op: string, q: Tensor, k: Tensor, v: Tensor): Shape {
  for (const [name, x] of Object.entries({ q, k, v })) {
    checkTensor(op, name, x)
    checkDType(op, name, x, anyFloating)
  }
  if (!agree(k, q) || !agree(v, q))
    throw new DTypeError(
      op,
      `q, k and v are ${q.dtype}, ${k.dtype} and ${v.dtype}, but must be of one dtype; convert them with .to()`,
    )
  const faults = new Faults()
  const shapes = `q ${formatShape(q.sizes)}, k ${formatShape(k.sizes)}, v ${formatShape(v.sizes)}`
  const n = q.ndim
  faults.check(n >= 2 && k.ndim === n && v.ndim === n, () => `q, k and v must be [.., T, D], but are ${shapes}`)
  faults.throwShape(op, [q.sizes, k.sizes, v.sizes])
  const [hq = 0, hk = 0] = n === 4 ? [q.sizes[1], k.sizes[1]] : []
  const grouped = n === 4 && hk > 0 && hq % hk === 0
  const before = (x: Tensor) => x.sizes.slice(0, -2).map((size, i) => (grouped && i === 1 ? 0 : size))
  faults.check(
    formatShape(before(q)) === formatShape(before(k)) &&
      formatShape(k.sizes.slice(0, -2)) === formatShape(v.sizes.slice(0, -2)),
    () => `q, k and v differ before [T, D]: ${shapes}`,
  )
  faults.check(k.sizes.at(-2) === v.sizes.at(-2), () => `k and v differ in time: ${shapes}`)
  faults.throwShape(op, [q.sizes, k.sizes, v.sizes])
  return [...q.sizes.slice(0, -1), k.sizes.at(-2) as number]
}

/**
 * softmax(score(q, k) + mask) v with a chosen score; 0 for a query without keys. q [.., Tq, Dq], k [.., Tk, Dk], v [..,
 * Tk, Dv] -> [.., Tq, Dv]. If `needWeights` is set, returns [that, weights [.., Tq, Tk]]. In four dimensions [B, H, T,
 * D] q may have a multiple of k's and v's heads. Masks, spans and dropout are those of `scaledDotProductAttention`,
 * which does the work in less memory if the score is a dot product and no weights are needed. Throws ValueError if the
 * score gives no tensor, and ShapeError if it gives another shape.
 */
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: ScoreOptions & { readonly needWeights: true },
): [out: Tensor, weights: Tensor]
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options?: ScoreOptions & { readonly needWeights?: false },
): Tensor
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: ScoreOptions & NeedWeights = {},
): Tensor | [out: Tensor, weights: Tensor] {
  const op = 'attention'
  const given = ownOptions(op, options, scoreNames)
  const { attnMask = null, isCausal = false, lengths = null, alibi = false, dropoutP = 0, generator } = given
  const { score = 'scaledDot', needWeights = false, scale } = given
  checkFlag(op, 'isCausal', isCausal)
  checkFlag(op, 'needWeights', needWeights)
  checkGenerator(op, generator)
  checkProbability(op, dropoutP, 'dropoutP')
  const shape = checkOperands(op, q, k, v)
  const scoring = scoreOf(op, score, scale)
  const span = spanOf(op, given, shape.at(-1) as number)
  const faults = new Faults()
  if (attnMask !== null) {
    checkTensor(op, 'attnMask', attnMask)
    checkMaskDType(
      op,
      attnMask,
      q.dtype,
      agree(attnMask, q) || (q.dtype === 'bfloat16' && attnMask.dtype === 'float32'),
    )
    faults.check(
      maskFits(attnMask.sizes, shape),
      () => `attnMask ${formatShape(attnMask.sizes)} does not broadcast to ${formatShape(shape)}`,
    )
  }
  if (lengths !== null) {
    checkTensor(op, 'lengths', lengths)
    checkDType(op, 'lengths', lengths, counts)
    faults.check(
      shape.length > 2 && formatShape(lengths.sizes) === `[${shape[0]}]`,
      () => `lengths is ${formatShape(lengths.sizes)}, but must be [B], one for each row of q, k and v [B, .., T, D]`,
    )
  }
  faults.throwShape(op, [q.sizes, k.sizes, v.sizes])
  const heads = q.ndim === 4 ? (q.sizes[1] as number) : 1
  if (!needWeights && (score === 'scaledDot' || score === 'dot') && (q.ndim === 3 || q.ndim === 4)) {
    checkSameFeatures(op, q, k)
    const { score: _, needWeights: __, ...fused } = given
    return scaledDotProductAttention(q, k, v, score === 'dot' ? { ...fused, scale: 1 } : fused)
  }
  const slopes = slopesOf(op, alibi, heads, q)
  const [keys, values] = q.ndim === 4 ? [forGroups(k, heads), forGroups(v, heads)] : [k, v]
  // A score function runs on the tensors as given, because its own weights have that dtype.
  const scores = typeof score === 'function' ? scoring(q, keys) : scoring(wide(q), wide(keys))
  if (!(scores instanceof Tensor)) throw new ValueError(op, `score gave ${kindOf(scores)}, but must give a tensor`)
  if (formatShape(scores.sizes) !== formatShape(shape))
    throw new ShapeError(
      op,
      `score gave ${formatShape(scores.sizes)}, but must give [.., Tq, Tk] = ${formatShape(shape)}`,
      [scores.sizes],
    )
  const [tq, tk] = [shape.at(-2) as number, shape.at(-1) as number]
  const bias = slopes && distanceBias(slopes, tq, tk, given.offset ?? 0)
  const biased: Tensor = bias ? add(wide(scores), q.ndim === 4 ? bias : squeeze(bias, 0)) : wide(scores)
  const weights = weigh(masked(biased, attnMask && wide(attnMask)), seenKeys(shape, lengths, span, q.device))
  const kept = dropoutP > 0 ? dropout(weights, dropoutP, { generator }) : weights
  const out = asGiven(matmul(kept, wide(values)), v)
  return needWeights ? [out, castTo(kept, out.dtype)] : out
}
