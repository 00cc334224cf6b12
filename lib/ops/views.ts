/** Views of which operators are made. */

import { apply } from '../autograd/operator.js'
import { checkBlockView } from '../core/blocks.js'
import { isBlocks } from '../core/dtype.js'
import { namedAs } from '../core/errors.js'
import { type Shape, sameShape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'
import { like } from './common.js'
import { full } from './creation.js'
import { operator } from './operator.js'

/** A view with other sizes and strides over the memory of x; no graph. */
export function viewOf(x: Tensor, shape: Shape, strides: Shape, offset = x.offset): Tensor {
  if (isBlocks(x.dtype)) checkBlockView('view', x.dtype, shape, strides, offset)
  return new Tensor(x.storage, shape, strides, offset)
}

/** A matrix with its dimensions exchanged, without a graph. */
export function transposedView({ storage, sizes, steps, offset }: Tensor): Tensor {
  const [rows, columns] = sizes as readonly [number, number]
  const [row, column] = steps as readonly [number, number]
  return new Tensor(storage, [columns, rows], [column, row], offset)
}

/** Makes a view for a function, whose name stands in the error if the view would cut a block of a block dtype. */
export function viewFor<R>(op: string, { dtype }: Tensor, make: () => R): R {
  return isBlocks(dtype) ? namedAs(op, make) : make()
}

/** A view with strides of 0 where sizes grow; no graph. */
export function expandView(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.sizes, shape)) return x
  const lead = shape.length - x.ndim
  const strides = shape.map((size, i) =>
    i < lead || (x.sizes[i - lead] === 1 && size !== 1) ? 0 : (x.steps[i - lead] as number),
  )
  return viewOf(x, shape, strides)
}

/** Zeros of x's shape, made without reading x: the gradient of a constant function, right even beside infinities. */
export function zerosLike({ sizes, dtype, device }: Tensor): Tensor {
  return expandView(full([], 0, { dtype, device }), sizes)
}

const aliasRecord = operator<[x: Tensor]>({
  name: 'alias',
  infer: ([x]) => like(x),
  forward: ([x]) => viewOf(x, x.sizes, x.steps),
  gradient: { saves: () => ({}), backward: (_ctx, [g]) => [g] },
})

/** A view of the same memory, recorded as an operator's result. */
export function alias(x: Tensor): Tensor {
  return apply(aliasRecord, [x], null)
}
