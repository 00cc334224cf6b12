/** Single-head attention with a chosen score, as in sequence-to-sequence models. */
import { checkTensor } from '../autograd/operator.js'
import { shown, ValueError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import { ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import {
  type AttentionOptions,
  additiveScores,
  attention,
  generalScores,
  type ScoreFunction,
  type ScoreOptions,
} from '../ops/attention/index.js'
import { uniform_, xavierUniform_ } from './init.js'
import {
  checkDropout,
  checkLayer,
  checkNumber,
  checkSizes,
  type LayerOptions,
  layerOptions,
  parameter,
} from './layer.js'
import { Module, type Parameter, settings } from './module.js'

export interface ScoreAttentionOptions extends LayerOptions {
  /**
   * The score. 'scaledDot' (default), 'dot' and 'cosine' have no weights. 'general' learns W of q W k (Luong et al.,
   * 2015). 'additive' learns v, Wq and Wk of v . tanh(Wq q + Wk k) (Bahdanau et al., 2015). A function of q and k must
   * give scores [.., Tq, Tk].
   */
  readonly score?: 'scaledDot' | 'dot' | 'cosine' | 'general' | 'additive' | ScoreFunction
  /** Features of keys. Default: as many as queries have. */
  readonly keyDim?: number
  /** The number of features of the additive score's sum. Default: as many as queries have. */
  readonly hiddenDim?: number
  /** The factor of the scores, for 'scaledDot' and 'cosine'. */
  readonly scale?: number
  /** Dropout of the attention weights, in training. Default 0. */
  readonly dropout?: number
}

export type ScoreAttentionInputs = Omit<AttentionOptions, 'dropoutP' | 'generator' | 'scale'>

const scores = ['scaledDot', 'dot', 'cosine', 'general', 'additive']

/** softmax(score(q, k)) v: q [.., Tq, queryDim], k [.., Tk, keyDim], v [.., Tk, Dv]. */
export class ScoreAttention extends Module {
  readonly score: NonNullable<ScoreAttentionOptions['score']>
  readonly scale: number | null
  readonly dropout: number
  /** The weight of 'general', [queryDim, keyDim]; else null. */
  readonly weight: Parameter | null = null
  /** The weights of 'additive', [hiddenDim, queryDim], [hiddenDim, keyDim] and [hiddenDim]; else null. */
  readonly queryWeight: Parameter | null = null
  readonly keyWeight: Parameter | null = null
  readonly vector: Parameter | null = null
  readonly generator: Generator | null

  constructor(queryDim: number, options: ScoreAttentionOptions = {}) {
    super()
    const op = 'ScoreAttention'
    const own = checkLayer(op, options, {
      ...layerOptions,
      score: true,
      keyDim: true,
      hiddenDim: true,
      scale: true,
      dropout: true,
    })
    const { score = 'scaledDot', keyDim = queryDim, hiddenDim = queryDim, scale, dropout = 0, ...layer } = own
    if (typeof score !== 'function' && !scores.includes(score))
      throw new ValueError(
        op,
        `score is ${shown(score)}, but must be one of ${scores.join(', ')}, or a function of q and k`,
      )
    checkSizes(op, { queryDim, keyDim, hiddenDim })
    if (scale !== undefined) {
      checkNumber(op, 'scale', scale)
      if (score !== 'scaledDot' && score !== 'cosine')
        throw new ValueError(op, `scale is ${scale}, but only the scores 'scaledDot' and 'cosine' have one`)
    }
    if (own.hiddenDim !== undefined && score !== 'additive')
      throw new ValueError(op, `hiddenDim is ${hiddenDim}, but only the score 'additive' has one`)
    const { generator } = layer
    this.score = score
    this.scale = scale ?? null
    this.dropout = checkDropout(op, 'dropout', dropout)
    this.generator = generator ?? null
    const matrix = (out: number, features: number) =>
      xavierUniform_(parameter(op, [out, features], layer), { generator })
    if (score === 'general') this.weight = matrix(queryDim, keyDim)
    if (score === 'additive') {
      this.queryWeight = matrix(hiddenDim, queryDim)
      this.keyWeight = matrix(hiddenDim, keyDim)
      const bound = 1 / Math.sqrt(hiddenDim)
      this.vector = uniform_(parameter(op, [hiddenDim], layer), -bound, bound, { generator })
    }
  }

  override extraRepr(): string {
    const { score, scale, dropout } = this
    return settings({ score: typeof score === 'function' ? 'function' : score, scale: scale ?? undefined, dropout })
  }

  /**
   * Returns [.., Tq, Dv], or with `needWeights` [that, weights [.., Tq, Tk]]. Masks are those of `attention`: true
   * takes part.
   */
  forward(
    q: Tensor,
    k: Tensor,
    v: Tensor | undefined,
    inputs: ScoreAttentionInputs & { readonly needWeights: true },
  ): [out: Tensor, weights: Tensor]
  forward(q: Tensor, k: Tensor, v?: Tensor, inputs?: ScoreAttentionInputs & { readonly needWeights?: false }): Tensor
  forward(
    q: Tensor,
    k: Tensor,
    v: Tensor = k,
    inputs: ScoreAttentionInputs & { readonly needWeights?: boolean } = {},
  ): Tensor | [out: Tensor, weights: Tensor] {
    const op = 'ScoreAttention.forward'
    const { needWeights = false, ...given } = ownOptions(op, inputs, {
      attnMask: true,
      isCausal: true,
      offset: true,
      window: true,
      lengths: true,
      alibi: true,
      needWeights: true,
    })
    for (const [name, x] of Object.entries({ q, k, v })) checkTensor(op, name, x)
    const options: ScoreOptions = {
      ...given,
      score: this.#scoring(),
      ...(this.scale === null ? {} : { scale: this.scale }),
      dropoutP: this.training ? this.dropout : 0,
      generator: this.generator ?? undefined,
    }
    return attention(q, k, v, { ...options, needWeights } as ScoreOptions & { readonly needWeights: true })
  }

  #scoring(): NonNullable<ScoreOptions['score']> {
    const { score, weight, queryWeight, keyWeight, vector } = this
    if (weight) return (q, k) => generalScores(q, k, weight)
    if (queryWeight && keyWeight && vector) return (q, k) => additiveScores(q, k, queryWeight, keyWeight, vector)
    return score as NonNullable<ScoreOptions['score']>
  }
}
