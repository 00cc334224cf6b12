/** Settings of functions that pick, write, reduce and combine elements. */
import * as f from '../../../lib/index.js'
import { named, snake } from './images.js'
import { type Choices, type Given, keywords, literal, type Setting } from './setting.js'

/** Gathers and scatters. Indices repeat and may be negative where PyTorch takes negative ones. */
export function gathered(draw: Choices): Setting {
  const shape = draw.shape(1, 4)
  const rank = shape.length
  const dim = draw.dim(rank)
  const at = dim < 0 ? dim + rank : dim
  const size = shape[at] as number
  const small = shape.map((n, d) => (d === at ? draw.integer(1, 6) : draw.integer(1, n)))
  const lone = draw.integer(1, 6)
  const slices = shape.map((n, d) => (d === at ? lone : n))
  const count = shape.reduce((a, b) => a * b, 1)
  const x = draw.floats(shape)
  const index = draw.integers(small, 0, size - 1)
  const line = draw.integers([lone], 0, size - 1)
  // PyTorch has no gradient of a source that is larger than the index.
  const isLarger = draw.chance(0.3)
  const src = draw.floats(isLarger ? small.map((n) => n + draw.integer(0, 2)) : small, 1, !isLarger)
  const cut = draw.floats(slices)
  const setting = (python: string, inputs: readonly Given[], call: (...x: f.Tensor[]) => f.Tensor): Setting => ({
    python,
    inputs,
    call: (x) => call(...x),
  })
  const alpha = draw.pick([1, -2, 0.5])
  const reduce = draw.pick(['sum', 'prod', 'mean', 'amax', 'amin'] as const)
  const includeSelf = draw.flag()
  const [t, i] = ['x0', 'x1.long()']
  return draw.pick([
    () => setting(`torch.gather(${t}, ${dim}, ${i})`, [x, index], (x, i) => f.gather(x, dim, i)),
    () =>
      setting(`torch.scatter_add(${t}, ${dim}, ${i}, x2)`, [x, index, src], (x, i, s) => f.scatterAdd(x, dim, i, s)),
    () =>
      setting(
        `torch.scatter_reduce(${t}, ${dim}, ${i}, x2, '${reduce}', include_self=${literal(includeSelf)})`,
        [x, index, draw.floats(small)],
        (x, i, s) => f.scatterReduce(x, dim, i, s, reduce, { includeSelf }),
      ),
    () => setting(`torch.scatter(${t}, ${dim}, ${i}, ${alpha})`, [x, index], (x, i) => f.scatter(x, dim, i, alpha)),
    () =>
      setting(
        `torch.scatter(${t}.detach(), ${dim}, ${i}, ${alpha}, reduce='multiply')`,
        [{ ...x, wanted: false }, index],
        (x, i) => f.scatter(x, dim, i, alpha, { reduce: 'multiply' }),
      ),
    () => setting(`torch.index_select(${t}, ${dim}, ${i})`, [x, line], (x, i) => f.indexSelect(x, dim, i)),
    () =>
      setting(`torch.index_add(${t}, ${dim}, ${i}, x2, alpha=${alpha})`, [x, line, cut], (x, i, s) =>
        f.indexAdd(x, dim, i, s, { alpha }),
      ),
    () => setting(`torch.index_fill(${t}, ${dim}, ${i}, ${alpha})`, [x, line], (x, i) => f.indexFill(x, dim, i, alpha)),
    () =>
      setting(`torch.index_copy(${t}, ${dim}, torch.arange(${size}), x1)`, [x, draw.floats(shape)], (x, s) =>
        f.indexCopy(x, dim, f.arange(0, size, 1, { dtype: 'int32', device: x.device }), s),
      ),
    () =>
      setting(
        `torch.take_along_dim(${t}, ${i}, ${dim})`,
        [
          x,
          draw.integers(
            slices.map((n, d) => (d !== at && draw.chance(0.3) ? 1 : n)),
            0,
            size - 1,
          ),
        ],
        (x, i) => f.takeAlongDim(x, i, dim),
      ),
    () =>
      setting(`torch.take(${t}, ${i})`, [x, draw.integers(draw.shape(0, 3), -count, count - 1)], (x, i) =>
        f.take(x, i),
      ),
    () =>
      setting(
        `torch.masked_fill(${t}, x1, ${alpha})`,
        [x, draw.bits(shape.map((n) => (draw.chance(0.3) ? 1 : n)))],
        (x, m) => f.maskedFill(x, m, alpha),
      ),
    () =>
      setting(`torch.masked_select(${t}, x1)`, [x, draw.bits(shape.slice(draw.integer(0, rank)))], (x, m) =>
        f.maskedSelect(x, m),
      ),
    () =>
      setting(
        `torch.masked_scatter(${t}, x1, x2)`,
        [x, draw.bits(shape.map((n) => (draw.chance(0.3) ? 1 : n))), draw.floats([count])],
        (x, m, s) => f.maskedScatter(x, m, s),
      ),
  ])()
}

/** A view of x that is transposed, cut with steps, expanded or flipped, in both languages. */
function viewOf(draw: Choices, shape: readonly number[]): [string, (x: f.Tensor) => f.Tensor, number[]] {
  let python = 'x0'
  let view = (x: f.Tensor) => x
  let sizes = [...shape]
  for (let more = draw.integer(0, 3); more > 0; more--) {
    const before = view
    const rank = sizes.length
    const how = draw.integer(0, 4)
    if (how === 0 && rank > 0) {
      const order = sizes.map((_, i) => i).sort(() => draw.random() - 0.5)
      python = `${python}.permute(${literal(order)})`
      view = (x) => f.permute(before(x), order)
      sizes = order.map((i) => sizes[i] as number)
    } else if (how === 1 && rank > 0) {
      const at = draw.integer(0, rank - 1)
      const size = sizes[at] as number
      const [first, step] = [draw.integer(0, size - 1), draw.integer(1, 3)]
      python = `${python}[${':, '.repeat(at)}${first}::${step}]`
      view = (x) => f.index(before(x), ...new Array<':'>(at).fill(':'), `${first}::${step}`)
      sizes = sizes.map((n, i) => (i === at ? Math.ceil((n - first) / step) : n))
    } else if (how === 2 && rank < 4) {
      const more = draw.integer(1, 4)
      const target = [more, ...sizes]
      python = `${python}.expand(${literal(target)})`
      view = (x) => f.expand(before(x), target)
      sizes = target
    } else if (how === 3 && rank > 0) {
      const at = draw.integer(0, rank - 1)
      python = `${python}.flip(${at})`
      view = (x) => f.flip(before(x), [at])
    } else if (how === 4 && rank > 0) {
      const at = draw.integer(0, rank - 1)
      const size = sizes[at] as number
      const pick = draw.integer(-size, size - 1)
      python = `${python}.select(${at}, ${pick})`
      view = (x) => f.index(before(x), ...new Array<':'>(at).fill(':'), pick)
      sizes = sizes.filter((_, i) => i !== at)
    }
  }
  return [python, view, sizes]
}

const whole = [
  'sum',
  'mean',
  'nansum',
  'nanmean',
  'amax',
  'amin',
  'logsumexp',
  'countNonzero',
  'any',
  'all',
  'variance',
  'std',
  'norm',
] as const
const along = [
  'argmax',
  'argmin',
  'max',
  'min',
  'prod',
  'cumsum',
  'cumprod',
  'cummax',
  'cummin',
  'logcumsumexp',
  'median',
  'nanmedian',
  'softmax',
  'logSoftmax',
  'sort',
  'kthvalue',
  'topk',
  'quantile',
  'mode',
] as const

/** Reductions of views. */
export function reduction(draw: Choices): Setting {
  const shape = draw.shape(1, 4)
  const [turnedView, turned, sizes] = viewOf(draw, shape)
  const rank = sizes.length
  const keepdim = draw.flag() ? { keepdim: draw.flag() } : {}
  const x = draw.distinct(shape)
  const name: string = draw.flag() ? draw.pick(whole) : draw.pick(along)
  const dim = draw.dim(rank)
  // PyTorch reads outside of an expanded tensor to find its median.
  const view = /median|kthvalue/.test(name) ? `${turnedView}.contiguous()` : turnedView
  const setting = (python: string, call: (x: f.Tensor) => f.Tensor | readonly f.Tensor[]): Setting => ({
    python,
    inputs: [x],
    call: ([x]) => call(turned(x as f.Tensor)),
  })
  const torch =
    { variance: 'var', countNonzero: 'count_nonzero', norm: 'linalg.vector_norm', logSoftmax: 'log_softmax' }[name] ??
    snake(name)
  if ((whole as readonly string[]).includes(name)) {
    const dims =
      rank > 1 && draw.flag() ? sizes.map((_, i) => (draw.flag() ? i : i - rank)).filter(() => draw.flag()) : [dim]
    const none = draw.chance(0.3)
    const list = dims.length === 0 ? [dim] : dims
    if (name === 'norm') {
      const p = draw.pick([0, 1, 2, 3, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0.5])
      return setting(
        `torch.linalg.vector_norm(${view}, ${literal(p)}, ${none ? 'None' : literal(list)}${keywords(keepdim)})`,
        (x) => f.vectorNorm(x, p, none ? null : list, keepdim),
      )
    }
    const correction = name === 'variance' || name === 'std' ? { correction: draw.pick([0, 1, 0.5]) } : {}
    const options = { ...(name === 'countNonzero' ? {} : keepdim), ...correction }
    if (none && name !== 'logsumexp')
      return setting(`torch.${torch}(${view}${keywords(correction)})`, (x) => named(name)(x, null, correction))
    return setting(`torch.${torch}(${view}, ${literal(list)}${keywords(options)})`, (x) =>
      named(name)(x, list, options),
    )
  }
  if (['cumsum', 'cumprod', 'cummax', 'cummin', 'logcumsumexp', 'softmax', 'logSoftmax'].includes(name))
    return setting(`torch.${torch}(${view}, ${dim})`, (x) => named(name)(x, dim))
  if (name === 'sort') {
    const descending = draw.flag()
    return setting(`torch.sort(${view}, dim=${dim}, descending=${literal(descending)}, stable=True)`, (x) =>
      f.sort(x, dim, { descending }),
    )
  }
  const size = sizes.at(dim) ?? 1
  if (name === 'topk') {
    const k = draw.integer(1, size)
    return setting(`torch.topk(${view}, ${k}, ${dim})[0]`, (x) => f.topk(x, k, dim)[0])
  }
  if (name === 'kthvalue') {
    const k = draw.integer(1, size)
    return setting(
      `torch.kthvalue(${view}, ${k}, ${dim}${keywords(keepdim)})[0]`,
      (x) => f.kthvalue(x, k, dim, keepdim)[0],
    )
  }
  if (name === 'quantile') {
    const q = draw.pick([0, 1, 0.3, 0.5])
    return setting(`torch.quantile(${view}, ${q}, ${dim}${keywords(keepdim)})`, (x) => f.quantile(x, q, dim, keepdim))
  }
  if (name === 'mode' || name === 'max' || name === 'min' || name.endsWith('median'))
    return setting(
      `torch.${torch}(${view}, ${dim}${keywords(keepdim)})[0]`,
      (x) => (named(name)(x, dim, keepdim) as readonly f.Tensor[])[0] as f.Tensor,
    )
  return setting(`torch.${torch}(${view}, ${dim}${keywords(keepdim)})`, (x) => named(name)(x, dim, keepdim))
}

/** Equations of one to three operands with repeated letters, ellipses, spaces and with or without a result. */
export function einsum(draw: Choices): Setting {
  const letters = [...'abcdeA'].slice(0, draw.integer(1, 6))
  const sizes = new Map(letters.map((letter) => [letter, draw.integer(1, 4)]))
  const rest = draw.shape(0, 2, 3)
  const hasRest = draw.chance(0.4)
  const terms: string[] = []
  const inputs: Given[] = []
  for (let count = draw.integer(1, 3); count > 0; count--) {
    const own = Array.from({ length: draw.integer(hasRest ? 0 : 1, 3) }, () => draw.pick(letters))
    const shape: number[] = own.map((letter) => (draw.chance(0.05) ? 1 : (sizes.get(letter) as number)))
    let term = own.join('')
    if (hasRest && draw.chance(0.7)) {
      const at = draw.integer(0, own.length)
      const part = rest.slice(draw.integer(0, rest.length)).map((n) => (draw.chance(0.3) ? 1 : n))
      term = `${own.slice(0, at).join('')}...${own.slice(at).join('')}`
      shape.splice(at, 0, ...part)
    }
    terms.push(term)
    inputs.push(draw.floats(shape))
  }
  const used = [...new Set(terms.join('').replaceAll('.', ''))]
  const out = used.filter(() => draw.chance(0.6)).sort(() => draw.random() - 0.5)
  const dots = terms.some((term) => term.includes('...')) && draw.chance(0.85)
  const at = draw.integer(0, out.length)
  const result = dots ? `${out.slice(0, at).join('')}...${out.slice(at).join('')}` : out.join('')
  const space = draw.chance(0.1) ? ' ' : ''
  const equation = `${terms.join(`,${space}`)}${draw.chance(0.75) ? `${space}->${space}${result}` : ''}`
  return {
    python: `torch.einsum('${equation}'${inputs.map((_, i) => `, x${i}`).join('')})`,
    inputs,
    call: (x) => f.einsum(equation, ...x),
  }
}
