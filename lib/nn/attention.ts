/** The multi-head attention layer. */
import { checkTensor } from '../autograd/operator.js'
import { Faults, formatShape, namedAs, ValueError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import { type OptionNames, ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { type AttentionOptions, attention, scaledDotProductAttention } from '../ops/attention/index.js'
import { spanOf } from '../ops/attention/weights.js'
import { castTo } from '../ops/convert.js'
import { zeros } from '../ops/creation.js'
import { linear } from '../ops/matmul.js'
import { mean } from '../ops/reduce/index.js'
import { cat, expand, narrow, reshape, split, squeeze, transpose, unsqueeze } from '../ops/shape/index.js'
import { Adaptable, type Adaptation } from './adapter.js'
import { xavierNormal_, xavierUniform_, zeros_ } from './init.js'
import {
  checkDropout,
  checkFlags,
  checkLayer,
  checkSizes,
  type LayerOptions,
  layerOptions,
  parameter,
} from './layer.js'
import { Linear } from './linear.js'
import { combined, withOpenKeys } from './masks.js'
import { type Parameter, settings } from './module.js'

export interface MultiheadAttentionOptions extends LayerOptions {
  readonly bias?: boolean
  /** Dropout of the attention weights, in training. Default 0. */
  readonly dropout?: number
  /**
   * Features of keys, and of values. Default embedDim. If either differs, queries, keys and values have separate
   * weights.
   */
  readonly kdim?: number | undefined
  readonly vdim?: number | undefined
  /** Adds a learned key and value after all others, seen by all queries. Default false. */
  readonly addBiasKv?: boolean
  /** Adds a key and value of zeros after all others, seen by all queries. Default false. */
  readonly addZeroAttn?: boolean
  /** Whether sequences are [B, T, E] rather than [T, B, E]. Default TRUE; PyTorch's default is false. */
  readonly batchFirst?: boolean
}

/**
 * Masks as PyTorch's layer takes them. In a bool mask TRUE means MUST NOT ATTEND, contrary to
 * `scaledDotProductAttention`, where true takes part; PyTorch has both meanings too. A floating mask is added to the
 * scores. A query with no key left gives zeros before the output projection, where PyTorch gives NaN.
 */
export interface AttentionInputs {
  /**
   * [Tq, Tk], [B * heads, Tq, Tk], or four dimensions that broadcast to [B, heads, Tq, Tk]. True means must not attend.
   */
  readonly attnMask?: Tensor | null
  /** [B, Tk]. True marks a key to ignore, such as padding. */
  readonly keyPaddingMask?: Tensor | null
  /** Lets query i attend only to keys up to i, in addition to the masks. Default false. */
  readonly isCausal?: boolean
  /** With isCausal, the position of the first query among the keys, as in `scaledDotProductAttention`. Default 0. */
  readonly offset?: number | undefined
  /** With isCausal, the most keys up to its own position that a query sees. At least 1; default: all. */
  readonly window?: number | undefined
  /**
   * int32 [B]: the number of real keys in each batch row, instead of a `keyPaddingMask` that hides those at the end.
   */
  readonly lengths?: Tensor | null
}

/** Inputs of attention that also say whether to return the weights. */
export interface AttentionWeights {
  /**
   * Returns [result, weights] instead of the result. The weights are those after dropout, as in PyTorch. Default FALSE;
   * PyTorch's default is true.
   */
  readonly needWeights?: boolean
  /** Returns the mean of the heads' weights, [B, Tq, Tk], rather than each head's, [B, heads, Tq, Tk]. Default true. */
  readonly averageAttnWeights?: boolean
}

const inputNames: OptionNames<AttentionInputs & AttentionWeights> = {
  attnMask: true,
  keyPaddingMask: true,
  isCausal: true,
  offset: true,
  window: true,
  lengths: true,
  needWeights: true,
  averageAttnWeights: true,
}

const op = 'MultiheadAttention'

/**
 * Multi-head attention (Vaswani et al., 2017) over [B, T, embedDim], or one sequence [T, embedDim]. State names and
 * masks are PyTorch's; the defaults of `batchFirst` and `needWeights` are not. Its adapters drive the projection of
 * queries, keys and values, a linear layer from E to 3E features, as in PEFT; `outProj` has its own. If keys or values
 * have other sizes, there is no such projection, and there are no adapters for it.
 */
export class MultiheadAttention extends Adaptable {
  readonly embedDim: number
  readonly numHeads: number
  readonly kdim: number
  readonly vdim: number
  readonly dropout: number
  readonly batchFirst: boolean
  readonly addZeroAttn: boolean
  /**
   * The weights of queries, keys and values in one matrix [3 embedDim, embedDim]; null if keys or values have other
   * sizes.
   */
  readonly inProjWeight: Parameter | null
  /**
   * The separate weights, [embedDim, embedDim], [embedDim, kdim] and [embedDim, vdim]; null if there is `inProjWeight`.
   */
  readonly qProjWeight: Parameter | null
  readonly kProjWeight: Parameter | null
  readonly vProjWeight: Parameter | null
  readonly inProjBias: Parameter | null
  /** The learned key and value of `addBiasKv`, [1, 1, embedDim] each; else null. */
  readonly biasK: Parameter | null
  readonly biasV: Parameter | null
  readonly outProj: Linear
  /** The generator that dropout draws from; null for this thread's default one. */
  readonly generator: Generator | null

  constructor(embedDim: number, numHeads: number, options: MultiheadAttentionOptions = {}) {
    super()
    const own = checkLayer(op, options, {
      ...layerOptions,
      bias: true,
      dropout: true,
      kdim: true,
      vdim: true,
      addBiasKv: true,
      addZeroAttn: true,
      batchFirst: true,
    })
    const { bias, addBiasKv = false, addZeroAttn = false, kdim = embedDim, vdim = embedDim } = own
    const { dropout = 0, batchFirst = true, device, dtype, generator } = own
    checkFlags(op, { bias, batchFirst, addBiasKv, addZeroAttn })
    checkSizes(op, { embedDim, numHeads, kdim, vdim })
    if (embedDim % numHeads !== 0)
      throw new ValueError(op, `embedDim ${embedDim} does not divide into ${numHeads} heads`)
    this.embedDim = embedDim
    this.numHeads = numHeads
    this.kdim = kdim
    this.vdim = vdim
    this.batchFirst = batchFirst
    this.addZeroAttn = addZeroAttn
    this.generator = generator ?? null
    this.dropout = checkDropout(op, 'dropout', dropout)
    const layer = {
      ...(device === undefined ? {} : { device }),
      ...(dtype === undefined ? {} : { dtype }),
      ...(generator === undefined ? {} : { generator }),
    }
    const weight = (out: number, features: number) =>
      xavierUniform_(parameter(op, [out, features], layer), { generator })
    const one = kdim === embedDim && vdim === embedDim
    this.inProjWeight = one ? weight(3 * embedDim, embedDim) : null
    this.qProjWeight = one ? null : weight(embedDim, embedDim)
    this.kProjWeight = one ? null : weight(embedDim, kdim)
    this.vProjWeight = one ? null : weight(embedDim, vdim)
    this.inProjBias = bias === false ? null : parameter(op, [3 * embedDim], layer)
    const more = () => xavierNormal_(parameter(op, [1, 1, embedDim], layer), { generator })
    this.biasK = addBiasKv ? more() : null
    this.biasV = addBiasKv ? more() : null
    this.outProj = namedAs(op, () => new Linear(embedDim, embedDim, bias === undefined ? layer : { ...layer, bias }))
    if (this.outProj.bias) zeros_(this.outProj.bias)
  }

  override get canAdapt(): boolean {
    return this.inProjWeight !== null
  }

  override get adaptation(): Adaptation {
    const { embedDim } = this
    const weight = this.#whole()
    return { by: 'linear', weight, inFeatures: embedDim, outFeatures: 3 * embedDim, along: [this.outProj] }
  }

  /** The bias of the projection of queries, keys and values: [3E], or null. */
  override get bias(): Parameter | null {
    return this.inProjBias
  }

  /** Projects to queries, keys and values without their bias and adapters: [.., E] -> [.., 3E]. */
  override product(x: Tensor): Tensor {
    return linear(x, this.#whole())
  }

  /** The weight of queries, keys and values [3E, E]. */
  override dense(): Tensor {
    return this.#whole()
  }

  protected override plain(x: Tensor): Tensor {
    return linear(x, this.#whole(), this.inProjBias)
  }

  override extraRepr(): string {
    const { embedDim, numHeads, dropout, batchFirst, inProjBias, kdim, vdim, addZeroAttn, biasK } = this
    const sizes = this.inProjWeight ? {} : { kdim, vdim }
    const more = { ...(biasK ? { addBiasKv: true } : {}), ...(addZeroAttn ? { addZeroAttn } : {}) }
    return settings({ embedDim, numHeads, ...sizes, bias: inProjBias !== null, dropout, ...more, batchFirst })
  }

  /**
   * query [B, Tq, E], key [B, Tk, kdim] (default: the query) and value [B, Tk, vdim] (default: the key) -> [B, Tq, E],
   * or with `needWeights` [that, weights]. If `batchFirst` is false, B and T change places. If the query lacks B, all
   * inputs must lack it. Throws ShapeError and DTypeError that name all misfits.
   */
  forward(
    query: Tensor,
    key: Tensor | undefined,
    value: Tensor | undefined,
    inputs: AttentionInputs & AttentionWeights & { readonly needWeights: true },
  ): [result: Tensor, weights: Tensor]
  forward(
    query: Tensor,
    key?: Tensor,
    value?: Tensor,
    inputs?: AttentionInputs & Omit<AttentionWeights, 'needWeights'> & { readonly needWeights?: false },
  ): Tensor
  forward(
    query: Tensor,
    key: Tensor = query,
    value: Tensor = key,
    inputs: AttentionInputs & AttentionWeights = {},
  ): Tensor | [result: Tensor, weights: Tensor] {
    const given = ownOptions(`${op}.forward`, inputs, inputNames)
    const { needWeights = false, averageAttnWeights = true, isCausal = false } = given
    checkFlags(`${op}.forward`, { needWeights, averageAttnWeights, isCausal })
    this.#check(query, key, value)
    const single = query.ndim === 2
    const b = this.batchFirst ? 0 : 1
    const lifted = new Map(
      [query, key, value].map((x) => [x, single ? unsqueeze(x, 0) : b === 0 ? x : transpose(x, 0, 1)]),
    )
    const [q, k, v] = [query, key, value].map((x) => lifted.get(x)) as [Tensor, Tensor, Tensor]
    const { keyPaddingMask = null } = given
    const padding = single && keyPaddingMask?.ndim === 1 ? unsqueeze(keyPaddingMask, 0) : keyPaddingMask
    const [mixed, weights] = this.#attend(q, k, v, { ...given, keyPaddingMask: padding }, needWeights)
    const out = single ? squeeze(mixed, 0) : b === 0 ? mixed : transpose(mixed, 0, 1)
    if (weights === null) return out
    const shown = averageAttnWeights ? mean(weights, 1) : weights
    return [out, single ? squeeze(shown, 0) : shown]
  }

  /** Attention over inputs whose batch comes first. */
  #attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    inputs: AttentionInputs,
    needWeights: boolean,
  ): [mixed: Tensor, weights: Tensor | null] {
    const { isCausal = false, offset, window, lengths = null } = inputs
    const { embedDim: e, numHeads } = this
    const [q, k, v] =
      query === key && key === value && this.inProjWeight !== null
        ? split(this.adapt(query), [e, e, e], -1)
        : this.#apart(query, key, value)
    const [b = 0, tq = 0] = q.sizes
    const tk = k.sizes[1] as number
    const mask = combined(op, inputs, [b, numHeads, tq, tk])
    const extra = (this.biasK ? 1 : 0) + (this.addZeroAttn ? 1 : 0)
    const shape = [b, numHeads, tq, tk] as const
    const whom: AttentionOptions =
      extra === 0
        ? { attnMask: mask, isCausal, offset, window, lengths }
        : { attnMask: withOpenKeys(mask, extra, shape, lengths, spanOf(op, inputs, tk), q) }
    const options: AttentionOptions = {
      ...whom,
      dropoutP: this.training ? this.dropout : 0,
      generator: this.generator ?? undefined,
    }
    const heads = (x: Tensor) =>
      transpose(reshape(x, [x.sizes[0] as number, x.sizes[1] as number, numHeads, e / numHeads]), 1, 2)
    const [queries, keys, values] = [heads(q), heads(this.#longer(k, this.biasK)), heads(this.#longer(v, this.biasV))]
    const [mixed, weights] = needWeights
      ? attention(queries, keys, values, { ...options, needWeights })
      : [scaledDotProductAttention(queries, keys, values, options), null]
    return [this.outProj.forward(reshape(transpose(mixed, 1, 2), [b, tq, e])), weights]
  }

  #whole(): Parameter {
    if (this.inProjWeight === null)
      throw new ValueError(
        op,
        `with kdim ${this.kdim}, vdim ${this.vdim} and embedDim ${this.embedDim} the three projections have different sizes, and ` +
          'cannot be adapted as one; adapt its out_proj',
      )
    return this.inProjWeight
  }

  /** Keys or values [B, Tk, E] followed by those that the layer adds. */
  #longer(x: Tensor, learned: Parameter | null): Tensor {
    if (learned === null && !this.addZeroAttn) return x
    const shape = [x.sizes[0] as number, 1, this.embedDim]
    const parts = [x]
    if (learned) parts.push(castTo(expand(learned, shape), x.dtype) as Tensor)
    if (this.addZeroAttn) parts.push(zeros(shape, { dtype: x.dtype as 'float32', device: x.device }))
    return cat(parts, 1)
  }

  #check(query: Tensor, key: Tensor, value: Tensor): void {
    const { embedDim, kdim, vdim, batchFirst } = this
    const faults = new Faults()
    const inputs = { query: [query, embedDim], key: [key, kdim], value: [value, vdim] } as const
    for (const [name, [x]] of Object.entries(inputs)) checkTensor(op, name, x)
    const single = query.ndim === 2
    const layout = single ? '[T, E]' : batchFirst ? '[B, T, E]' : '[T, B, E]'
    for (const [name, [x, features]] of Object.entries(inputs))
      faults.check(
        x.ndim === (single ? 2 : 3) && x.sizes.at(-1) === features,
        () => `${name} is ${formatShape(x.sizes)}, but must be ${layout} with E = ${features}`,
      )
    const [b, t] = single ? [-1, 0] : batchFirst ? [0, 1] : [1, 0]
    faults.check(
      single || (key.sizes[b] === query.sizes[b] && value.sizes[b] === query.sizes[b]),
      () => `batch sizes differ: query has ${query.sizes[b]}, key ${key.sizes[b]}, value ${value.sizes[b]}`,
    )
    faults.check(
      key.sizes[t] === value.sizes[t],
      () => `key has ${key.sizes[t]} positions, but value has ${value.sizes[t]}`,
    )
    faults.throwShape(
      op,
      [query, key, value].map(({ shape }) => shape),
    )
  }

  #apart(query: Tensor, key: Tensor, value: Tensor): [Tensor, Tensor, Tensor] {
    const { adapted } = this.adapters
    const { embedDim: e, inProjWeight } = this
    const separate = [this.qProjWeight, this.kProjWeight, this.vProjWeight]
    /**
     * Each input goes through the whole projection, because only an adapter knows which of the three parts it adds to.
     */
    const whole = new Map<Tensor, Tensor>()
    const project = (x: Tensor, part: number) => {
      if (adapted === null) {
        const bias = this.inProjBias && narrow(this.inProjBias, 0, part * e, e)
        return linear(x, inProjWeight ? narrow(inProjWeight, 0, part * e, e) : (separate[part] as Tensor), bias)
      }
      const all = whole.get(x) ?? adapted.forward(x)
      whole.set(x, all)
      return narrow(all, -1, part * e, e)
    }
    return [project(query, 0), project(key, 1), project(value, 2)]
  }
}
