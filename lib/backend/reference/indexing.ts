/**
 * Reads and sums by index. Views are treated as outer x size x inner around dim. An index outside [0, size) throws at
 * once on this device.
 */
import { arrayLength } from '../../core/dtype.js'
import { IndexOutOfRangeError, InternalError } from '../../core/errors.js'
import { countOf } from '../../core/shape.js'
import type { KernelArguments, Kernels } from '../table/index.js'
import type { HostView } from './view.js'
import { around, clear, walk } from './walk.js'

function checked(op: string, index: number, size: number, dim: number): number {
  if (index >= 0 && index < size) return index
  const range = size === 0 ? 'which is empty' : `allowed are 0 to ${size - 1}`
  throw new IndexOutOfRangeError(op, `index ${index} is out of range for dimension ${dim} of size ${size}; ${range}.`)
}

function index_select(args: KernelArguments<'index_select', HostView>): void {
  selectRows('indexSelect', args)
}

function embedding({ out, weight, ids }: KernelArguments<'embedding', HostView>): void {
  selectRows('embedding', { out, x: weight, index: ids, dim: 0 })
}

function selectRows(op: string, { out, x, index, dim }: KernelArguments<'index_select', HostView>): void {
  const { outer, size, inner: elements } = around(x.shape, dim)
  const count = countOf(index.shape)
  // Rows of blocks are rows of bytes.
  const inner = arrayLength(x.dtype, elements)
  const [first, begin] = [arrayLength(x.dtype, x.offset), arrayLength(out.dtype, out.offset)]
  for (let i = 0; i < count; i++) {
    const row = checked(op, index.data[index.offset + i] as number, size, dim)
    for (let a = 0; a < outer; a++) {
      const from = first + (a * size + row) * inner
      const to = begin + (a * count + i) * inner
      for (let b = 0; b < inner; b++) out.data[to + b] = x.data[from + b] as number
    }
  }
}

function index_add({ dx, ...others }: KernelArguments<'index_add', HostView>): void {
  clear(dx)
  index_accumulate({ sum: dx, ...others })
}

function index_accumulate({ sum, dy, index, dim, skip }: KernelArguments<'index_accumulate', HostView>): void {
  const { outer, size, inner } = around(sum.shape, dim)
  const count = countOf(index.shape)
  for (let i = 0; i < count; i++) {
    const wanted = index.data[index.offset + i] as number
    if (wanted === skip) continue
    const row = checked('indexAdd', wanted, size, dim)
    for (let a = 0; a < outer; a++) {
      const to = sum.offset + (a * size + row) * inner
      const from = dy.offset + (a * count + i) * inner
      for (let b = 0; b < inner; b++) sum.data[to + b] = (sum.data[to + b] as number) + (dy.data[from + b] as number)
    }
  }
}

/**
 * Visits each element of the index. `at` is its place, which is also the place in the small tensor, and `found` is the
 * place in the large tensor that it names.
 */
function visit(
  op: string,
  index: HostView,
  small: HostView,
  large: HostView,
  dim: number,
  element: (at: number, found: number) => void,
): void {
  const size = large.shape[dim] ?? 1
  const stride = large.strides[dim] ?? 0
  const rest = { offset: large.offset, strides: large.strides.map((s, d) => (d === dim ? 0 : s)) }
  walk(index.shape, [index, small, rest], (n, [i = 0, at = 0, base = 0], [di = 0, step = 0, dbase = 0]) => {
    for (let k = 0; k < n; k++) {
      const wanted = checked(op, index.data[i + k * di] as number, size, dim)
      element(at + k * step, base + k * dbase + wanted * stride)
    }
  })
}

function gather({ out, x, index, dim }: KernelArguments<'gather', HostView>): void {
  visit('gather', index, out, x, dim, (at, found) => {
    out.data[at] = x.data[found] as number
  })
}

function scatter_add({ dx, dy, index, dim }: KernelArguments<'scatter_add', HostView>): void {
  clear(dx)
  visit('scatterAdd', index, dy, dx, dim, (at, found) => {
    dx.data[found] = (dx.data[found] as number) + (dy.data[at] as number)
  })
}

function scatter_into({ dst, src, index, dim }: KernelArguments<'scatter_into', HostView>): void {
  visit('scatter', index, src, dst, dim, (at, found) => {
    dst.data[found] = src.data[at] as number
  })
}

const together: readonly ((a: number, b: number) => number)[] = [(a, b) => a + b, Math.imul, Math.max, Math.min]

function scatter_accumulate({ value, src, index, dim, by }: KernelArguments<'scatter_accumulate', HostView>): void {
  const both = by === 1 && value.dtype !== 'int32' ? (a: number, b: number) => a * b : together[by]
  if (both === undefined) throw new InternalError('scatter_accumulate', `unknown reduction ${by}`)
  visit('scatter', index, src, value, dim, (at, found) => {
    value.data[found] = both(value.data[found] as number, src.data[at] as number)
  })
}

export const indexing = {
  index_select,
  embedding,
  index_add,
  index_accumulate,
  gather,
  scatter_add,
  scatter_into,
  scatter_accumulate,
} satisfies Pick<
  Kernels<HostView>,
  | 'index_select'
  | 'embedding'
  | 'index_add'
  | 'index_accumulate'
  | 'gather'
  | 'scatter_add'
  | 'scatter_into'
  | 'scatter_accumulate'
>
