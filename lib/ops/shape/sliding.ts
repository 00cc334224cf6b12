/** The records of sliding windows and of their transposes, which the windows of images and of volumes share. */

import { apply, type Operator } from '../../autograd/operator.js'
import { empty, run } from '../../backend/dispatch.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { anyFloating, like } from '../common.js'
import { castTo, summable } from '../convert.js'
import { operator } from '../operator.js'
import { viewOf } from '../views.js'

export interface Windows {
  readonly dim: number
  /** The number of windows. */
  readonly count: number
  /** The distance from one window to the next. */
  readonly step: number
  /** The number of elements of a window, and their distance. */
  readonly size: number
  readonly dilation: number
}

/** The list with another value at `dim`. */
export const at = <T>(list: readonly T[], dim: number, value: T): T[] =>
  list.map((each, i) => (i === dim ? value : each))

/** A view [.., count, .., size] over the memory of x [.., length, ..]. */
function windowView(x: Tensor, { dim, count, step, size, dilation }: Windows): Tensor {
  const stride = x.steps[dim] as number
  return viewOf(x, [...at(x.sizes, dim, count), size], [...at(x.steps, dim, stride * step), stride * dilation])
}

export const windowsRecord: Operator<[x: Tensor], Windows> = operator<[x: Tensor], Windows>({
  name: 'windows',
  op: 'unfold',
  infer: ([x], { dim, count, size }) => like(x, [...at(x.sizes, dim, count), size]),
  forward: ([x], windows) => windowView(x, windows),
  gradient: {
    saves: () => ({}),
    backward(ctx, [g]) {
      const { dtype, shape } = ctx.spec(0)
      const attrs = { ...ctx.attrs, length: shape[ctx.attrs.dim] as number }
      return [castTo(apply(overlayRecord, [summable(g)], attrs), dtype)]
    },
  },
})

/**
 * The transpose of windows: zeros of `length` along `dim`, to which each window is added at its place, in a fixed
 * order.
 */
export const overlayRecord = operator<[x: Tensor], Windows & { readonly length: number }>({
  name: 'overlay',
  op: 'fold',
  inputs: [{ name: 'x', dtypes: anyFloating }],
  infer: ([x], { dim, length }) => like(x, at(x.sizes.slice(0, -1), dim, length)),
  forward([x], attrs, { shape, dtype }) {
    const { dim, count, step, size, dilation } = attrs
    const out = empty(x.device, shape, dtype, 'fold')
    run('fill', { out, value: 0 })
    if (x.numel === 0) return out
    const whole = windowView(out, attrs)
    if (step > (size - 1) * dilation || count === 1) {
      run('copy_into', { dst: whole, src: x })
      return out
    }
    // Each step adds one place of all windows, or one window, because neither overlaps itself.
    const along = count < size ? dim : x.ndim - 1
    for (let i = 0; i < (x.sizes[along] as number); i++)
      run('accumulate', { dst: one(whole, along, i), src: one(x, along, i) })
    return out
  },
  gradient: {
    saves: () => ({}),
    backward({ attrs: { length: _, ...windows } }, [g]) {
      return [apply(windowsRecord, [g], windows)]
    },
  },
})

function one(x: Tensor, dim: number, index: number): Tensor {
  const others = (list: Shape) => list.filter((_, i) => i !== dim)
  return viewOf(x, others(x.sizes), others(x.steps), x.offset + index * (x.steps[dim] as number))
}
