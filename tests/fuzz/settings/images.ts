/** Settings of functions over signals, images and volumes: resizing, pools, convolutions. */
import * as f from '../../../lib/index.js'
import { type Choices, keywords, literal, type Setting } from './setting.js'

type Call = (...args: unknown[]) => f.Tensor | readonly f.Tensor[]
export const named = (name: string) => (f as unknown as { readonly [name: string]: Call })[name] as Call

export const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** One number for all dimensions, or one for each. */
function each(draw: Choices, rank: number, one: () => number): number | number[] {
  return draw.flag() ? one() : Array.from({ length: rank }, one)
}

const listed = (value: number | readonly number[], rank: number): readonly number[] =>
  typeof value === 'number' ? new Array<number>(rank).fill(value) : value

export function interpolate(draw: Choices): Setting {
  const rank = draw.integer(1, 3)
  const modes = { 1: ['linear'], 2: ['bilinear', 'bicubic'], 3: ['trilinear'] }[rank] as string[]
  const mode = draw.pick(['nearest', 'nearest-exact', 'area', ...modes, ...modes])
  const shape = [draw.integer(1, 2), draw.integer(1, 3), ...Array.from({ length: rank }, () => draw.integer(1, 7))]
  const takesCorners = modes.includes(mode)
  const bySize = draw.flag()
  const antialias = ['bilinear', 'bicubic'].includes(mode) && draw.chance(0.3)
  const options = {
    ...(bySize
      ? { size: each(draw, rank, () => draw.integer(1, 11)) }
      : { scaleFactor: each(draw, rank, () => draw.pick([0.3, 0.5, 0.7, 0.9, 1, 1.1, 1.3, 2, 2.5, 3.7])) }),
    mode,
    ...(takesCorners && draw.flag() ? { alignCorners: draw.flag() } : {}),
    ...(!bySize && draw.chance(0.4) ? { recomputeScaleFactor: draw.flag() } : {}),
    ...(antialias ? { antialias } : {}),
  } as f.InterpolateOptions
  const { size, scaleFactor } = options
  const factors = scaleFactor === undefined || scaleFactor === null ? [] : listed(scaleFactor, rank)
  const width = shape.at(-1) as number
  const newWidth = size ? listed(size, rank).at(-1) : Math.floor(width * (factors.at(-1) ?? 1))
  // PyTorch gives its first row everywhere where the width before or after is 1.
  if (antialias && (width === 1 || newWidth === 1)) return interpolate(draw)
  // PyTorch ignores these factors in its gradient, and in one of two layouts of memory.
  const isOpen = factors.some((factor, d) => {
    const size = shape[d + 2] as number
    return [1, 2].some((whole) => factor !== whole && Math.floor(size * factor) === whole * size)
  })
  if (mode === 'nearest' && isOpen) return interpolate(draw)
  // PyTorch's forward skips a dimension whose size stays, though its factor is not 1, and its own gradient does not.
  const isKept = factors.some((factor, d) => {
    const size = shape[d + 2] as number
    return factor !== 1 && Math.floor(size * factor) === size
  })
  if (antialias && isKept && options.recomputeScaleFactor !== true) return interpolate(draw)
  return {
    python: `F.interpolate(x0${keywords(options)})`,
    inputs: [draw.floats(shape)],
    call: ([x]) => f.interpolate(x as f.Tensor, options),
    ...(mode === 'area' ? { mayDiffer: 'PyTorch has no gradient of areas without elements' } : {}),
  }
}

export function grid(draw: Choices): Setting {
  const rank = draw.integer(2, 3)
  const [n, c] = [draw.integer(1, 2), draw.integer(1, 2)]
  const from = Array.from({ length: rank }, () => draw.integer(1, 5))
  const to = Array.from({ length: rank }, () => draw.integer(1, 4))
  const options = {
    mode: draw.pick(rank === 2 ? (['bilinear', 'nearest', 'bicubic'] as const) : (['bilinear', 'nearest'] as const)),
    paddingMode: draw.pick(['zeros', 'border', 'reflection'] as const),
    alignCorners: draw.flag(),
  }
  return {
    python: `F.grid_sample(x0, x1${keywords(options)})`,
    inputs: [draw.floats([n, c, ...from]), draw.between([n, ...to, rank], -1.7, 1.7)],
    call: ([x, at]) => f.gridSample(x as f.Tensor, at as f.Tensor, options),
  }
}

export function pool(draw: Choices): Setting {
  const rank = draw.integer(1, 3)
  const kind = draw.pick(['max', 'max', 'avg', 'avg', 'lp', 'adaptiveAvg', 'adaptiveMax', 'unpool'])
  const lead = draw.chance(0.8) ? [draw.integer(1, 2), draw.integer(1, 3)] : [draw.integer(1, 3)]
  const sizes = Array.from({ length: rank }, () => draw.integer(1, 9))
  const kernel = each(draw, rank, () => draw.integer(1, 4))
  const stride = draw.chance(0.6) ? { stride: each(draw, rank, () => draw.integer(1, 4)) } : {}
  const padding = draw.chance(0.6)
    ? {
        padding:
          typeof kernel === 'number'
            ? draw.integer(0, Math.floor(kernel / 2))
            : kernel.map((size) => draw.integer(0, Math.floor(size / 2))),
      }
    : {}
  const ceil = draw.flag() ? { ceilMode: draw.flag() } : {}
  const inputs = [draw.distinct([...lead, ...sizes])]
  if (kind === 'unpool') {
    // Windows do not overlap, because elements with two values have no gradient that both libraries agree on.
    const dims = Math.min(rank, 2)
    const window = listed(kernel, rank).slice(0, dims)
    const options = keywords('padding' in padding ? { padding: listed(padding.padding, rank).slice(0, dims) } : {})
    const ours = 'padding' in padding ? { padding: listed(padding.padding, rank).slice(0, dims) } : {}
    const pooled = `F.max_pool${dims}d(x0, ${literal(window)}${options}, return_indices=True)`
    return {
      python: `F.max_unpool${dims}d(*${pooled}, ${literal(window)}${options}, output_size=x0.shape)`,
      inputs: [draw.distinct([...lead, ...sizes.slice(0, dims)])],
      call: ([x]) => {
        const [y, at] = named(`maxPool${dims}d`)(x, window, { ...ours, returnIndices: true }) as readonly f.Tensor[]
        return named(`maxUnpool${dims}d`)(y, at, window, { ...ours, outputSize: (x as f.Tensor).shape })
      },
      mayDiffer: 'PyTorch checks the size of the result more loosely',
    }
  }
  if (kind.startsWith('adaptive')) {
    const size = draw.flag()
      ? draw.integer(1, 6)
      : Array.from({ length: rank }, () => (rank > 1 && draw.chance(0.2) ? null : draw.integer(1, 6)))
    const name = `${kind}Pool${rank}d`
    const indices = kind === 'adaptiveMax' && draw.flag()
    return {
      python: `F.${snake(name)}(x0, ${literal(size)}${indices ? ', return_indices=True' : ''})`,
      inputs,
      call: ([x]) => named(name)(x, size, ...(indices ? [{ returnIndices: true }] : [])),
    }
  }
  if (kind === 'lp') {
    const p = draw.pick([1, 2, 3, 1.5])
    const options = { ...stride, ...ceil }
    const dims = Math.min(rank, 2)
    const window = dims === 1 ? listed(kernel, rank)[0] : typeof kernel === 'number' ? kernel : kernel.slice(0, dims)
    const step =
      'stride' in options && Array.isArray(options.stride)
        ? { stride: dims === 1 ? options.stride[0] : options.stride.slice(0, dims) }
        : {}
    return {
      python: `F.lp_pool${dims}d(x0, ${p}, ${literal(window)}${keywords({ ...options, ...step })})`,
      inputs: [draw.between([...lead, ...sizes.slice(0, dims)], 0.2, 2)],
      call: ([x]) => named(`lpPool${dims}d`)(x, p, window, { ...options, ...step }),
    }
  }
  const name = `${kind}Pool${rank}d`
  const options = {
    ...stride,
    ...padding,
    ...ceil,
    ...(kind === 'avg' && draw.flag() ? { countIncludePad: draw.flag() } : {}),
    ...(kind === 'avg' && rank > 1 && draw.chance(0.3) ? { divisorOverride: draw.integer(1, 5) } : {}),
    ...(kind === 'max' && draw.chance(0.4) ? { dilation: each(draw, rank, () => draw.integer(1, 3)) } : {}),
    ...(kind === 'max' && draw.chance(0.4) ? { returnIndices: true } : {}),
  }
  return {
    python: `F.${snake(name)}(x0, ${literal(kernel)}${keywords(options)})`,
    inputs,
    call: ([x]) => named(name)(x, kernel, options),
    ...(name === 'avgPool3d' ? { mayDiffer: 'PyTorch refuses a kernel larger than x without its padding' } : {}),
  }
}

export function convolution(draw: Choices): Setting {
  const rank = draw.integer(1, 3)
  const transposed = draw.chance(0.35)
  const groups = draw.pick([1, 1, 2, 3])
  const [i, o] = [groups * draw.integer(1, 3), groups * draw.integer(1, 3)]
  const lead = draw.chance(0.8) ? [draw.integer(1, 2), i] : [i]
  const sizes = Array.from({ length: rank }, () => draw.integer(1, rank === 3 ? 5 : 8))
  const kernel = Array.from({ length: rank }, () => draw.integer(1, rank === 3 ? 3 : 4))
  const stride = each(draw, rank, () => draw.integer(1, 3))
  const dilation = each(draw, rank, () => draw.integer(1, 3))
  const text = !transposed && draw.chance(0.4) ? draw.pick(['same', 'valid']) : null
  const options = {
    ...(text === 'same' || draw.flag() ? {} : { stride }),
    ...(draw.flag() ? { dilation } : {}),
    ...(text !== null ? { padding: text } : draw.flag() ? { padding: each(draw, rank, () => draw.integer(0, 2)) } : {}),
    ...(groups > 1 ? { groups } : {}),
    ...(transposed && draw.chance(0.4) ? { outputPadding: each(draw, rank, () => draw.integer(0, 2)) } : {}),
  }
  const name = transposed ? `convTranspose${rank}d` : `conv${rank}d`
  const weight = transposed ? [i, o / groups, ...kernel] : [o, i / groups, ...kernel]
  const bias = draw.flag() ? [draw.floats([o])] : []
  // A result without elements is refused by both, but by PyTorch also some sizes that only its algorithms exclude.
  return {
    python: `F.${snake(name)}(x0, x1, ${bias.length > 0 ? 'x2' : 'None'}${keywords(options)})`,
    inputs: [draw.floats([...lead, ...sizes]), draw.floats(weight), ...bias],
    call: ([x, w, b]) => named(name)(x, w, b ?? null, options),
  }
}
