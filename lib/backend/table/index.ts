/**
 * The table of kernels. Every kernel of any device has one row, in the file of its family, in the grammar of
 * grammar.ts. The types of a backend's kernels (`Kernels`) derive from it, and `npm run generate` writes the C++
 * declarations, the decoder's rows and the writers of calls from it. The cost of calls, their precision and their
 * dtypes are read at run time.
 */
import { late } from '../../core/late.js'
import { attention } from './attention.js'
import { conv } from './conv.js'
import { elementwise } from './elementwise.js'
import { gated } from './gated.js'
import type { ArgumentsOf, KernelRows } from './grammar.js'
import { indexing } from './indexing.js'
import { interpolate } from './interpolate.js'
import { linalg } from './linalg.js'
import { loss } from './loss.js'
import { matmul } from './matmul.js'
import { norm } from './norm.js'
import { optimizer } from './optimizer.js'
import { pool } from './pool.js'
import { random } from './random.js'
import { recurrent } from './recurrent.js'
import { reduce } from './reduce.js'
import { shape } from './shape.js'
import { softmax } from './softmax.js'
import { sort } from './sort.js'

export {
  dtypesOf,
  type KernelSpec,
  longestIntegers,
  type ParsedArgument,
  type PhiloxPosition,
  parseArguments,
} from './grammar.js'

/** The rows by family. A family has the same name on every floor. */
export const families = {
  elementwise,
  gated,
  shape,
  reduce,
  sort,
  indexing,
  matmul,
  linalg,
  conv,
  pool,
  interpolate,
  norm,
  softmax,
  loss,
  recurrent,
  attention,
  random,
  optimizer,
} as const satisfies { readonly [family: string]: KernelRows }

export type Family = keyof typeof families

export const kernels = {
  ...elementwise,
  ...gated,
  ...shape,
  ...reduce,
  ...sort,
  ...indexing,
  ...matmul,
  ...linalg,
  ...conv,
  ...pool,
  ...interpolate,
  ...norm,
  ...softmax,
  ...loss,
  ...recurrent,
  ...attention,
  ...random,
  ...optimizer,
} as const

export type KernelTable = typeof kernels
export type KernelName = keyof KernelTable

/** The arguments of kernel K, with V as the type of tensors. */
export type KernelArguments<K extends KernelName, V> = ArgumentsOf<KernelTable[K]['args'], V>

type OptionalName = {
  [K in KernelName]: KernelTable[K] extends { optional: true } ? K : never
}[KernelName]

/** The kernels of a backend written in TypeScript. It does not compile if a required kernel is missing. */
export type Kernels<V> = {
  readonly [K in Exclude<KernelName, OptionalName>]: (args: KernelArguments<K, V>) => void
} & {
  readonly [K in OptionalName]?: (args: KernelArguments<K, V>) => void
}

/** The names of all kernels. Calls number kernels by their index here. */
export const kernelNames = Object.keys(kernels) as readonly KernelName[]

const familyNames = late(() => {
  const names = new Map<string, Family>()
  for (const [family, rows] of Object.entries(families))
    for (const kernel of Object.keys(rows)) names.set(kernel, family as Family)
  return names
})

/** The family whose file has the kernel's row. */
export function familyOf(kernel: string): Family | undefined {
  return familyNames().get(kernel)
}

/** The function that a late error of the kernel names. */
export function calledAs(kernel: string): string {
  const table: KernelRows = kernels
  return table[kernel]?.calledAs ?? kernel
}
