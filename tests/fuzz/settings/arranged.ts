/** Settings of functions that pad, cut windows and move elements between channels and places. */
import * as f from '../../../lib/index.js'
import { type Choices, keywords, literal, type Setting } from './setting.js'

/** One number for both dimensions, or one for each. */
function two(draw: Choices, least: number, most: number): number | [number, number] {
  return draw.flag() ? draw.integer(least, most) : [draw.integer(least, most), draw.integer(least, most)]
}

function padded(draw: Choices): Setting {
  const mode = draw.pick(['constant', 'constant', 'reflect', 'replicate', 'circular'] as const)
  const lead = mode === 'constant' ? draw.shape(0, 2, 3) : draw.shape(1, 2, 3)
  const rank = draw.integer(1, 3)
  const shape = [...lead, ...Array.from({ length: rank }, () => draw.integer(1, 5))]
  // Amounts of a constant may be negative and concern fewer dimensions.
  const isConstant = mode === 'constant'
  const dims = isConstant ? draw.integer(1, shape.length) : rank
  const amounts = Array.from({ length: 2 * dims }, () => draw.integer(isConstant ? -2 : 0, 4))
  const options = { mode, ...(isConstant && draw.flag() ? { value: draw.pick([1.5, -3]) } : {}) }
  return {
    python: `F.pad(x0, ${literal(amounts)}${keywords(options)})`,
    inputs: [draw.floats(shape)],
    call: ([x]) => f.pad(x as f.Tensor, amounts, options),
    // Both refuse most wrong sizes alike, but not a result without elements, nor some ranks.
    mayDiffer: 'PyTorch refuses results without elements, and has not all ranks of each mode',
  }
}

function windowed(draw: Choices): Setting {
  const lead = draw.chance(0.8) ? [draw.integer(1, 3)] : []
  const kernel = two(draw, 1, 3)
  const [kh, kw] = typeof kernel === 'number' ? [kernel, kernel] : kernel
  const size: [number, number] = [draw.integer(1, 8), draw.integer(1, 8)]
  const options = {
    ...(draw.flag() ? { dilation: two(draw, 1, 2) } : {}),
    ...(draw.flag() ? { padding: two(draw, 0, 2) } : {}),
    ...(draw.flag() ? { stride: two(draw, 1, 3) } : {}),
  }
  const c = draw.integer(1, 3)
  const unfolded = {
    python: `F.unfold(x0, ${literal(kernel)}${keywords(options)})`,
    inputs: [draw.floats([...lead, c, ...size])],
    call: ([x]: readonly f.Tensor[]) => f.unfold(x as f.Tensor, kernel, options),
  }
  if (draw.flag()) return unfolded
  const of = (value: number | readonly [number, number] | undefined, d: 0 | 1, usual: number) =>
    value === undefined ? usual : typeof value === 'number' ? value : value[d]
  const counts = ([0, 1] as const).map((d) => {
    const reach = of(options.dilation, d, 1) * ((d === 0 ? kh : kw) - 1) + 1
    return Math.floor((size[d] + 2 * of(options.padding, d, 0) - reach) / of(options.stride, d, 1)) + 1
  }) as [number, number]
  if (counts.some((count) => count < 1)) return unfolded
  return {
    python: `F.fold(x0, ${literal(size)}, ${literal(kernel)}${keywords(options)})`,
    inputs: [draw.floats([...lead, c * kh * kw, counts[0] * counts[1]])],
    call: ([x]) => f.fold(x as f.Tensor, size, kernel, options),
  }
}

function channels(draw: Choices): Setting {
  const r = draw.integer(1, 3)
  const lead = draw.shape(0, 2, 3)
  const [c, h, w] = [draw.integer(1, 3), draw.integer(1, 4), draw.integer(1, 4)]
  return draw.pick<() => Setting>([
    () => ({
      python: `F.pixel_shuffle(x0, ${r})`,
      inputs: [draw.floats([...lead, c * r * r, h, w])],
      call: ([x]) => f.pixelShuffle(x as f.Tensor, r),
    }),
    () => ({
      python: `F.pixel_unshuffle(x0, ${r})`,
      inputs: [draw.floats([...lead, c, h * r, w * r])],
      call: ([x]) => f.pixelUnshuffle(x as f.Tensor, r),
    }),
    () => ({
      python: `F.channel_shuffle(x0, ${r})`,
      inputs: [draw.floats([draw.integer(1, 3), c * r, h, w])],
      call: ([x]) => f.channelShuffle(x as f.Tensor, r),
    }),
  ])()
}

export const arranged = (draw: Choices): Setting => draw.pick([padded, windowed, channels])(draw)
