/** Groups of parameters for an optimizer: decay for weights alone, and rates that fall from the output to the input. */
import { kindOf, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import type { Module, Parameter, ParameterView } from '../nn/module.js'
import { depthOf } from './depth.js'
import { type Selection, select } from './freeze.js'
import { isBias, normParameters } from './norms.js'
import { checkModel } from './select.js'

/** A group as optimizers take it. Its parameters are a live view: an adapter that is applied later is in one of the groups. */
export interface DecayGroup {
  readonly params: ParameterView
  readonly weightDecay: number
}

/** A group with a rate of its own. */
export interface LayerGroup {
  readonly params: ParameterView
  readonly lr: number
  readonly weightDecay?: number
}

/** A function that tells the group of each parameter there is. */
type Classify<G> = () => ReadonlyMap<Parameter, G>

/** Live views of the parameters of each group, in the order of `order`; groups without parameters are left out. */
function views<G>(model: Module, order: readonly G[], classify: Classify<G>): (readonly [G, ParameterView])[] {
  let known = new WeakMap<Parameter, G>()
  const groupOf = (parameter: Parameter): G | undefined => {
    // A parameter stays in its group, and one that came since is classified with all others.
    if (!known.has(parameter)) {
      const before = known
      known = new WeakMap([...classify()].map(([each, group]) => [each, before.get(each) ?? group] as const))
    }
    return known.get(parameter)
  }
  return order.flatMap((group) => {
    const named = () => model.namedParameters().filter(([, parameter]) => groupOf(parameter) === group)
    const view: ParameterView = {
      named,
      [Symbol.iterator]: () =>
        named()
          .map(([, parameter]) => parameter)
          .values(),
    }
    return named().length === 0 ? [] : [[group, view] as const]
  })
}

/** Whether weight decay shrinks each parameter: matrices and filters, but no biases and nothing of norms. */
function decays(model: Module): Map<Parameter, boolean> {
  const ofNorms = normParameters(model)
  return new Map(
    model
      .namedParameters()
      .map(([path, parameter]) => [parameter, parameter.ndim >= 2 && !isBias(path) && !ofNorms.has(parameter)]),
  )
}

function checkRate(op: string, option: string, value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0)
    throw new ValueError(op, `${option} is ${shown(value)}, but must be a number, not negative`)
  return value
}

export interface ParameterGroupsOptions {
  /** Decay of weights of two dimensions or more. */
  readonly weightDecay: number
}

/**
 * The model's parameters in two groups, because weight decay is meant for the weights of products: biases, norms and other
 * vectors have none.
 *
 *     new optim.AdamW(parameterGroups(model, { weightDecay: 0.1 }), { lr: 6e-4 })
 */
export function parameterGroups(model: Module, options: ParameterGroupsOptions): DecayGroup[] {
  const op = 'parameterGroups'
  checkModel(op, model)
  const weightDecay = checkRate(op, 'weightDecay', checkOptions(op, options, { weightDecay: true }).weightDecay)
  return views(model, [true, false], () => decays(model)).map(([isDecayed, params]) => ({
    params,
    weightDecay: isDecayed ? weightDecay : 0,
  }))
}

/** The rate of a head, and which parameters are it. */
export interface HeadRate {
  readonly lr: number
  readonly modules: Selection
}

export interface LayerwiseOptions {
  /** The rate of the last block, and of what stands behind it in the body, as a final norm. */
  readonly lr: number
  /** The factor from each block to the one before. Default 0.95; ULMFiT has 1 / 2.6. */
  readonly decay?: number
  /**
   * The rate of the head: what the model defines behind the child that its blocks are in. Where it defines none there, the
   * rate and which parameters are meant: `{ lr: 1e-3, modules: '9' }`. Default: `lr`.
   */
  readonly head?: number | HeadRate
  /** Weight decay as that of `parameterGroups`. Default: the optimizer's own, for all parameters. */
  readonly weightDecay?: number
}

/** Parameters that the model defines behind the child that its blocks are in. */
function headOf(op: string, model: Module, head: LayerwiseOptions['head']): ReadonlySet<Parameter> {
  if (typeof head === 'object') return select(op, model, head.modules)
  const { blocks, places } = depthOf(model)
  const around = new Set(blocks.map(([path]) => path.split('.')[0]))
  const found = new Set<Parameter>()
  for (const [path, parameter] of model.namedParameters())
    if (places.get(parameter) === blocks.length && !around.has(path.split('.')[0] as string)) found.add(parameter)
  if (head !== undefined && found.size === 0)
    throw new ValueError(
      op,
      'the model defines nothing behind its blocks that could be the head; say what it is: head: { lr: ..., modules: ... }',
    )
  return found
}

/** A group by depth: the number of blocks is the head's place, -1 that of the embeddings. */
interface LayerPlace {
  readonly place: number
  readonly isDecayed: boolean
}

/** The rate of a head, checked; that of the body where none is given. */
function headRate(op: string, head: LayerwiseOptions['head'], lr: number): number {
  if (head === undefined) return lr
  if (typeof head === 'number') return checkRate(op, 'head', head)
  if (typeof head !== 'object' || head === null)
    throw new ValueError(op, `head is ${kindOf(head)}, but must be a rate, or { lr, modules }`)
  return checkRate(op, 'head.lr', checkOptions(op, head, { lr: true, modules: true }).lr)
}

/**
 * Groups with rates by layer (Howard and Ruder, 2018; Clark et al., 2020): the head's, then the last block's, then `decay` times as
 * much from each block (see `nn.WithBlocks`) to the one before, and for the embeddings once more.
 *
 *     new optim.AdamW(layerwiseGroups(model, { lr: 5e-5, decay: 0.95, head: 1e-3 }))
 */
export function layerwiseGroups(model: Module, options: LayerwiseOptions): LayerGroup[] {
  const op = 'layerwiseGroups'
  checkModel(op, model)
  const names = { lr: true, decay: true, head: true, weightDecay: true } as const
  const { decay = 0.95, head, weightDecay, ...rest } = checkOptions(op, options, names)
  const lr = checkRate(op, 'lr', rest.lr)
  if (!(typeof decay === 'number' && decay > 0 && decay <= 1))
    throw new ValueError(op, `decay is ${shown(decay)}, but must lie in (0, 1]`)
  if (weightDecay !== undefined) checkRate(op, 'weightDecay', weightDecay)
  const ofHead = headRate(op, head, lr)
  const count = depthOf(model).blocks.length
  // From the head, which stands behind everything, to the embeddings.
  const order = Array.from({ length: count + 2 }, (_, i) => count - i).flatMap((place) =>
    [true, false].map((isDecayed): LayerPlace => ({ place, isDecayed })),
  )
  const classify = () => {
    const inHead = headOf(op, model, head)
    const decayed = weightDecay === undefined ? null : decays(model)
    const found = new Map<Parameter, LayerPlace>()
    for (const [parameter, depth] of depthOf(model).places) {
      const place = inHead.has(parameter) ? count : Math.min(depth, count - 1)
      const isDecayed = decayed?.get(parameter) ?? true
      const group = order.find((each) => each.place === place && each.isDecayed === isDecayed)
      if (group !== undefined) found.set(parameter, group)
    }
    return found
  }
  return views(model, order, classify).map(([{ place, isDecayed }, params]) => ({
    params,
    lr: place === count ? ofHead : lr * decay ** (count - 1 - place),
    ...(weightDecay === undefined ? {} : { weightDecay: isDecayed ? weightDecay : 0 }),
  }))
}
