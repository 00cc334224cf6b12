/**
 * Copies, fills and joins. Between equal dtypes bits are copied; otherwise a value is read as a number and converted.
 */
import { arrayLength, type DType, isBlocks, type TypedArray } from '../../core/dtype.js'
import { countOf } from '../../core/shape.js'
import type { Kernels } from '../table/index.js'
import { copyBlocks, decoded, encodeBlocks } from './blocks.js'
import { isHalf, narrow, widened } from './half.js'
import type { HostView } from './view.js'
import { type Layout, walk } from './walk.js'

/** The conversion of a number to an element of a dtype; null if storing it in the typed array suffices. */
function converter(dtype: DType): ((value: number) => number) | null {
  if (dtype === 'bool') return (value) => (value === 0 ? 0 : 1)
  return isHalf(dtype) ? narrow(dtype) : null
}

/** to[layout] = from, bit by bit; `layout` gives the places in `to` of the elements of `from` */
function copyBits(to: TypedArray, layout: Layout, from: HostView): void {
  const { data } = from
  walk(from.shape, [layout, from], (n, [o = 0, i = 0], [step = 0, di = 0]) => {
    if (step === 1 && di === 1 && n > 16) to.set(data.subarray(i, i + n), o)
    else for (let k = 0; k < n; k++) to[o + k * step] = data[i + k * di] as number
  })
}

/** to = from as numbers; typed arrays convert by themselves: integers truncate and wrap, float32 rounds */
function copyNumbers(to: HostView, from: HostView): void {
  walk(to.shape, [to, from], (n, [o = 0, i = 0], [step = 0, di = 0]) => {
    for (let k = 0; k < n; k++) to.data[o + k * step] = from.data[i + k * di] as number
  })
}

function copyThrough(cast: (value: number) => number, to: HostView, from: HostView): void {
  walk(to.shape, [to, from], (n, [o = 0, i = 0], [step = 0, di = 0]) => {
    for (let k = 0; k < n; k++) to.data[o + k * step] = cast(from.data[i + k * di] as number)
  })
}

export function convert(to: HostView, from: HostView): void {
  const cast = converter(to.dtype)
  if (isBlocks(to.dtype)) {
    if (to.dtype === from.dtype) copyBlocks(to.dtype, to.data, to, from)
    else encodeBlocks(to.dtype, to, from)
  } else if (isBlocks(from.dtype)) convert(to, decoded(from.dtype, from))
  else if (to.dtype === from.dtype) copyBits(to.data, to, from)
  else if (cast === null) copyNumbers(to, widened(from))
  else copyThrough(cast, to, widened(from))
}

function accumulate({ dst, src }: { dst: HostView; src: HostView }): void {
  const [to, from] = [dst.data, src.data]
  walk(dst.shape, [dst, src], (n, [o = 0, i = 0], [step = 0, di = 0]) => {
    for (let k = 0; k < n; k++) to[o + k * step] = (to[o + k * step] as number) + (from[i + k * di] as number)
  })
}

function cat({ out, inputs, dim }: { out: HostView; inputs: readonly HostView[]; dim: number }): void {
  let offset = out.offset
  for (const input of inputs) {
    copyBits(out.data, { offset, strides: out.strides }, input)
    offset += (input.shape[dim] as number) * (out.strides[dim] as number)
  }
}

export const shape = {
  copy: ({ out, x }) => convert(out, x),
  copy_into: ({ dst, src }) => convert(dst, src),
  accumulate,
  fill: ({ out, value }) => {
    const element = converter(out.dtype)?.(value) ?? value
    out.data.fill(element, out.offset, out.offset + arrayLength(out.dtype, countOf(out.shape)))
  },
  arange: ({ out, start, step }) => {
    const n = countOf(out.shape)
    for (let i = 0; i < n; i++) out.data[out.offset + i] = start + i * step
  },
  cat,
} satisfies Pick<Kernels<HostView>, 'copy' | 'copy_into' | 'accumulate' | 'fill' | 'arange' | 'cat'>
