/** What runs along a dimension: sums so far. */
import { apply, checkTensor, type Operator } from '../../autograd/operator.js'
import type { DType, Summed } from '../../core/dtype.js'
import { defineMethods } from '../../core/methods.js'
import { normalizeDim, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { kernel, operator } from '../operator.js'
import { countable } from './dims.js'

interface Cumsum {
  readonly dim: number
  readonly reverse: boolean
}

const cumsumRecord: Operator<[x: Tensor], Cumsum> = operator<[x: Tensor], Cumsum>({
  name: 'cumsum',
  infer: ([x]) => like(x),
  forward: kernel('cumsum', ([x], attrs, { out }) => ({ out, x, ...attrs })),
  gradient: {
    saves: () => ({}),
    backward: ({ attrs }, [g]) => [apply(cumsumRecord, [g], { dim: attrs.dim, reverse: !attrs.reverse })],
  },
})

/**
 * Running sum along `dim`. Of uint8 and bool it is int32. A sum of integers that int32 cannot hold is a late ValueError.
 */
export function cumsum<S extends Shape, D extends DType>(x: Tensor<S, D>, dim: number): Tensor<S, Summed<D>>
export function cumsum(x: Tensor, dim: number): Tensor {
  checkTensor('cumsum', 'x', x)
  const counted = countable(x)
  return apply(cumsumRecord, [counted], { dim: normalizeDim('cumsum', dim, x.ndim), reverse: false })
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    cumsum(dim: number): Tensor<S, Summed<D>>
  }
}

defineMethods({
  cumsum(dim: number) {
    return cumsum(this, dim)
  },
})
