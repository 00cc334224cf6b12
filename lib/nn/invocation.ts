/**
 * Activated LoRA (Greenewald et al., 2025): an adapter that acts from the last occurrence of its invocation on, so that
 * the keys and values of the text before are those of the base. A model tells the layers of a call which columns an
 * invocation reaches.
 */
import { noGrad } from '../autograd/mode.js'
import { chosenFor, currentChoice, withChoice } from '../core/choice.js'
import type { Tensor } from '../core/tensor.js'
import { castTo } from '../ops/convert.js'
import { arange, zeros } from '../ops/creation.js'
import { eq, ge, gt, logicalAnd, maximum, mul } from '../ops/elementwise/index.js'
import { amax } from '../ops/reduce/index.js'
import { cat, narrow, unsqueeze } from '../ops/shape/index.js'

/** The object for which the reached columns of a call stand in. */
const call = {}

/** The invocations that earlier calls of the same texts found, [B, 1], by name. */
export interface Reached {
  reachedBy(name: string): Tensor | null
  noteReached(name: string, reached: Tensor): void
}

interface Call {
  /** int32 [B, T] */
  readonly ids: Tensor
  /** int32 [B, T]: the number of each token's document, or null if a row is one. */
  readonly documents: Tensor | null
  /** The number of a prompt's columns that the layers compute before those of the ids. */
  readonly before: number
  readonly cache: Reached | null
}

const nameOf = (tokens: readonly number[]): string => tokens.join(' ')

/**
 * 1 for each column from the last occurrence of the tokens on, float32 [B, T], for int32 ids [B, T]. If rows contain
 * several documents, an occurrence reaches its own.
 */
function reachIn(ids: Tensor, tokens: readonly number[], documents: Tensor | null): Tensor {
  const { device } = ids
  const [rows, columns] = ids.sizes as readonly [number, number]
  const places = columns - tokens.length + 1
  if (places < 1) return zeros([rows, columns], { device })
  const matches = tokens.map((token, i): Tensor => eq(narrow(ids, 1, i, places), token))
  const first = documents === null ? null : narrow(documents, 1, 0, places)
  if (documents !== null && first !== null) matches.push(eq(first, narrow(documents, 1, tokens.length - 1, places)))
  const found = matches.reduce((all, each): Tensor => logicalAnd(all, each))
  const numbers = mul(castTo(found, 'float32'), arange(1, places + 1, 1, { dtype: 'float32', device }))
  // The number of the column at which the last occurrence begins, from 1, or 0 if there is none.
  const start =
    documents === null || first === null
      ? amax(numbers, 1, { keepdim: true })
      : amax(mul(castTo(eq(unsqueeze(documents, 2), unsqueeze(first, 1)), 'float32'), unsqueeze(numbers, 1)), 2)
  const column = arange(1, columns + 1, 1, { dtype: 'float32', device })
  return castTo(logicalAnd(ge(column, start), gt(start, 0)), 'float32')
}

/** The invocations of a model's adapters. */
export class Invocations {
  readonly #known = new Map<string, readonly number[]>()

  add(tokens: readonly number[]): void {
    this.#known.set(nameOf(tokens), [...tokens])
  }

  /** Runs the layers of a call. A row that an invocation reached in an earlier call of the cache stays reached. */
  within<R>(op: string, { ids, documents, before, cache }: Call, run: () => R): R {
    if (this.#known.size === 0) return run()
    const reached = new Map<string, Tensor>()
    noGrad(() => {
      const [rows, columns] = ids.sizes as readonly [number, number]
      for (const [name, tokens] of this.#known) {
        const earlier = cache?.reachedBy(name) ?? null
        const own = reachIn(ids, tokens, documents)
        const all: Tensor = earlier === null ? own : maximum(own, earlier)
        cache?.noteReached(name, narrow(all, 1, columns - 1, 1))
        const whole = before === 0 ? all : cat([zeros([rows, before], { device: ids.device }), all], 1)
        reached.set(name, unsqueeze(whole, 2))
      }
    })
    return withChoice(op, { values: new Map([[call, reached]]), outer: currentChoice() }, run)
  }
}

/** A model whose calls tell adapters what their invocations reach. */
export interface Invoked {
  readonly invocations: Invocations
}

export function isInvoked(model: object): model is Invoked {
  return 'invocations' in model && model.invocations instanceof Invocations
}

/** 1 for each column [B, T, 1] of the current call that an invocation reaches, and 0 for others; null outside of calls. */
export function reachOf(tokens: readonly number[]): Tensor | null {
  const reached = chosenFor(call) as ReadonlyMap<string, Tensor> | null | undefined
  return reached?.get(nameOf(tokens)) ?? null
}
