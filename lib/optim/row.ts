/**
 * Calls of rows. They have a file of their own because programs with an optimiser would load the types of all kernels with
 * it, and the package would hold them.
 */
import type { KernelArguments, KernelName, KernelTable } from '../backend/table/index.js'
import type { Tensor } from '../core/tensor.js'
import type { Row } from './round.js'

/** The arguments of a row that the base class fills in. */
type Given = 'params' | 'grads' | 'shadows'

/** The rows that update many parameters in one call. */
type RowName = {
  [K in KernelName]: Given extends keyof KernelTable[K]['args'] ? K : never
}[KernelName]

/**
 * Makes the call of a row from its own arguments, which the compiler checks against the table of kernels.
 */
export function rowOf<K extends RowName>(kernel: K, args: Omit<KernelArguments<K, Tensor>, Given>): Row {
  return { kernel, args }
}
