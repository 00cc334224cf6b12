/** Kinds of values in configs. A description completes the sentence 'but must be ...'. */
import * as z from 'zod'

export const count = (what: string) => z.int().positive().describe(`a whole number of at least 1: ${what}`)
export const positive = (what: string) => z.number().positive().describe(`a positive number: ${what}`)
export const share = (what: string) => z.number().min(0).lt(1).describe(`a number from 0 to below 1: ${what}`)
export const flag = (what: string) => z.boolean().describe(`true or false: ${what}`)
export const path = (what: string) => z.string().min(1).describe(`a path: ${what}`)
export const column = (what: string) => z.string().min(1).describe(`the name of the column that holds ${what}`)
export const factor = (what: string) => z.number().positive().max(1).describe(`a number above 0, at most 1: ${what}`)
export const names = (what: string) => z.array(z.string().min(1)).min(1).describe(`a list of names: ${what}`)

/** A text, or a list of texts. */
export const oneOrMore = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)])
