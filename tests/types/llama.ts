/** A block of Llama as a user writes it, over tensors whose shapes are unknown: no cast, no type argument. */
import { add, arange, cat, linear, mul, nn, ones, scaledDotProductAttention, type Tensor } from '../../lib/index.js'

class RMSNorm extends nn.Module {
  readonly weight: nn.Parameter
  constructor(width: number) {
    super()
    this.weight = new nn.Parameter(ones([width]))
  }
  forward(x: Tensor): Tensor {
    return mul(x, x.square().mean(-1, { keepdim: true }).add(1e-6).rsqrt()).mul(this.weight)
  }
}

/** x [B, heads, T, D] rotated by the angle of its position: RoPE (Su et al., 2021), in halves as in Llama. */
function rotary(x: Tensor): Tensor {
  const [t, half] = [x.size(-2), x.size(-1) / 2]
  const turns = arange(0, half, 1, { dtype: 'float32' })
    .mul(-Math.log(10_000) / half)
    .exp()
  const angles = mul(arange(0, t, 1, { dtype: 'float32' }).unsqueeze(1), turns)
  const [first, second] = [x.narrow(-1, 0, half), x.narrow(-1, half, half)]
  const [c, s] = [angles.cos(), angles.sin()]
  return cat([first.mul(c).sub(second.mul(s)), second.mul(c).add(first.mul(s))], -1)
}

export class LlamaBlock extends nn.Module {
  readonly norms: readonly [RMSNorm, RMSNorm]
  readonly qkv: nn.Linear
  readonly out: nn.Linear
  readonly gate: nn.Linear
  readonly up: nn.Linear
  readonly down: nn.Linear
  readonly heads: number

  constructor(width: number, heads: number, hidden: number) {
    super()
    const make = (from: number, to: number) => new nn.Linear(from, to, { bias: false })
    this.norms = [new RMSNorm(width), new RMSNorm(width)]
    this.heads = heads
    ;[this.qkv, this.out] = [make(width, 3 * width), make(width, width)]
    ;[this.gate, this.up, this.down] = [make(width, hidden), make(width, hidden), make(hidden, width)]
  }

  forward(x: Tensor): Tensor {
    const [b, t, width] = [x.size(0), x.size(1), x.size(2)]
    const heads = linear(this.norms[0].forward(x), this.qkv.weight)
      .reshape([b, t, 3, this.heads, width / this.heads])
      .permute([2, 0, 3, 1, 4])
    const [q, k, v] = [heads.select(0, 0), heads.select(0, 1), heads.select(0, 2)]
    const mixed = scaledDotProductAttention(rotary(q), rotary(k), v, { isCausal: true })
    const attended = add(x, this.out.forward(mixed.transpose(1, 2).reshape([b, t, width])))
    const y = this.norms[1].forward(attended)
    return attended.add(this.down.forward(mul(nn.functional.silu(this.gate.forward(y)), this.up.forward(y))))
  }
}
