/** The records of a slice and of its reverse, of which slices, padding and others are made. */

import { apply, type Operator } from '../../autograd/operator.js'
import { empty, run } from '../../backend/dispatch.js'
import { countOf, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { operator } from '../operator.js'
import { viewOf } from '../views.js'

interface Slice {
  readonly starts: readonly number[]
  readonly steps: readonly number[]
  /** The result's. */
  readonly sizes: Shape
}

function sliceView(x: Tensor, { starts, steps, sizes }: Slice): Tensor {
  let offset = x.offset
  for (let i = 0; i < starts.length; i++) offset += (starts[i] as number) * (x.steps[i] as number)
  // An empty view must not point beyond the memory.
  if (countOf(sizes) === 0) offset = x.offset
  return viewOf(
    x,
    sizes,
    x.steps.map((stride, i) => stride * (steps[i] as number)),
    offset,
  )
}

export const sliceRecord: Operator<[x: Tensor], Slice> = operator<[x: Tensor], Slice>({
  name: 'slice',
  infer: ([x], { sizes }) => like(x, sizes),
  forward: ([x], slice) => sliceView(x, slice),
  gradient: {
    saves: () => ({}),
    backward: (ctx, [g]) => [apply(unsliceRecord, [g], { ...ctx.attrs, shape: ctx.spec(0).shape, value: 0 })],
  },
})

interface Unslice extends Slice {
  readonly shape: Shape
  readonly value: number
}

/** The reverse of a slice: a tensor of `shape` filled with `value`, whose slice is x. */
export const unsliceRecord = operator<[x: Tensor], Unslice>({
  name: 'unslice',
  op: 'pad',
  infer: ([x], { shape }) => like(x, shape),
  forward([x], attrs, { shape, dtype }) {
    const out = empty(x.device, shape, dtype, 'pad')
    run('fill', { out, value: attrs.value })
    run('copy_into', { dst: sliceView(out, { ...attrs, sizes: x.sizes }), src: x })
    return out
  },
  gradient: {
    saves: () => ({}),
    backward: (ctx, [g]) => [
      apply(sliceRecord, [g], { starts: ctx.attrs.starts, steps: ctx.attrs.steps, sizes: ctx.spec(0).shape }),
    ],
  },
})

export function oneDim(x: Tensor, dim: number, start: number, step: number, size: number): Tensor {
  const at = <T>(value: T, other: T) => x.sizes.map((_, i) => (i === dim ? value : other))
  const sizes = x.sizes.map((s, i) => (i === dim ? size : s))
  return apply(sliceRecord, [x], { starts: at(start, 0), steps: at(step, 1), sizes })
}
