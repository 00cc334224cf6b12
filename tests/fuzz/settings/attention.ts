/** Settings of attention and of transformer blocks: masks, groups of heads, sizes of keys, layouts and norms. */
import * as f from '../../../lib/index.js'
import { type Choices, type Given, keywords, literal, type Setting } from './setting.js'
import { filled, like, weightsOf } from './weights.js'

const { nn } = f

/** A bool mask in which `closed` is the value of a key that takes no part. The first key of each query takes part. */
function bools(draw: Choices, shape: readonly number[], closed: 0 | 1): Given {
  const keys = shape.at(-1) as number
  const mask = draw.bits(shape, 0.5)
  return { ...mask, values: mask.values.map((value, i) => (i % keys === 0 ? 1 - closed : value)) }
}

/** A floating mask, which also closes some keys but the first. */
function numbers(draw: Choices, shape: readonly number[], wanted: boolean): Given {
  const keys = shape.at(-1) as number
  const mask = draw.floats(shape, 1, wanted)
  const isClosed = draw.flag()
  const values = mask.values.map((value, i) =>
    isClosed && i % keys > 0 && draw.chance(0.3) ? Number.NEGATIVE_INFINITY : value,
  )
  return { ...mask, values }
}

/** The function over heads. Lengths and windows, which PyTorch does not have, are masks there. */
function scaled(draw: Choices): Setting {
  const [b, hk, group] = [draw.integer(1, 3), draw.integer(1, 3), draw.pick([1, 1, 2, 3])]
  const [tq, tk, d, dv] = [draw.integer(1, 9), draw.integer(1, 9), draw.integer(1, 8), draw.integer(1, 8)]
  const h = hk * group
  const inputs = [draw.floats([b, h, tq, d]), draw.floats([b, hk, tk, d]), draw.floats([b, hk, tk, dv])]
  const scale = draw.chance(0.4) ? { scale: draw.pick([0, 0.3, 1, -0.5]) } : {}
  const how = draw.pick(['none', 'bool', 'float', 'causal', 'lengths', 'span'])
  const lead = draw.pick([[], [1], [h], [b, 1], [1, h], [b, h]])
  const setting = (python: string, options: f.AttentionOptions, mask: readonly Given[] = []): Setting => ({
    python: `F.scaled_dot_product_attention(x0, x1, x2${python}${keywords(scale)}${group > 1 ? ', enable_gqa=True' : ''})`,
    inputs: [...inputs, ...mask],
    call: ([q, k, v, attnMask]) => {
      const { lengths } = options as { lengths?: unknown }
      const own =
        lengths === undefined
          ? {}
          : { lengths: f.tensor(lengths as number[], { dtype: 'int32', device: (q as f.Tensor).device }) }
      return f.scaledDotProductAttention(q as f.Tensor, k as f.Tensor, v as f.Tensor, {
        ...options,
        ...scale,
        ...own,
        ...(attnMask ? { attnMask } : {}),
      })
    },
  })
  if (how === 'bool') {
    // A query may have no key at all: both libraries give 0.
    const mask = draw.flag() ? bools(draw, [...lead, tq, tk], 0) : draw.bits([...lead, tq, tk], 0.4)
    return setting(', attn_mask=x3', {}, [mask])
  }
  if (how === 'float') return setting(', attn_mask=x3', {}, [numbers(draw, [...lead, tq, tk], draw.flag())])
  if (how === 'causal') return setting(', is_causal=True', { isCausal: true })
  if (how === 'lengths') {
    const lengths = Array.from({ length: b }, () => draw.integer(0, tk))
    const mask = `(torch.arange(${tk}) < torch.tensor(${literal(lengths)})[:, None])[:, None, None]`
    return setting(`, attn_mask=${mask}`, { lengths: lengths as never })
  }
  if (how === 'span') {
    const [offset, window] = [draw.integer(0, 6), draw.flag() ? draw.integer(1, 6) : undefined]
    const first = window === undefined ? '' : `.triu(${offset - window + 1})`
    return setting(`, attn_mask=torch.ones(${tq}, ${tk}).tril(${offset})${first}.bool()`, {
      isCausal: true,
      offset,
      ...(window === undefined ? {} : { window }),
    })
  }
  return setting('', {})
}

/** Inputs of a setting in the order in which they are given, with their names in Python. */
class Inputs {
  readonly given: Given[] = []

  add(given: Given): string {
    this.given.push(given)
    return `x${this.given.length - 1}`
  }
}

const laterKeys = (tq: number, tk: number) => `torch.ones(${tq}, ${tk}).triu(1).bool()`

/** Masks of a layer: as our options, whose values are places among the inputs, and as Python's. */
function masks(draw: Choices, inputs: Inputs, sizes: { b: number | null; heads: number; tq: number; tk: number }) {
  const { b, heads, tq, tk } = sizes
  const places: { attn?: number; padding?: number } = {}
  const python: { attn?: string; padding?: string } = {}
  const isCausal = draw.chance(0.3)
  if (isCausal) python.attn = laterKeys(tq, tk)
  else if (draw.flag()) {
    const shape = draw.flag() ? [tq, tk] : [(b ?? 1) * heads, tq, tk]
    places.attn = inputs.given.length
    python.attn = inputs.add(draw.flag() ? bools(draw, shape, 1) : numbers(draw, shape, false))
  }
  if (draw.flag()) {
    const shape = b === null ? [tk] : [b, tk]
    places.padding = inputs.given.length
    python.padding = inputs.add(draw.flag() ? bools(draw, shape, 1) : numbers(draw, shape, false))
  }
  return { places, python, isCausal }
}

function multihead(draw: Choices): Setting {
  const heads = draw.integer(1, 3)
  const e = heads * draw.integer(1, 3)
  const batchFirst = draw.flag()
  const b = draw.chance(0.2) ? null : draw.integer(1, 3)
  const isSelf = draw.chance(0.3)
  const [tq, other] = [draw.integer(1, 6), draw.integer(1, 6)]
  const tk = isSelf ? tq : other
  const options = {
    batchFirst,
    ...(draw.flag() ? { bias: draw.flag() } : {}),
    ...(!isSelf && draw.flag() ? { kdim: draw.integer(1, 6) } : {}),
    ...(!isSelf && draw.flag() ? { vdim: draw.integer(1, 6) } : {}),
    ...(draw.chance(0.3) ? { addBiasKv: true } : {}),
    ...(draw.chance(0.3) ? { addZeroAttn: true } : {}),
  }
  const inputs = new Inputs()
  const shape = (t: number, n: number) => (b === null ? [t, n] : batchFirst ? [b, t, n] : [t, b, n])
  const q = inputs.add(draw.floats(shape(tq, e)))
  const k = isSelf ? q : inputs.add(draw.floats(shape(tk, options.kdim ?? e)))
  const v = isSelf ? q : inputs.add(draw.floats(shape(tk, options.vdim ?? e)))
  const sources = inputs.given.length
  const { places, python, isCausal } = masks(draw, inputs, { b, heads, tq, tk })
  const needWeights = draw.flag()
  const averageAttnWeights = draw.flag()
  const first = inputs.given.length
  const weights = weightsOf(draw, new nn.MultiheadAttention(e, heads, options), first)
  const told = [
    ...(python.attn === undefined ? [] : [`, attn_mask=${python.attn}`]),
    ...(python.padding === undefined ? [] : [`, key_padding_mask=${python.padding}`]),
    keywords({ needWeights, averageAttnWeights }),
  ].join('')
  return {
    python: `filled(nn.MultiheadAttention(${e}, ${heads}${keywords(options)}), ${weights.python})(${q}, ${k}, ${v}${told})`,
    inputs: [...inputs.given, ...weights.given],
    call: (x) => {
      const query = x[0] as f.Tensor
      const layer = filled(new nn.MultiheadAttention(e, heads, { ...options, ...like(query) }), x.slice(first))
      const [key, value] = sources === 1 ? [query, query] : [x[1] as f.Tensor, x[2] as f.Tensor]
      const call = {
        ...(places.attn === undefined ? {} : { attnMask: x[places.attn] as f.Tensor }),
        ...(places.padding === undefined ? {} : { keyPaddingMask: x[places.padding] as f.Tensor }),
        isCausal,
      }
      return needWeights
        ? layer.forward(query, key, value, { ...call, needWeights, averageAttnWeights })
        : layer.forward(query, key, value, call)
    },
  }
}

const activations = { relu: "'relu'", gelu: "'gelu'", silu: 'F.silu' } as const

/** A block of an encoder or of a decoder, with its masks. */
function block(draw: Choices): Setting {
  const isDecoder = draw.flag()
  const heads = draw.integer(1, 2)
  const e = heads * draw.integer(1, 3)
  const batchFirst = draw.flag()
  const b = draw.chance(0.15) ? null : draw.integer(1, 3)
  const [t, s] = [draw.integer(1, 5), draw.integer(1, 5)]
  const options = {
    dimFeedforward: draw.integer(1, 6),
    dropout: 0,
    batchFirst,
    ...(draw.flag() ? { normFirst: draw.flag() } : {}),
    ...(draw.flag() ? { bias: draw.flag() } : {}),
    ...(draw.flag() ? { layerNormEps: draw.pick([1e-5, 0.1]) } : {}),
  }
  const activation = draw.pick(['relu', 'gelu', 'silu'] as const)
  const own = { ...options, activation: activation === 'silu' ? (x: f.Tensor): f.Tensor => f.silu(x) : activation }
  const inputs = new Inputs()
  const shape = (size: number) => (b === null ? [size, e] : batchFirst ? [b, size, e] : [size, b, e])
  inputs.add(draw.floats(shape(t)))
  if (isDecoder) inputs.add(draw.floats(shape(s)))
  const self = masks(draw, inputs, { b, heads, tq: t, tk: t })
  const cross = isDecoder ? masks(draw, inputs, { b, heads, tq: t, tk: s }) : null
  const first = inputs.given.length
  const Layer = isDecoder ? nn.TransformerDecoderLayer : nn.TransformerEncoderLayer
  const weights = weightsOf(draw, new Layer(e, heads, own), first)
  const names = isDecoder ? ['tgt_mask', 'tgt_key_padding_mask'] : ['src_mask', 'src_key_padding_mask']
  const told = [
    [names[0], self.python.attn],
    [names[1], self.python.padding],
    ['memory_mask', cross?.python.attn],
    ['memory_key_padding_mask', cross?.python.padding],
  ].flatMap(([name, mask]) => (mask === undefined ? [] : [`, ${name}=${mask}`]))
  const python = `nn.${Layer.name}(${e}, ${heads}, activation=${activations[activation]}${keywords(options)})`
  return {
    python: `filled(${python}, ${weights.python})(x0${isDecoder ? ', x1' : ''}${told.join('')})`,
    inputs: [...inputs.given, ...weights.given],
    call: (x) => {
      const main = x[0] as f.Tensor
      const at = (place: number | undefined) => (place === undefined ? null : (x[place] as f.Tensor))
      const layer = filled(new Layer(e, heads, { ...own, ...like(main) }), x.slice(first))
      if (layer instanceof nn.TransformerEncoderLayer)
        return layer.forward(main, {
          srcMask: at(self.places.attn),
          srcKeyPaddingMask: at(self.places.padding),
          isCausal: self.isCausal,
        })
      return layer.forward(main, x[1] as f.Tensor, {
        tgtMask: at(self.places.attn),
        tgtKeyPaddingMask: at(self.places.padding),
        tgtIsCausal: self.isCausal,
        memoryMask: at(cross?.places.attn),
        memoryKeyPaddingMask: at(cross?.places.padding),
        memoryIsCausal: cross?.isCausal ?? false,
      })
    },
  }
}

export const attention = (draw: Choices): Setting => draw.pick([scaled, multihead, block])(draw)
