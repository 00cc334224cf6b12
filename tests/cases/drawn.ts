/**
 * Calls of operators that index, sort and count, drawn at random: ranks, indices of all kinds, ties, sizes of 0.
 * `torch` states the same call for PyTorch, as in large.ts.
 */
import * as f from '../../lib/index.js'
import { bits, type Case, distinct, exactly, type Input, integers, normal, type Random } from './case.js'
import { Draw, type LargeCase, made, type TorchCall } from './large.js'

/** An index in the form for PyTorch's side, where a tensor is the number of an input. */
type Told = number | string | null | readonly number[] | { readonly input: number }

class SmallDraw extends Draw {
  /** Sizes of `least` to `most` dimensions, few of them 0. */
  shape(least: number, most: number, size = 5, none = 0.04): number[] {
    return Array.from({ length: this.integer(least, most) }, () => (this.chance(none) ? 0 : this.integer(1, size)))
  }
  dim(shape: f.Shape): number {
    return shape.length === 0 ? 0 : this.integer(-shape.length, shape.length - 1)
  }
  part(shape: f.Shape): number[] {
    return shape.slice(this.integer(0, shape.length)).map((size) => (this.chance(0.2) ? 1 : size))
  }
  /** Elements of few different numbers, so that many are equal. */
  ties(shape: f.Shape): Input {
    return { ...integers(shape, -3, 4), kind: 'float' }
  }
}

const small = (op: string, torch: TorchCall, inputs: readonly Input[], call: Case['call']): LargeCase =>
  made(op, torch, inputs, 64, call)

/** Indices of a tensor of `shape`. Tensors among them are appended to the inputs. */
function indicesOf(draw: SmallDraw, shape: f.Shape, inputs: Input[]): Told[] {
  const told: Told[] = []
  const picks = draw.shape(0, 2, 3, 0.03)
  const bound = (size: number) => (draw.chance(0.3) ? '' : String(draw.integer(-size - 1, size + 1)))
  // Masks and indices are drawn separately, because the number of elements that a mask picks broadcasts with few
  // indices.
  const masks = draw.chance(0.3)
  let hasRest = false
  for (let d = 0; d < shape.length || draw.chance(0.2); ) {
    const size = shape[d] ?? 0
    const how = draw.random()
    if (draw.chance(0.1)) told.push(null)
    else if (!hasRest && draw.chance(0.08)) {
      hasRest = true
      told.push('...')
      d += draw.integer(0, shape.length - d)
    } else if (d >= shape.length || (!hasRest && draw.chance(0.05))) break
    else if (how < 0.35 || size === 0) {
      told.push(`${bound(size)}:${bound(size)}${draw.chance(0.3) ? `:${draw.integer(1, 3)}` : ''}`)
      d++
    } else if (how < 0.5) {
      told.push(draw.integer(-size, size - 1))
      d++
    } else if (!masks && how < 0.58 && picks.length <= 1) {
      told.push(Array.from({ length: picks[0] ?? 2 }, () => draw.integer(-size, size - 1)))
      d++
    } else if (!masks) {
      told.push({ input: inputs.push(integers(draw.part(picks), -size, size)) - 1 })
      d++
    } else {
      // There is one mask for all remaining dimensions, because two need not broadcast together.
      const count = shape.length - d
      told.push({ input: inputs.push(bits(shape.slice(d, d + count), draw.pick([0.2, 0.5, 0]))) - 1 })
      d += count
    }
  }
  return told
}

const ours = (told: readonly Told[], inputs: readonly f.Tensor[]): f.Index[] =>
  told.map((each) =>
    typeof each === 'object' && each !== null && 'input' in each ? (inputs[each.input] as f.Tensor) : (each as f.Index),
  )

function index(draw: SmallDraw): LargeCase {
  const shape = draw.shape(0, 4, 4)
  const inputs = [normal(shape)]
  const indices = indicesOf(draw, shape, inputs)
  return small('index', { fn: 'index', options: { indices } }, inputs, (x, ...rest) =>
    f.index(x as f.Tensor, ...ours(indices, [x as f.Tensor, ...rest])),
  )
}

/**
 * Indices are read into a value of the same shape, so that masks may pick any number; also in place into a transposed
 * tensor.
 */
function indexPut(draw: SmallDraw): LargeCase {
  const shape = draw.shape(1, 3, 4)
  const inputs = [normal(shape), normal(shape)]
  const indices = indicesOf(draw, shape, inputs)
  const accumulate = draw.chance(0.5)
  return small('indexPut', { fn: 'indexPut', options: { indices, accumulate } }, inputs, (x, y, ...rest) => {
    const list = ours(indices, [x as f.Tensor, y as f.Tensor, ...rest])
    const value = f.index(y as f.Tensor, ...list)
    const put = f.indexPut(x as f.Tensor, list, value, { accumulate })
    f.noGrad(() => {
      const turned = f.clone(f.permute(x as f.Tensor, shape.map((_, i) => i).reverse()))
      const there = f.permute(turned, shape.map((_, i) => i).reverse())
      there.indexPut_(list, value, { accumulate })
      if (!there.allclose(put.detach())) throw new Error('in place it is another')
    })
    return put
  })
}

/** Functions that order lines. Values differ, so that each has one place. */
function ordered(draw: SmallDraw): LargeCase {
  const shape = draw.shape(0, 3, draw.pick([5, 70]), 0)
  const dim = draw.dim(shape)
  const size = shape.at(dim) ?? 1
  const flag = draw.chance(0.5)
  const k = draw.integer(1, size)
  const q = draw.pick([0, 1, 0.5, draw.random()])
  const interpolation = draw.pick(['linear', 'lower', 'higher', 'midpoint', 'nearest'] as const)
  const options = { dim, flag, k, q, interpolation }
  const calls: { readonly [fn: string]: (x: f.Tensor) => f.Tensor } = {
    sort: (x) => f.sort(x, dim, { descending: flag })[0],
    argsort: (x) => f.argsort(x, dim, { descending: flag }),
    topk: (x) => f.topk(x, k, dim, { largest: flag })[0],
    kthvalue: (x) => f.kthvalue(x, k, dim, { keepdim: flag })[0],
    median: (x) => (flag ? f.median(x) : f.median(x, dim)[0]),
    nanmedian: (x) => (flag ? f.nanmedian(x) : f.nanmedian(x, dim)[0]),
    quantile: (x) => f.quantile(x, q, dim, { keepdim: flag, interpolation }),
    nanquantile: (x) => f.nanquantile(x, [q, 0.5], flag ? null : dim, { interpolation }),
  }
  const fn = draw.pick(Object.keys(calls))
  return small(fn, { fn, options }, [distinct(shape)], calls[fn] as Case['call'])
}

/** Functions that count equal elements and find places among them. */
function counted(draw: SmallDraw): LargeCase {
  const shape = draw.shape(0, 3, 6)
  const dim = draw.dim(shape)
  const flag = draw.chance(0.5)
  const minlength = draw.integer(0, 9)
  const one = (fn: string, inputs: readonly Input[], call: (...x: f.Tensor[]) => f.Tensor, options: object = {}) =>
    small(fn, { fn, options: { dim, flag, ...options } }, inputs, call as Case['call'])
  const line = Array.from({ length: draw.integer(0, 9) }, () => draw.integer(-3, 3)).sort((a, b) => a - b)
  const x = draw.ties(shape)
  const found = draw.integer(0, 2)
  return draw.pick([
    () => one('argsort', [x], (x) => f.argsort(x, dim, { descending: flag }), { k: 1 }),
    () =>
      one('unique', [x], (x) => f.unique(x, { returnInverse: true, returnCounts: true })[found] as f.Tensor, { found }),
    () =>
      one(
        'uniqueConsecutive',
        [x],
        (x) =>
          (f.uniqueConsecutive(x, { returnInverse: true, returnCounts: true }) as readonly f.Tensor[])[
            found
          ] as f.Tensor,
        { found },
      ),
    () => one('nonzero', [x], (x) => f.nonzero(x)),
    () => one('histc', [x], (x) => f.histc(x, { bins: 5, min: -2, max: 3 })),
    () => one('isin', [x, draw.ties(draw.shape(0, 2))], (x, test) => f.isin(x, test, { invert: flag })),
    () =>
      one('searchsorted', [exactly([line.length], 'float', line), x], (sorted, x) =>
        f.searchsorted(sorted, x, { right: flag }),
      ),
    () => one('bincount', [integers([draw.integer(0, 40)], 0, 7)], (x) => f.bincount(x, { minlength }), { minlength }),
  ])()
}

/** Sums of neighbours, products, and clamps. */
function combined(draw: SmallDraw): LargeCase {
  const shape = draw.shape(1, 3, 6, 0)
  const dim = draw.dim(shape)
  const n = draw.integer(0, 3)
  const vectors = shape.map((size, i) => (i === (dim + shape.length) % shape.length ? 3 : size))
  const one = (fn: string, inputs: readonly Input[], call: (...x: f.Tensor[]) => f.Tensor) =>
    small(fn, { fn, options: { dim, n } }, inputs, call as Case['call'])
  return draw.pick([
    () => one('diff', [normal(shape)], (x) => f.diff(x, { n, dim })),
    () => one('cross', [normal(vectors), normal(vectors)], (a, b) => f.cross(a, b, dim)),
    () => one('trapezoid', [normal(shape), normal(shape)], (y, x) => f.trapezoid(y, { x, dim })),
    () => one('cov', [normal([n + 2, draw.integer(3, 9)])], (x) => f.cov(x)),
    () => one('take', [normal([4, 5]), integers(shape, -20, 20)], (x, i) => f.take(x, i)),
    () =>
      one('clamp', [normal(shape, 3), normal(draw.part(shape)), normal(draw.part(shape))], (x, min, max) =>
        f.clamp(x, min, max),
      ),
  ])()
}

const kinds = [index, index, indexPut, indexPut, ordered, ordered, counted, combined]

export function drawSmall(random: Random): LargeCase {
  const draw = new SmallDraw(random)
  return draw.pick(kinds)(draw)
}
