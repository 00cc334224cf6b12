/** Operators that are called on their own. Each is given by its inputs, and by what is made of them. */
import {
  adaptiveMaxPool2d,
  einsum,
  nllLoss,
  rotaryEmbedding,
  scaledDotProductAttention,
  scatterAdd,
  swiglu,
  type Tensor,
  topk,
} from 'firesteel'

import type { Maker } from './maker.js'
import { type Builder, flag, operator, size, slowAttention, type Workload } from './work.js'

interface Call {
  /** The inputs that require a gradient, followed by parameters. */
  readonly leaves: readonly Tensor[]
  readonly forward: () => Tensor
  /** The number of terms of the longest sum. */
  readonly reduces: number
  /** The operations of one forward pass on the reference device. */
  readonly operations: number
}

type Sizes = (name: string, fallback?: number) => number
type Floats = (...shape: number[]) => Tensor

/** A builder of a call. `floats` makes inputs, which require gradients unless the workload says `"backward": false`. */
const call =
  (make: (sizes: Sizes, floats: Floats, maker: Maker, workload: Workload) => Call): Builder =>
  (workload, maker) => {
    const backward = flag(workload, 'backward', true)
    const sizes: Sizes = (name, fallback) => size(workload, name, fallback)
    const floats: Floats = (...shape) => maker.floats(shape, 1, backward)
    const { leaves, forward, reduces, operations } = make(sizes, floats, maker, workload)
    for (const leaf of leaves) leaf.requiresGrad = backward
    return operator(forward, leaves, { reduces, operations: operations * (backward ? 3 : 1) })
  }

/** Attention of queries [b, heads, t, d], with the workload's other options. */
const attentionOf = call((n, floats, maker, w) => {
  const [b, heads, t, d] = [n('b'), n('heads'), n('t'), n('d')]
  const [queries, window] = [n('queries', t), w['window'] === undefined ? undefined : n('window')]
  const q = floats(b, heads, queries, d)
  const [k, v] = [floats(b, heads, t, d), floats(b, heads, t, d)]
  const lengths = flag(w, 'lengths', false) ? maker.lengths(t, b) : null
  const isCausal = flag(w, 'causal', false)
  const options = { isCausal, window, lengths, ...(isCausal && { offset: t - queries }) }
  return {
    leaves: [q, k, v],
    forward: () => scaledDotProductAttention(q, k, v, options),
    reduces: t + d,
    operations: slowAttention * 5 * b * heads * queries * t * d,
  }
})

export const breadth: { readonly [kind: string]: Builder } = {
  attention_of: attentionOf,
  einsum_attention: call((n, floats) => {
    const [q, k, v] = [0, 1, 2].map(() => floats(n('b'), n('t'), n('heads'), n('d'))) as [Tensor, Tensor, Tensor]
    const forward = () => {
      const scores = einsum('bihd,bjhd->bhij', q, k).mul(n('d') ** -0.5)
      return einsum('bhij,bjhd->bihd', scores.softmax(-1), v)
    }
    return { leaves: [q, k, v], forward, reduces: n('t') + n('d'), operations: 4 * q.numel * n('t') }
  }),
  topk: call((n, floats) => {
    const x = floats(n('rows'), n('cols'))
    return { leaves: [x], forward: () => topk(x, n('k'))[0], reduces: 1, operations: 10 * x.numel }
  }),
  scatter_add: call((n, floats, maker) => {
    const x = floats(n('rows'), n('cols'))
    const source = floats(n('count'), n('cols'))
    const index = maker.ints(n('rows'), [n('count'), n('cols')])
    return {
      leaves: [x, source],
      forward: () => scatterAdd(x, 0, index, source),
      reduces: 64,
      operations: 4 * source.numel,
    }
  }),
  nll: call((n, floats, maker) => {
    const x = floats(n('rows'), n('cols'))
    const y = maker.ints(n('cols'), [n('rows')])
    return { leaves: [x], forward: () => nllLoss(x, y), reduces: n('rows'), operations: x.numel }
  }),
  swiglu: call((n, floats) => {
    const [gate, up] = [floats(n('rows'), n('cols')), floats(n('rows'), n('cols'))]
    return { leaves: [gate, up], forward: () => swiglu(gate, up), reduces: 1, operations: 20 * gate.numel }
  }),
  rotary: call((n, floats) => {
    const x = floats(n('b'), n('heads'), n('t'), n('d'))
    return { leaves: [x], forward: () => rotaryEmbedding(x), reduces: 2, operations: 20 * x.numel }
  }),
  adaptive_max_pool: call((n, floats) => {
    const x = floats(n('n'), n('c'), n('h'), n('w'))
    const forward = () => adaptiveMaxPool2d(x, n('out'))
    return { leaves: [x], forward, reduces: 1, operations: 10 * x.numel }
  }),
}
