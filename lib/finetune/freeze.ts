/** Freezing: which parameters learn. A frozen weight costs no weight gradient and keeps no activation. */
import { shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { Adapter } from '../nn/adapter.js'
import { copiesIn } from '../nn/copies.js'
import { type Module, Parameter } from '../nn/module.js'
import { stateless } from '../nn/naming.js'
import type { Callback } from '../train/callbacks.js'
import { adapterNames } from './adapters.js'
import { checkModel, listed, quoted } from './select.js'

/**
 * Parameters by path: a path of a parameter or of a module ('0', 'encoder.layer1'), with `*` for any characters; a regular
 * expression on parameter paths; a number, the depth: that many of the model's children with parameters, from the input; or
 * the adapters of a name, with what they learn whole.
 */
export type Selection = string | RegExp | number | { readonly adapter: string }

/** Direct children that have parameters, from the input to the output. */
function blocks(model: Module): (readonly [string, Module])[] {
  return [...model.namedChildren()].filter(([, child]) => !child.parameters()[Symbol.iterator]().next().done)
}

type Matcher = (path: string, parameter: Parameter) => boolean

function matcher(op: string, model: Module, selection: Selection): Matcher {
  if (selection instanceof RegExp) return stateless(selection)
  if (typeof selection === 'object' && selection !== null) {
    const { adapter } = checkOptions(op, selection, { adapter: true })
    const own = model.modules().filter((module) => module instanceof Adapter && module.adapterName === adapter)
    if (own.length === 0)
      throw new ValueError(
        op,
        `there is no adapter named ${shown(adapter)} in the model; there are ${quoted(adapterNames(model))}`,
      )
    const found = new Set<Tensor>(own.flatMap((module) => [...module.parameters()]))
    for (const [, copies] of copiesIn(model))
      for (const [, tensor] of copies.get(adapter)?.named ?? []) found.add(tensor)
    return (_, parameter) => found.has(parameter)
  }
  if (typeof selection === 'number') {
    const names = blocks(model).map(([name]) => name)
    if (!Number.isInteger(selection) || selection < 0 || selection > names.length)
      throw new ValueError(
        op,
        `depth is ${shown(selection)}, but the model has ${names.length} children with parameters: ${names.join(', ')}`,
      )
    const chosen = names.slice(0, selection)
    return (path) => chosen.some((name) => path.startsWith(`${name}.`))
  }
  if (typeof selection !== 'string')
    throw new ValueError(
      op,
      `the selection is ${shown(selection)}, but must be a path, a regular expression, a depth, or { adapter: name }`,
    )
  const pattern = new RegExp(
    `^${selection
      .split('*')
      .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*')}(\\..*)?$`,
  )
  return (path) => pattern.test(path)
}

function set(op: string, model: Module, selection: Selection | undefined, requiresGrad: boolean): number {
  checkModel(op, model)
  const matches = selection === undefined ? () => true : matcher(op, model, selection)
  // Under all their names, because tied weights and shared modules have several.
  const named = model.namedState().filter((each): each is [string, Parameter] => each[1] instanceof Parameter)
  const found = new Set(named.filter(([path, parameter]) => matches(path, parameter)).map(([, parameter]) => parameter))
  if (found.size === 0 && selection !== 0)
    throw new ValueError(
      op,
      `nothing matches ${shown(selection)}; the parameters are ${listed(named.map(([path]) => path))}`,
    )
  for (const parameter of found) {
    parameter.requiresGrad = requiresGrad
    if (!requiresGrad) parameter.grad = null
  }
  return found.size
}

/**
 * Freezes all parameters, or those selected; returns how many. Throws ValueError if nothing matches. Modes are left as they
 * are, as in PyTorch: in a frozen part dropout drops and batch norm learns its statistics, until `eval()` is called on that
 * part; the Trainer then leaves it so.
 */
export function freeze(model: Module, selection?: Selection): number {
  return set('freeze', model, selection, false)
}

/** Lets all parameters learn, or those selected; returns how many. */
export function unfreeze(model: Module, selection?: Selection): number {
  return set('unfreeze', model, selection, true)
}

/** Parameters that learn, and all. */
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

export interface GradualOptions {
  /** Epochs from one group to the next. Default 1. */
  readonly everyEpochs?: number
  /** From the first to learn to the last. Default: the model's children with parameters, from the output to the input. */
  readonly groups?: readonly Selection[]
}

/**
 * Gradual unfreezing (Howard and Ruder, 2018): at first only the last group learns, and one more after every
 * `everyEpochs` epochs. A callback of the Trainer; optimisers over `model.parameters()` see what was unfrozen.
 */
export function unfreezeGradually(model: Module, options: GradualOptions = {}): Callback {
  checkModel('unfreezeGradually', model)
  const { everyEpochs = 1, groups } = checkOptions('unfreezeGradually', options, { everyEpochs: true, groups: true })
  if (!Number.isInteger(everyEpochs) || everyEpochs < 1)
    throw new ValueError('unfreezeGradually', `everyEpochs is ${shown(everyEpochs)}, but must be a positive integer`)
  const order: readonly Selection[] =
    groups ??
    blocks(model)
      .map(([name]) => name)
      .reverse()
  if (order.length === 0) throw new ValueError('unfreezeGradually', 'the model has no groups of parameters')
  let open = 0
  const next = () => {
    const group = order[open]
    if (group !== undefined) {
      unfreeze(model, group)
      open++
    }
  }
  return {
    onStart() {
      open = 0
      freeze(model)
      next()
    },
    onEpochEnd({ epoch }) {
      if ((epoch + 1) % everyEpochs === 0) next()
    },
  }
}
