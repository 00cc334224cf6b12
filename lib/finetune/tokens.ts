/**
 * Tokens whose embeddings learn with an adapter, and the layers that get rows for them, by the option or the field that
 * names them.
 */
import { shown, ValueError } from '../core/errors.js'
import { type Adaptable, isAdaptable } from '../nn/adapter.js'
import type { Module } from '../nn/module.js'
import { ownModules } from './adapters.js'
import type { Naming } from './names.js'
import type { PlannedPlace } from './plan.js'
import { byNames, type Named, quoted } from './select.js'
import { checkRows, rowsOf, TokenRows } from './token-rows.js'

/** Tokens of the input embedding, or of embeddings by their names: paths or their last parts. */
export type TokenIndices = readonly number[] | { readonly [module: string]: readonly number[] }

/** A model with an embedding of its tokens, whose weight other layers may share. */
type Ended = Module & { inputEmbedding?(): unknown }

/**
 * The places in a model that get rows of tokens. Throws ValueError for layers that cannot have any, and for invalid
 * tokens.
 */
export function planTokens(
  op: string,
  model: Ended,
  name: string,
  given: TokenIndices | undefined,
  whole: ReadonlySet<Module>,
  naming: Naming,
): PlannedPlace[] {
  if (given === undefined) return []
  const all = ownModules(model, naming)
  const input = model.inputEmbedding?.()
  const wanted = new Map<Adaptable, { readonly path: string; readonly indices: readonly number[] }>()
  for (const [[path, layer], indices] of named(op, all, input, given)) {
    if (whole.has(layer))
      throw new ValueError(op, `modulesToSave and trainableTokenIndices both name ${path}; use one of them`)
    const count = isAdaptable(layer) ? rowsOf(layer) : null
    if (!isAdaptable(layer) || count === null || layer.bias !== null)
      throw new ValueError(
        op,
        `trainableTokenIndices names ${path === '' ? 'the model itself' : path}, but rows are for embeddings and for linear layers without a bias`,
      )
    checkRows(op, path, indices, count)
    wanted.set(layer, { path, indices })
  }
  const first = isAdaptable(input) ? wanted.get(input) : undefined
  const tied = isAdaptable(input)
    ? all.filter(
        (named): named is Named<Adaptable> =>
          named[1] !== input &&
          isAdaptable(named[1]) &&
          named[1].adaptation.weight.storage === input.adaptation.weight.storage,
      )
    : []
  // Layers with the embedding's weight, such as the head, read its rows, unless one has some for other tokens.
  const areSame = ([, layer]: Named<Adaptable>) =>
    first !== undefined && areEqual(first.indices, (wanted.get(layer) ?? first).indices)
  if (first === undefined || !tied.every(areSame))
    return [...wanted].map(([layer, { path, indices }]) => place(path, layer, name, indices).planned)
  if (tied.some(([, { bias }]) => bias !== null))
    throw new ValueError(
      op,
      'trainableTokenIndices: the head shares the weight of the embedding and has a bias, which PEFT leaves out there',
    )
  const owner = place(first.path, input as Adaptable, name, first.indices)
  const others = [...wanted].filter(([layer]) => layer !== input && tied.every(([, each]) => each !== layer))
  return [
    owner.planned,
    ...tied.map(([path, layer]) => place(path, layer, name, first.indices, owner.adapter).planned),
    ...others.map(([layer, each]) => place(each.path, layer, name, each.indices).planned),
  ]
}

/** The named modules, with their tokens. */
function named(
  op: string,
  all: readonly Named[],
  input: unknown,
  given: TokenIndices,
): (readonly [Named, readonly number[]])[] {
  const isList = (value: unknown): value is readonly number[] => Array.isArray(value)
  if (isList(given)) {
    const found = all.find(([, module]) => module === input)
    if (found === undefined)
      throw new ValueError(
        op,
        "trainableTokenIndices is a list, but the model has no inputEmbedding() to which it could apply; give { 'embedding': [..] }",
      )
    return [[found, given]]
  }
  if (typeof given !== 'object' || given === null || !Object.values(given).every(isList))
    throw new ValueError(
      op,
      `trainableTokenIndices is ${shown(given)}, but must be a list of tokens, or an object of such lists by module`,
    )
  const names = Object.keys(given)
  if (names.length === 0) throw new ValueError(op, `trainableTokenIndices names no module; leave it out`)
  const found = names.flatMap((each) =>
    byNames(op, 'trainableTokenIndices', [each], all).map((one) => [one, given[each] as readonly number[]] as const),
  )
  const twice = found.filter(([[, module]], i) => found.findIndex(([[, other]]) => other === module) < i)
  if (twice.length > 0)
    throw new ValueError(op, `trainableTokenIndices names ${quoted(twice.map(([[path]]) => path))} twice`)
  return found
}

function areEqual(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i])
}

/**
 * A place for rows, and the way to get the adapter that was made for it. `owner` has the rows of a layer that shares
 * the weight.
 */
function place(
  fileName: string,
  layer: Adaptable,
  name: string,
  indices: readonly number[],
  owner: (() => TokenRows) | null = null,
): { readonly planned: PlannedPlace; readonly adapter: () => TokenRows } {
  let made: TokenRows | null = null
  const make = () => {
    const there = layer.adapters.get(name)
    const fits =
      there instanceof TokenRows && areEqual(there.indices, indices) && there.isOf(owner === null ? null : owner())
    made = fits ? there : new TokenRows(layer, indices, owner?.())
    return made
  }
  return { planned: { fileName, layer, make, settle: () => undefined }, adapter: () => made ?? make() }
}
