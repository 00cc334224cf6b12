/** Copies, and views outside the graph. */

import { apply, checkTensor } from '../../autograd/operator.js'
import { checkBlockRows } from '../../core/blocks.js'
import type { DType } from '../../core/dtype.js'
import { defineMethods } from '../../core/methods.js'
import type { Shape } from '../../core/shape.js'
import { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { kernel, operator } from '../operator.js'

const cloneRecord = operator<[x: Tensor]>({
  name: 'clone',
  op: 'clone',
  infer([x]) {
    checkBlockRows('clone', x)
    return like(x)
  },
  forward: kernel('copy', ([x], _attrs, { out }) => ({ out, x })),
  gradient: { saves: () => ({}), backward: (_ctx, [g]) => [g] },
})

/** A dense copy with its own memory. */
export function clone<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D>
export function clone(x: Tensor): Tensor {
  checkTensor('clone', 'x', x)
  return apply(cloneRecord, [x], null)
}

/** The tensor itself if its elements lie dense in row-major order, else a copy that does. */
export function contiguous<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
  checkTensor('contiguous', 'x', x)
  return x.isContiguous ? x : clone(x)
}

/** A tensor over the same memory, outside the graph. */
export function detach<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
  checkTensor('detach', 'x', x)
  return new Tensor(x.storage, x.sizes, x.steps, x.offset)
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    clone(): Tensor<S, D>
    contiguous(): Tensor<S, D>
    detach(): Tensor<S, D>
  }
}

defineMethods({
  clone() {
    return clone(this)
  },
  contiguous() {
    return contiguous(this)
  },
  detach() {
    return detach(this)
  },
})
