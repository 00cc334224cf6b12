/** Options objects of calls: what is misspelt in one must not be ignored. */
import { ValueError } from './errors.js'

/** Every name of an options type; the compiler sees to it that none is left out. */
export type OptionNames<O> = { readonly [K in keyof O]-?: true }

/**
 * The options, if they are an object that has no other names. The compiler says so in TypeScript; in JavaScript a misspelt
 * option would be taken for one left out. Throws ValueError that lists the unknown names and those there are.
 */
export function checkOptions<O extends object>(op: string, options: O, names: OptionNames<O>): O {
  if (typeof options !== 'object' || options === null)
    throw new ValueError(op, `options are ${String(options)}, but must be an object, or left out`)
  for (const name in options) {
    if (Object.hasOwn(names, name)) continue
    const unknown = Object.keys(options).filter((key) => !Object.hasOwn(names, key))
    throw new ValueError(op, `there is no option ${unknown.join(', ')}; there are ${Object.keys(names).join(', ')}`)
  }
  return options
}
