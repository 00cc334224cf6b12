/** The cases of views and copies, in three files. */
import type { Case, ErrorCase } from '../case.js'
import type { PublicCall } from '../sound.js'
import type { ZeroSizes } from '../zero.js'
import * as rearrange from './rearrange.js'
import * as views from './views.js'
import * as windows from './windows.js'

export const cases: readonly Case[] = [...views.cases, ...rearrange.cases, ...windows.cases]
export const errors: readonly ErrorCase[] = [...views.errors, ...rearrange.errors, ...windows.errors]
export const calls: readonly PublicCall[] = [...views.calls, ...rearrange.calls, ...windows.calls]
export const layers = windows.layers
export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  ...views.zeroSizes,
  ...rearrange.zeroSizes,
  ...windows.zeroSizes,
}
