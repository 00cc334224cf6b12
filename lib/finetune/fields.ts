/** A JSON file of unknown origin, read field by field. All faults are reported in one error. */
import { ValueError } from '../core/errors.js'

/** A value of the file as it stands there, or the beginning of a long one. */
export function asJson(value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined'
  return text.length > 100 ? `${text.slice(0, 100)}...` : text
}

/** A file of unknown origin. Nothing is known of any field. */
export type Fields = { readonly [field: string]: unknown }

export const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value)
export const isRank = (value: unknown): value is number => isNumber(value) && Number.isInteger(value) && value > 0
export const isShare = (value: unknown): value is number => isNumber(value) && value >= 0 && value <= 1
export const isFlag = (value: unknown): value is boolean => typeof value === 'boolean'
export const isNames = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((name) => typeof name === 'string' && name !== '')
export const isTargets = (value: unknown): value is readonly string[] | string =>
  typeof value === 'string' ? value !== '' : isNames(value) && value.length > 0
export const isNothingOr =
  <T>(is: (value: unknown) => value is T) =>
  (value: unknown): value is T | null =>
    value === null || (Array.isArray(value) && value.length === 0) || value === '' || is(value)
export const isBlock = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
export const isBlocks = (value: unknown): value is number | readonly number[] =>
  isBlock(value) || (Array.isArray(value) && value.length > 0 && value.every(isBlock))
export const areTokens = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.length > 0 && value.every(isBlock)
export const isTokens = (
  value: unknown,
): value is readonly number[] | { readonly [module: string]: readonly number[] } =>
  areTokens(value) ||
  (typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(areTokens))
export const isBias = (value: unknown): value is 'none' | 'all' | 'lora_only' =>
  value === 'none' || value === 'all' || value === 'lora_only'
export const isTable =
  (is: (value: unknown) => boolean) =>
  (value: unknown): value is { readonly [key: string]: number } =>
    typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(is)

function isNothing(value: unknown): boolean {
  if (value === null || value === undefined || value === false) return true
  return typeof value === 'object' && Object.keys(value).length === 0
}

/** Whether a field that may be empty is not. */
export function isGiven<T>(value: T | null): value is T {
  return value !== null && !(Array.isArray(value) && value.length === 0) && (value as unknown) !== ''
}

export class FieldReader {
  readonly #op: string
  readonly #path: string
  readonly #known = new Set<string>()
  readonly fields: Fields
  readonly faults: string[] = []

  constructor(op: string, path: string, json: unknown) {
    if (typeof json !== 'object' || json === null || Array.isArray(json))
      throw new ValueError(op, `${path} holds ${asJson(json)}, but must hold an object`)
    this.#op = op
    this.#path = path
    this.fields = json as Fields
  }

  /** The field if it exists and is right, or the fault. */
  take<T>(field: string, is: (value: unknown) => value is T, what: string, absent?: T): T {
    this.#known.add(field)
    const given = Object.hasOwn(this.fields, field) ? this.fields[field] : undefined
    const value = given ?? absent
    if (!is(value)) this.faults.push(`${field} is ${asJson(given)}, but must be ${what}`)
    return value as T
  }

  /** Throws, naming every fault, and every unread field whose value is not the one that switches it off. */
  finish(idle: ReadonlySet<string>, off: Fields): void {
    const unknown: string[] = []
    for (const [field, value] of Object.entries(this.fields)) {
      if (this.#known.has(field) || idle.has(field)) continue
      const right = Object.hasOwn(off, field) ? off[field] : null
      // PEFT leaves null for settings that were never made, and adds settings that are unknown here.
      if (value !== right && !isNothing(value))
        unknown.push(`${field} is ${asJson(value)}; only ${asJson(right)} can be loaded`)
    }
    const faults = [...unknown, ...this.faults]
    if (faults.length > 0) throw new ValueError(this.#op, `${this.#path}: ${faults.join('; ')}`)
  }
}
