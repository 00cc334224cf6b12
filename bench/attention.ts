import { nn } from 'firesteel'
import { type Builder, flag, operator, size, slowAttention } from './work.js'

/** Attention of q, k, v [b, heads, t, d]. */
export const attentionWork: Builder = (w, make) => {
  const [b, heads, t, d] = [size(w, 'b'), size(w, 'heads'), size(w, 't'), size(w, 'd')]
  const backward = flag(w, 'backward', true)
  const isCausal = flag(w, 'causal', false)
  const input = () => make.floats([b, heads, t, d], 1, backward)
  const [q, k, v] = [input(), input(), input()]
  return operator(() => nn.functional.scaledDotProductAttention(q, k, v, { isCausal }), [q, k, v], {
    reduces: t + d,
    operations: (slowAttention * (backward ? 14 : 4) * b * heads * t * t * d) / (isCausal ? 2 : 1),
  })
}
