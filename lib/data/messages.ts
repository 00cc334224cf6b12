/** The messages between a loader and its threads. */
import type { RowDTypes } from './collate.js'
import type { Packed } from './packed.js'
import type { Description } from './recipe.js'
import type { SeededPass } from './row-context.js'

/** The data with which a thread is started. */
export interface WorkerTask {
  readonly dataset: Description
  /** The number of rows of the dataset in the loader's thread, which must be the same in the others. */
  readonly length: number
  readonly dtypes: RowDTypes | undefined
  /** Whether the loader chose the dtypes, so that rows are put together by them even if the dataset makes batches. */
  readonly chosen: boolean
}

/** A batch that the loader requests. */
export interface Asked {
  readonly id: number
  readonly indices: readonly number[]
  readonly pass: SeededPass
}

/** An error in a thread, in this form because errors lose their class and properties on the way. */
export interface Fault {
  readonly name: string
  readonly message: string
  readonly stack: string
  readonly row: number | null
}

/** A batch, or the reason why there is none. Without an id the fault concerns the whole thread. */
export type Answer =
  | { readonly id: number; readonly batch: Packed }
  | { readonly id: number; readonly fault: Fault }
  | { readonly id: null; readonly fault: Fault }
