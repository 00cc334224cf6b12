/** Why something cannot be copied to another thread, told where JavaScript would copy it. */
import { ValueError } from './errors.js'
import { printed } from './host.js'

/**
 * Stands in a property of what must not be copied: structuredClone, postMessage and v8.serialize refuse symbols, and quote them
 * in their DataCloneError. A getter that throws would say it more plainly, but also to whoever only looks through an object,
 * as `scope` does with what it returns.
 */
export class Uncloneable {
  readonly refusal: symbol

  constructor(op: string, why: string) {
    this.refusal = Symbol(`[${op}] ${why}`)
  }

  /** Left out, because whoever writes JSON copies nothing. */
  toJSON(): undefined {
    return undefined
  }

  /** Short, because it is seen by whoever prints what holds it. */
  [printed](): string {
    return 'Uncloneable'
  }
}

/** Makes JSON.stringify throw for a Map of tensors, of which it would write `{}`. The property is not enumerable. */
export function refuseJson<M extends ReadonlyMap<string, unknown>>(map: M, op: string, why: string): M {
  const toJSON = (): never => {
    throw new ValueError(op, why)
  }
  return Object.defineProperty(map, 'toJSON', { value: toJSON })
}
