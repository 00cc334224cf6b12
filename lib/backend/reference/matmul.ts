/** out = a b + bias, batched: one product of matrices for each element of the batch, or for several of them at once. */
import { countOf } from '../../core/shape.js'
import type { KernelArguments, Kernels } from '../table/index.js'
import { gemm, spaced } from './gemm.js'
import { isHalf, widened } from './half.js'
import { convert } from './shape.js'
import type { HostView } from './view.js'
import { walk } from './walk.js'

/** `added` is a bias, or out itself. */
function multiply(out: HostView, a: HostView, b: HostView, added: HostView | null): void {
  const rank = out.shape.length
  const [M, K] = a.shape.slice(-2) as [number, number]
  const N = b.shape.at(-1) as number
  const [aRow, aCol] = a.strides.slice(-2) as [number, number]
  const [bRow, bCol] = b.strides.slice(-2) as [number, number]

  const product = (rows: number, aRow: number, c0: number, a0: number, b0: number) => {
    const c = { data: out.data, rows: spaced(rows, N, c0), cols: spaced(N, 1) }
    const initial =
      added === out ? c : added && { data: added.data, rows: spaced(rows, 0, added.offset), cols: spaced(N, 1) }
    gemm(
      c,
      { data: a.data, rows: spaced(rows, aRow, a0), cols: spaced(K, aCol) },
      { data: b.data, rows: spaced(K, bRow, b0), cols: spaced(N, bCol) },
      initial,
    )
  }

  walk(out.shape.slice(0, rank - 2), [out, a, b], (n, [c0 = 0, a0 = 0, b0 = 0], [cStep = 0, aStep = 0, bStep = 0]) => {
    // Where b is one matrix and the batches of a follow each other evenly, their rows are the rows of one product.
    if (bStep === 0 && M === 1) product(n, aStep, c0, a0, b0)
    else if (bStep === 0 && aStep === M * aRow) product(n * M, aRow, c0, a0, b0)
    else for (let k = 0; k < n; k++) product(M, aRow, c0 + k * cStep, a0 + k * aStep, b0 + k * bStep)
  })
}

/** 16-bit floats are widened, and sums narrowed at the end. */
function matmulKernel({ out, a, b, bias }: KernelArguments<'matmul', HostView>): void {
  const sums: HostView = isHalf(out.dtype)
    ? { ...out, data: new Float32Array(countOf(out.shape)), dtype: 'float32', offset: 0 }
    : out
  multiply(sums, widened(a), widened(b), bias && widened(bias))
  if (sums !== out) convert(out, sums)
}

function matmul_accumulate({ sum, a, b }: KernelArguments<'matmul_accumulate', HostView>): void {
  multiply(sum, widened(a), widened(b), sum)
}

export const matmul = { matmul: matmulKernel, matmul_accumulate } satisfies Pick<
  Kernels<HostView>,
  'matmul' | 'matmul_accumulate'
>
