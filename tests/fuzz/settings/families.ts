/** The families of settings that are drawn. */
import { arranged } from './arranged.js'
import { attention } from './attention.js'
import { promotion } from './dtypes.js'
import { einsum, gathered, reduction } from './elements.js'
import { convolution, grid, interpolate, pool } from './images.js'
import { embedding, norm } from './layers.js'
import { loss } from './losses.js'
import { optimizer } from './optimizers.js'
import { recurrence } from './recurrent.js'
import { schedule } from './schedules.js'
import type { Choices, Setting } from './setting.js'
import { sorted } from './sorted.js'

export const families: { readonly [name: string]: (draw: Choices) => Setting } = {
  gathered,
  reduction,
  einsum,
  promotion,
  interpolate,
  grid,
  pool,
  convolution,
  norm,
  embedding,
  loss,
  recurrence,
  attention,
  optimizer,
  schedule,
  sorted,
  arranged,
}
