/** Whether the default export of a config's module is plain data, as YAML and JSON are. */
import { kindOf } from '../../core/errors.js'

interface Open {
  readonly value: unknown
  readonly name: string
  /** The tables and lists around the value. */
  readonly around: readonly unknown[]
}

const named = (name: string) => (name === '' ? 'the default export' : name)

function wrongIn({ value, name, around }: Open): string | null {
  if (typeof value === 'number')
    return Number.isNaN(value) ? `${named(name)} is NaN, but must be a number; correct what computes it` : null
  if (value === null || ['string', 'boolean', 'undefined'].includes(typeof value)) return null
  if (typeof value !== 'object')
    return `${named(name)} is ${kindOf(value)}, but a config holds plain data; give its value`
  if (around.includes(value)) return `${named(name)} contains itself, but a config holds plain data; leave it out`
  if (typeof (value as { then?: unknown }).then === 'function')
    return `${named(name)} is a promise, but a config holds plain data; write await before it`
  const { constructor: made } = value
  if (Array.isArray(value) || made === undefined || made === Object || made.name === 'Object') return null
  return `${named(name)} is an object of the class ${made.name}, but a config holds plain data; give a list or a table`
}

/**
 * The first value that a config cannot hold, in words, or null. JSON would leave out functions and make null of NaN, so
 * that options were ignored.
 */
export function notPlain(config: unknown): string | null {
  if (typeof config !== 'object' || config === null)
    return `the default export is ${kindOf(config)}, but must be an object of options, such as { model: ..., data: ... }`
  const open: Open[] = [{ value: config, name: '', around: [] }]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { value, name } = next
    const wrong = wrongIn(next)
    if (wrong !== null) return wrong
    if (typeof value !== 'object' || value === null) continue
    const around = [...next.around, value]
    for (const [key, inner] of Object.entries(value).reverse())
      open.push({ value: inner, name: name === '' ? key : `${name}.${key}`, around })
  }
  return null
}
