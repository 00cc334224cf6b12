/** The reason why an object cannot be copied to another thread. JavaScript tells it when it would copy the object. */
import { ValueError } from './errors.js'
import { printed } from './host.js'

/**
 * The value of a property of an object that must not be copied: structuredClone, postMessage and v8.serialize refuse
 * symbols, and quote them in their DataCloneError. A getter that throws would say it more plainly. But it would also
 * throw for code that only looks through an object, as `scope` does with its results.
 */
export class Uncloneable {
  readonly refusal: symbol

  constructor(op: string, why: string) {
    this.refusal = Symbol(`[${op}] ${why}`)
  }

  /** Left out of JSON, because writing JSON copies nothing. */
  toJSON(): undefined {
    return undefined
  }

  /** The printed form is short, because it appears wherever its holder is printed. */
  [printed](): string {
    return 'Uncloneable'
  }
}

/** Makes JSON.stringify throw for a Map of tensors, instead of writing `{}`. The property is not enumerable. */
export function refuseJson<M extends ReadonlyMap<string, unknown>>(map: M, op: string, why: string): M {
  const toJSON = (): never => {
    throw new ValueError(op, why)
  }
  return Object.defineProperty(map, 'toJSON', { value: toJSON })
}
