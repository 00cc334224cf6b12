/**
 * The parts of Llama, its relatives and Gemma: attention of grouped heads with rotary positions, and a gated network.
 */
import { ValueError } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import type { LayerOptions } from '../nn/layer.js'
import { Linear } from '../nn/linear.js'
import { forwardEach } from '../nn/linear-each.js'
import { Module } from '../nn/module.js'
import { attention } from '../ops/attention/index.js'
import type { Projected, RotaryTable } from '../ops/attention/turn.js'
import { div, mul, swiglu, tanh } from '../ops/elementwise/index.js'
import { matmul } from '../ops/matmul.js'
import { transpose, unflatten } from '../ops/shape/index.js'
import { type ActivationName, activationOf } from './activation.js'
import { attend, type Columns, headsOf, joinHeads, turnedAndSeen } from './columns.js'

export interface GroupedConfig {
  readonly width: number
  readonly heads: number
  /** Heads of keys and values, each for a group of query heads. */
  readonly keyHeads: number
  readonly headDim: number
  /** Biases of the projections to queries, keys and values, and of the output projection. */
  readonly inBias: boolean
  readonly outBias: boolean
  readonly attentionDropout: number
  /** The factor of products of queries and keys. */
  readonly scale: number
  /** c: scores become c tanh(score / c) (Gemma 2). null: they stay unchanged. */
  readonly softcap: number | null
}

export interface GroupedPlace {
  /** The layer's place in the cache. */
  readonly layer: number
  /** The number of keys that a query sees, including its own. Undefined: all earlier ones. */
  readonly window: number | undefined
  /** Makes a norm of each head's queries and keys. Null if there is none. */
  readonly headNorm: ((size: number) => Module & { forward(x: Tensor): Tensor }) | null
}

/** Causal attention of grouped heads (Ainslie et al., 2023): x [B, T, width] -> [B, T, width]. */
export class GroupedAttention extends Module {
  readonly qProj: Linear
  readonly kProj: Linear
  readonly vProj: Linear
  readonly oProj: Linear
  readonly qNorm: (Module & { forward(x: Tensor): Tensor }) | null
  readonly kNorm: (Module & { forward(x: Tensor): Tensor }) | null
  readonly #config: GroupedConfig
  readonly #place: GroupedPlace

  constructor(config: GroupedConfig, place: GroupedPlace, options: LayerOptions) {
    super()
    const { width, heads, keyHeads, headDim, inBias, outBias } = config
    if (heads % keyHeads !== 0)
      throw new ValueError('GroupedAttention', `${heads} query heads are not a multiple of ${keyHeads} key heads`)
    this.qProj = new Linear(width, heads * headDim, { ...options, bias: inBias })
    this.kProj = new Linear(width, keyHeads * headDim, { ...options, bias: inBias })
    this.vProj = new Linear(width, keyHeads * headDim, { ...options, bias: inBias })
    this.oProj = new Linear(heads * headDim, width, { ...options, bias: outBias })
    this.qNorm = place.headNorm?.(headDim) ?? null
    this.kNorm = place.headNorm?.(headDim) ?? null
    this.#config = config
    this.#place = place
  }

  forward(x: Tensor, columns: Columns, turn: RotaryTable): Tensor {
    const { headDim, attentionDropout, scale, softcap } = this.#config
    const { layer, window } = this.#place
    const [q, k, v] = forwardEach(x, [this.qProj, this.kProj, this.vProj]) as [Tensor, Tensor, Tensor]
    const byHeads = (y: Tensor, norm: typeof this.qNorm) =>
      norm === null ? headsOf(y, headDim) : transpose(norm.forward(unflatten(y, -1, [-1, headDim])), 1, 2)
    const options = { layer, scale, window, turn, dropoutP: this.training ? attentionDropout : 0 }
    const projected = { q: byHeads(q, this.qNorm), k: byHeads(k, this.kNorm), v: headsOf(v, headDim) }
    const seen =
      softcap === null ? attend(projected, columns, options) : this.#capped(projected, columns, { turn, cap: softcap })
    return this.oProj.forward(joinHeads(seen))
  }

  /** Attention whose scores a tanh keeps between -cap and cap, before masks. */
  #capped(projected: Projected, columns: Columns, { turn, cap }: { turn: RotaryTable; cap: number }): Tensor {
    const { attentionDropout, scale } = this.#config
    const { layer, window } = this.#place
    const { q, keys, values, attnMask, offset } = turnedAndSeen(projected, turn, columns, layer, window)
    const score = (a: Tensor, b: Tensor): Tensor =>
      mul(tanh(div(mul(matmul(a, transpose(b, -2, -1)), scale), cap)), cap)
    const dropoutP = this.training ? attentionDropout : 0
    return attention(q, keys, values, { score, attnMask, isCausal: true, offset, window, dropoutP })
  }
}

/** down(activation(gate(x)) * up(x)) (Shazeer, 2020): x [.., width] -> [.., width]. */
export class GatedMlp extends Module {
  readonly gateProj: Linear
  readonly upProj: Linear
  readonly downProj: Linear
  readonly #activation: ActivationName

  constructor(
    width: number,
    inner: number,
    activation: ActivationName,
    options: LayerOptions & { readonly bias: boolean },
  ) {
    super()
    this.gateProj = new Linear(width, inner, options)
    this.upProj = new Linear(width, inner, options)
    this.downProj = new Linear(inner, width, options)
    this.#activation = activation
  }

  forward(x: Tensor): Tensor {
    const [gate, up] = forwardEach(x, [this.gateProj, this.upProj]) as [Tensor, Tensor]
    const name = this.#activation
    const gated = name === 'silu' || name === 'swish' ? swiglu(gate, up) : mul(activationOf(name)(gate), up)
    return this.downProj.forward(gated)
  }
}
