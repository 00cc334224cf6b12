/**
 * The reference device's kernels, which define the meaning of every kernel in plain TypeScript. If one is missing, this
 * does not compile.
 */
import { late } from '../../core/late.js'
import { type KernelSpec, type Kernels, kernels, parseArguments } from '../table/index.js'
import { attention } from './attention.js'
import { conv } from './conv.js'
import { elementwise } from './elementwise.js'
import { throughFloat32 } from './half.js'
import { indexing } from './indexing.js'
import { interpolate } from './interpolate.js'
import { linalg } from './linalg.js'
import { matmul } from './matmul.js'
import { optimizer } from './optimizer.js'
import { pool } from './pool.js'
import { random } from './random.js'
import { recurrent } from './recurrent.js'
import { reduce } from './reduce.js'
import { shape } from './shape.js'
import { softmax } from './softmax.js'
import { sort } from './sort.js'
import type { HostView } from './view.js'

const written: Kernels<HostView> = {
  ...elementwise,
  ...shape,
  ...reduce,
  ...sort,
  ...indexing,
  ...matmul,
  ...linalg,
  ...conv,
  ...pool,
  ...interpolate,
  ...softmax,
  ...recurrent,
  ...attention,
  ...random,
  ...optimizer,
}

type AnyKernel = (args: { readonly [name: string]: unknown }) => void

/** Kernels are written only for float32 (and float64). Those that also take bfloat16 compute through float32. */
function widening(name: string, kernel: AnyKernel): AnyKernel {
  const spec: KernelSpec = kernels[name as keyof typeof kernels]
  // Kernels that take every dtype copy bits, and need no widening.
  if (!spec.T?.includes('bfloat16') || spec.T.includes('bool')) return kernel
  const results = parseArguments(spec).filter(
    ({ role }) => role === 'out' || role === 'place' || role === 'inout' || role === 'update',
  )
  const names = results.map((arg) => arg.name)
  return (args) => throughFloat32(kernel, args, names)
}

export const referenceKernels = late(
  () =>
    Object.fromEntries(
      Object.entries(written).map(([name, kernel]) => [name, widening(name, kernel as AnyKernel)]),
    ) as unknown as Kernels<HostView>,
)
