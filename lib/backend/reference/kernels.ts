/** The reference device's kernels: the meaning of every kernel, in plain TypeScript. A missing one does not compile. */
import type { Kernels } from '../kernels.js'
import { attention } from './attention.js'
import { conv } from './conv.js'
import { elementwise } from './elementwise.js'
import { indexing } from './indexing.js'
import { matmul } from './matmul.js'
import { optimizer } from './optimizer.js'
import { pool } from './pool.js'
import { random } from './random.js'
import { recurrent } from './recurrent.js'
import { reduce } from './reduce.js'
import { shape } from './shape.js'
import { softmax } from './softmax.js'
import type { HostView } from './view.js'

export const referenceKernels: Kernels<HostView> = {
  ...elementwise,
  ...shape,
  ...reduce,
  ...indexing,
  ...matmul,
  ...conv,
  ...pool,
  ...softmax,
  ...recurrent,
  ...attention,
  ...random,
  ...optimizer,
}
