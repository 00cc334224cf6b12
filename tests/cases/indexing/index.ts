/** The cases of indices and masks, in several files. */
import type { Case, ErrorCase } from '../case.js'
import type { PublicCall } from '../sound.js'
import type { ZeroSizes } from '../zero.js'
import * as bags from './bags.js'
import * as items from './items.js'
import * as rows from './rows.js'
import * as scatter from './scatter.js'

export const cases: readonly Case[] = [...rows.cases, ...bags.cases, ...scatter.cases, ...items.cases]
export const errors: readonly ErrorCase[] = [...rows.errors, ...bags.errors, ...scatter.errors, ...items.errors]
export const calls: readonly PublicCall[] = [...rows.calls, ...bags.calls, ...scatter.calls, ...items.calls]
export const layers: readonly PublicCall[] = bags.layers
export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  ...rows.zeroSizes,
  ...bags.zeroSizes,
  ...scatter.zeroSizes,
  ...items.zeroSizes,
}
/** The number of cases that are excused, by check. */
export const excused = rows.excused
