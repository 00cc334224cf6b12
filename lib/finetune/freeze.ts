/** Freezing: the choice of parameters that learn. A frozen weight costs no weight gradient and keeps no activation. */
import { isFloating } from '../core/dtype.js'
import { shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { Adapter } from '../nn/adapter.js'
import { copiesIn } from '../nn/copies.js'
import { type Module, Parameter } from '../nn/module.js'
import { stateless } from '../nn/naming.js'
import { adapterNames } from './adapters.js'
import { depthOf } from './depth.js'
import { checkModel, listed, quoted } from './select.js'

/**
 * Parameters of one kind:
 *
 * - a path of a parameter or of a module ('0', 'encoder.layer1'), with `*` for any characters;
 * - a regular expression on parameter paths;
 * - a number: that many of the model's blocks, counted from the input, with everything in front of them, such as
 *   embeddings. Blocks are those of `nn.WithBlocks`, or the children with parameters if the model declares none;
 * - `{ last: n }`: the last n blocks, with everything behind them, such as a head; with 0, only that;
 * - the adapters of a name, with the modules that are saved with them.
 */
export type Part = string | RegExp | number | { readonly last: number } | { readonly adapter: string }

/** One part of a model, or several together. */
export type Selection = Part | readonly Part[]

type Matcher = (path: string, parameter: Parameter) => boolean

function byDepth(op: string, model: Module, count: number, fromEnd: boolean): Matcher {
  const { blocks, places } = depthOf(model)
  if (!Number.isInteger(count) || count < 0 || count > blocks.length)
    throw new ValueError(
      op,
      `${fromEnd ? 'last' : 'depth'} is ${shown(count)}, but the model has ${blocks.length} blocks with parameters: ` +
        listed(blocks.map(([path]) => path)),
    )
  const place = (parameter: Parameter) => places.get(parameter) ?? blocks.length
  if (fromEnd) return (_, parameter) => place(parameter) >= blocks.length - count
  return (_, parameter) => count > 0 && place(parameter) < count
}

function byAdapter(op: string, model: Module, adapter: string): Matcher {
  const own = model.modules().filter((module) => module instanceof Adapter && module.adapterName === adapter)
  if (own.length === 0)
    throw new ValueError(
      op,
      `there is no adapter named ${shown(adapter)} in the model; there are ${quoted(adapterNames(model))}`,
    )
  const found = new Set<Tensor>(own.flatMap((module) => [...module.parameters()]))
  for (const [, copies] of copiesIn(model)) for (const [, tensor] of copies.get(adapter)?.named ?? []) found.add(tensor)
  return (_, parameter) => found.has(parameter)
}

function byPath(path: string): Matcher {
  const pattern = new RegExp(
    `^${path
      .split('*')
      .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*')}(\\..*)?$`,
  )
  return (path) => pattern.test(path)
}

function matcher(op: string, model: Module, part: Part): Matcher {
  if (part instanceof RegExp) return stateless(part)
  if (typeof part === 'string') return byPath(part)
  if (typeof part === 'number') return byDepth(op, model, part, false)
  if (typeof part !== 'object' || part === null)
    throw new ValueError(
      op,
      `the selection is ${shown(part)}, but must be a path, a regular expression, a depth, { last: n } or { adapter: name }`,
    )
  if ('last' in part) return byDepth(op, model, checkOptions(op, part, { last: true }).last, true)
  return byAdapter(op, model, checkOptions(op, part, { adapter: true }).adapter)
}

/** The selected parameters. Throws ValueError for a part that selects none. */
export function select(op: string, model: Module, selection: Selection): Set<Parameter> {
  // Parameters are considered under all their names, because tied weights and shared modules have several.
  const named = model.namedState().filter((each): each is [string, Parameter] => each[1] instanceof Parameter)
  const found = new Set<Parameter>()
  const parts: readonly Part[] = Array.isArray(selection) ? selection : [selection as Part]
  if (parts.length === 0) throw new ValueError(op, 'the selection is an empty list; name one or more parts')
  for (const part of parts) {
    const matches = matcher(op, model, part)
    const own = named.filter(([path, parameter]) => matches(path, parameter))
    if (own.length === 0 && part !== 0)
      throw new ValueError(
        op,
        `nothing matches ${shown(part)}; the parameters are ${listed(named.map(([path]) => path))}`,
      )
    for (const [, parameter] of own) found.add(parameter)
  }
  return found
}

/** Throws if some of the parameters to learn cannot, before any of them does. */
export function checkLearnable(op: string, model: Module, parameters: ReadonlySet<Parameter>): void {
  for (const [path, parameter] of model.namedParameters())
    if (parameters.has(parameter) && !isFloating(parameter.dtype))
      throw new ValueError(
        op,
        `${path} is ${parameter.dtype}, which cannot learn; select only parts that can, or apply an adapter, which learns beside it`,
      )
}

/** Sets whether parameters learn. One that does not has no gradient. */
export function setLearning(parameters: Iterable<Parameter>, learns: boolean): void {
  for (const parameter of parameters) {
    parameter.requiresGrad = learns
    if (!learns) parameter.grad = null
  }
}

function set(op: string, model: Module, selection: Selection | undefined, learns: boolean): number {
  checkModel(op, model)
  const found = selection === undefined ? new Set(model.parameters()) : select(op, model, selection)
  if (found.size === 0 && selection === undefined) throw new ValueError(op, 'the model has no parameters')
  if (learns) checkLearnable(op, model, found)
  setLearning(found, learns)
  return found.size
}

/**
 * Freezes all parameters, or the selected ones, and returns their number. Throws ValueError if nothing matches. Modes
 * stay unchanged, as in PyTorch. In a frozen part dropout drops and batch norm learns its statistics, until `eval()` is
 * called on that part, or `freezeNorms`. The Trainer then leaves it so.
 */
export function freeze(model: Module, selection?: Selection): number {
  return set('freeze', model, selection, false)
}

/**
 * Lets all parameters learn, or the selected ones, and returns their number. Throws ValueError for weights in blocks,
 * which cannot learn.
 */
export function unfreeze(model: Module, selection?: Selection): number {
  return set('unfreeze', model, selection, true)
}

/** The numbers of learning parameters, and of all. */
export function countParameters(model: Module): { readonly trainable: number; readonly total: number } {
  checkModel('countParameters', model)
  let trainable = 0
  let total = 0
  for (const parameter of model.parameters()) {
    total += parameter.numel
    if (parameter.requiresGrad) trainable += parameter.numel
  }
  return { trainable, total }
}
