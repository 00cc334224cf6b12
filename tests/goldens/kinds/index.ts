/** Every kind of golden case that is one call, by family. */
import { kinds as attention } from './attention.js'
import { kinds as conv } from './conv.js'
import { kinds as elementwise } from './elementwise.js'
import { kinds as indexing } from './indexing.js'
import type { Kinds } from './kind.js'
import { kinds as loss } from './loss.js'
import { kinds as matmul } from './matmul.js'
import { kinds as norm } from './norm.js'
import { kinds as pool } from './pool.js'
import { kinds as recurrent } from './recurrent.js'
import { kinds as reduce } from './reduce.js'
import { kinds as shape } from './shape.js'
import { kinds as softmax } from './softmax.js'
import { kinds as sort } from './sort.js'

export const kinds: Kinds = {
  ...attention,
  ...conv,
  ...elementwise,
  ...indexing,
  ...loss,
  ...matmul,
  ...norm,
  ...pool,
  ...recurrent,
  ...reduce,
  ...shape,
  ...softmax,
  ...sort,
}
