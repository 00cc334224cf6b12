/** Resampling along axes by tables, which all modes of interpolation and uneven averages share. */
import { apply, type Operator } from '../../autograd/operator.js'
import { countOf } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { fromTypedArray } from '../creation.js'
import { kernel, operator } from '../operator.js'
import { reshape } from '../shape/index.js'
import { type Table, transposed } from './tables.js'

interface Tables {
  /** The table of an axis; null leaves the axis as it is. */
  readonly rows: Table | null
  readonly columns: Table | null
}

const flipped = (table: Table | null) => table && transposed(table)

/** A table as the tensors that the kernel takes, on x's device. */
function tensorsOf(
  table: Table | null,
  { device, dtype }: Tensor,
): readonly [taps: Tensor | null, weights: Tensor | null] {
  if (table === null) return [null, null]
  const { ends, index, weights } = table
  const taps = new Int32Array(ends.length + index.length)
  taps.set(ends)
  taps.set(index, ends.length)
  const wide = dtype === 'float64'
  const numbers = fromTypedArray(wide ? Float64Array.from(weights) : Float32Array.from(weights), [weights.length], {
    device,
    dtype: wide ? 'float64' : 'float32',
  })
  return [fromTypedArray(taps, [taps.length], { device }), numbers]
}

/**
 * x [planes, H, W] -> [planes, P, Q]. It is linear, so its gradient is the same operator with the tables transposed.
 */
const resampleRecord: Operator<[x: Tensor], Tables> = operator<[x: Tensor], Tables>({
  name: 'resample',
  inputs: ['x'],
  infer: ([x], { rows, columns }) =>
    like(x, [x.sizes[0] ?? 0, rows?.results ?? x.sizes[1] ?? 0, columns?.results ?? x.sizes[2] ?? 0]),
  forward: kernel('resample', ([x], { rows, columns }, { out }) => {
    const [rowTaps, rowWeights] = tensorsOf(rows, x)
    const [columnTaps, columnWeights] = tensorsOf(columns, x)
    return { out, x, rowTaps, rowWeights, columnTaps, columnWeights }
  }),
  gradient: {
    saves: () => ({}),
    backward: ({ attrs: { rows, columns } }, [g]) => [
      apply(resampleRecord, [g], { rows: flipped(rows), columns: flipped(columns) }),
    ],
  },
})

/**
 * Resamples the last dimensions of x, each by its table (null leaves it). The two innermost are resampled together. A
 * third takes a separate pass, on whichever side the tensor is smaller.
 */
export function resample(x: Tensor, tables: readonly (Table | null)[]): Tensor {
  const lead = x.ndim - tables.length
  const shape = [
    ...x.sizes.slice(0, lead),
    ...tables.map((table, d) => table?.results ?? (x.sizes[lead + d] as number)),
  ]
  const [columns = null, rows = null, outermost = null] = [...tables].reverse()
  const planes = (y: Tensor) => {
    if (rows === null && columns === null) return y
    const [h, w] = [y.ndim >= 2 ? (y.sizes[y.ndim - 2] as number) : 1, y.sizes[y.ndim - 1] as number]
    const seen = reshape(y, [countOf(y.sizes.slice(0, Math.max(0, y.ndim - 2))), h, w])
    const made = apply(resampleRecord, [seen], { rows, columns })
    return reshape(made, [...y.sizes.slice(0, -2), ...made.sizes.slice(y.ndim >= 2 ? 1 : 2)])
  }
  if (outermost === null) return planes(x)
  const deep = (y: Tensor) => {
    const [h, w] = [y.sizes[y.ndim - 2] as number, y.sizes[y.ndim - 1] as number]
    const seen = reshape(y, [countOf(y.sizes.slice(0, lead)), outermost.length, h * w])
    const made = apply(resampleRecord, [seen], { rows: outermost, columns: null })
    return reshape(made, [...y.sizes.slice(0, lead), outermost.results, h, w])
  }
  return reshape(outermost.results < outermost.length ? planes(deep(x)) : deep(planes(x)), shape)
}
