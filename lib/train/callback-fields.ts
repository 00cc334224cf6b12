/** Fields of callbacks that change during a fit, although no checkpoint holds them. */
import { kindOf } from '../core/errors.js'
import { warn } from '../core/host.js'
import type { Callback } from './callbacks.js'
import { isResumable } from './resume.js'

/** The content of each own data field of a callback, in a form that can be compared. */
type Fields = ReadonlyMap<string, unknown>

/** A primitive value, the size of a collection, or a number that stands for another object. */
function contentOf(value: unknown, ids: WeakMap<object, symbol>): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value) || ArrayBuffer.isView(value))
    return `${(value as { readonly length?: number }).length} items`
  if (value instanceof Map || value instanceof Set) return `${value.size} items`
  // The object itself is not held, because it may be large.
  const id = ids.get(value) ?? Symbol()
  ids.set(value, id)
  return id
}

function fieldsOf(callback: object, ids: WeakMap<object, symbol>): Fields {
  const own = Object.entries(Object.getOwnPropertyDescriptors(callback))
  return new Map(
    own
      .filter(([, { enumerable, value }]) => enumerable && typeof value !== 'function')
      .map(([name, { value }]) => [name, contentOf(value, ids)]),
  )
}

/** Watches the fields of callbacks without a state. Closures and #private fields cannot be seen. */
export class CallbackFields {
  readonly #callbacks: readonly Callback[]
  readonly #ids = new WeakMap<object, symbol>()
  readonly #before: readonly Fields[]
  #told = false

  /** The fields are those after `onStart`, which runs again when a fit is resumed. */
  constructor(callbacks: readonly Callback[]) {
    this.#callbacks = callbacks
    this.#before = callbacks.map((callback) => fieldsOf(callback, this.#ids))
  }

  /** Warns once of fields that have changed, because a resumed fit would have their first values. */
  tell(op: string): void {
    if (this.#told) return
    for (const [i, callback] of this.#callbacks.entries()) {
      if (isResumable(callback)) continue
      const now = fieldsOf(callback, this.#ids)
      const changed = [...now].filter(([name, value]) => !Object.is(value, this.#before[i]?.get(name)))
      if (changed.length === 0) continue
      this.#told = true
      warn(
        `[${op}] callback ${i}, ${kindOf(callback)}, changes its ${changed.map(([name]) => name).join(', ')}, but has no stateDict() and ` +
          'loadStateDict(), so checkpoints leave these out, and a resumed run begins with their first values; give it both methods, ' +
          'or make fields #private that need not continue',
      )
      return
    }
  }
}
