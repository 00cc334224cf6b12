/** All cases, by family. */
import type fc from 'fast-check'
import * as attention from './attention.js'
import type { Case, Check, ErrorCase } from './case.js'
import * as conv from './conv.js'
import * as creation from './creation.js'
import * as elementwise from './elementwise.js'
import * as gated from './gated.js'
import * as indexing from './indexing/index.js'
import * as interpolate from './interpolate.js'
import * as linalg from './linalg.js'
import * as loss from './loss/index.js'
import * as matmul from './matmul.js'
import * as norm from './norm.js'
import * as optimizer from './optimizer.js'
import * as pool from './pool.js'
import * as random from './random.js'
import * as recurrent from './recurrent.js'
import * as reduce from './reduce.js'
import * as shape from './shape/index.js'
import * as softmax from './softmax.js'
import * as sort from './sort.js'
import type { PublicCall } from './sound.js'
import type { ZeroSizes } from './zero.js'

export interface Family {
  readonly cases: readonly Case[]
  readonly errors: readonly ErrorCase[]
  /** The number of cases that are excused, by check. */
  readonly excused?: { readonly [K in Check]?: number }
  /** A sound call of each public function. */
  readonly calls?: readonly PublicCall[]
  /** Sound calls of the family's layers, from `layer`. */
  readonly layers?: readonly PublicCall[]
  /** A call of each public function, by name, whose sizes can be 0. */
  readonly zeroSizes?: { readonly [call: string]: ZeroSizes }
  /** Cases of any shapes and options. */
  readonly properties?: readonly { readonly name: string; readonly cases: fc.Arbitrary<Case> }[]
}

export const families: { readonly [name: string]: Family } = {
  elementwise,
  gated,
  reduce,
  sort,
  shape,
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
  creation,
  random,
  optimizer,
}
