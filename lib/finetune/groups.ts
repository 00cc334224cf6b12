/** Groups of parameters for an optimizer: decay only for weights, and rates that fall from the output to the input. */
import { kindOf, shown, ValueError } from '../core/errors.js'
import { checkOptions, ownOptions } from '../core/options.js'
import type { Module, Parameter, ParameterView } from '../nn/module.js'
import { depthOf } from './depth.js'
import { type Selection, select } from './freeze.js'
import { isBias, normParameters, normsIn } from './norms.js'
import { checkModel } from './select.js'

/**
 * A group in the form for optimizers. Its parameters are a live view: an adapter that is applied later is in one of the
 * groups.
 */
export interface DecayGroup {
  readonly params: ParameterView
  readonly weightDecay: number
}

/** A group with its own rate. */
export interface LayerGroup {
  readonly params: ParameterView
  readonly lr: number
  readonly weightDecay?: number
}

/** A function that returns the group of each current parameter. */
type Classify<G> = () => ReadonlyMap<Parameter, G>

type NamedParameter = readonly [path: string, parameter: Parameter]

/** The parameters of a model by group, walked again whenever they could have changed. */
class Grouped<G> {
  readonly #model: Module
  readonly #order: readonly G[]
  readonly #classify: Classify<G>
  #groups = new WeakMap<Parameter, G>()
  /** Parameters that the last walk found and that groups have not yet taken. */
  #walked = new Map<G, NamedParameter[]>()

  constructor(model: Module, order: readonly G[], classify: Classify<G>) {
    this.#model = model
    this.#order = order
    this.#classify = classify
  }

  /**
   * A group's parameters with their paths. An optimizer asks for all groups in turn, from the first on, several times a
   * step, and one walk answers a round. The first group always walks, as does one that asks again, and nothing outlives
   * the turn of the event loop.
   */
  named(group: G): NamedParameter[] {
    const known = group === this.#order[0] ? undefined : this.#walked.get(group)
    if (known === undefined) this.#walk()
    const found = known ?? this.#walked.get(group) ?? []
    this.#walked.delete(group)
    return found
  }

  #walk(): void {
    const walked = new Map(this.#order.map((group): [G, NamedParameter[]] => [group, []]))
    for (const named of this.#model.namedParameters()) walked.get(this.#groupOf(named[1]) as G)?.push(named)
    this.#walked = walked
    queueMicrotask(() => walked.clear())
  }

  #groupOf(parameter: Parameter): G | undefined {
    // A parameter stays in its group, and a new one is classified together with all others.
    if (!this.#groups.has(parameter)) {
      const before = this.#groups
      this.#groups = new WeakMap(
        [...this.#classify()].map(([each, group]) => [each, before.get(each) ?? group] as const),
      )
    }
    return this.#groups.get(parameter)
  }
}

/** Live views of the parameters of each group, in the order of `order`. Groups without parameters are left out. */
function views<G>(model: Module, order: readonly G[], classify: Classify<G>): (readonly [G, ParameterView])[] {
  const all = new Grouped(model, order, classify)
  const there = order.filter((group) => all.named(group).length > 0)
  const grouped = new Grouped(model, there, classify)
  return there.map((group) => {
    const named = () => grouped.named(group)
    const parameters = () => named().map(([, parameter]) => parameter)
    return [group, { named, [Symbol.iterator]: () => parameters().values() }] as const
  })
}

/** Whether weight decay applies to each parameter: to matrices and filters, but not to biases or norms. */
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
    throw new ValueError(op, `${option} is ${shown(value)}, but must be a number of at least 0`)
  return value
}

export interface ParameterGroupsOptions {
  /** Decay of weights of two dimensions or more. */
  readonly weightDecay: number
}

/**
 * The model's parameters in two groups, because weight decay is meant for the weights of products. Biases, norms and
 * other vectors have none.
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

/** The rate of a head, and the parameters of the head. */
export interface HeadRate {
  readonly lr: number
  readonly modules: Selection
}

export interface LayerwiseOptions {
  /** The rate of the last block, and of everything after it in the body, such as a final norm. */
  readonly lr: number
  /** The factor from each block to the one before. Default 0.95; ULMFiT has 1 / 2.6. */
  readonly decay?: number
  /**
   * The rate of the head, which is everything that the model defines after the child with its blocks, except for a
   * final norm. If it defines nothing there, the rate and the parameters: `{ lr: 1e-3, modules: '9' }`. Default: `lr`.
   */
  readonly head?: number | HeadRate
  /** Weight decay as in `parameterGroups`. Default: the optimizer's own, with which all parameters decay. */
  readonly weightDecay?: number
}

/** Parameters that the model defines after the child with its blocks, except for a final norm. */
function headOf(op: string, model: Module, head: LayerwiseOptions['head']): ReadonlySet<Parameter> {
  if (typeof head === 'object') return select(op, model, head.modules)
  const { blocks, places } = depthOf(model)
  const norms = new Set(normsIn(model))
  const body = new Set(blocks.map(([path]) => path.split('.')[0]))
  for (const [name, child] of model.namedChildren()) if (norms.has(child)) body.add(name)
  const found = new Set<Parameter>()
  for (const [path, parameter] of model.namedParameters())
    if (places.get(parameter) === blocks.length && !body.has(path.split('.')[0] as string)) found.add(parameter)
  if (head !== undefined && found.size === 0)
    throw new ValueError(
      op,
      'the model defines nothing after its blocks that could be the head; name it: head: { lr: ..., modules: ... }',
    )
  return found
}

/** A group by depth: the number of blocks is the head's depth, and -1 that of the embeddings. */
interface LayerPlace {
  readonly place: number
  readonly isDecayed: boolean
}

/** The checked rate of a head, or the body's if none is given. */
function headRate(op: string, head: LayerwiseOptions['head'], lr: number): number {
  if (head === undefined) return lr
  if (typeof head === 'number') return checkRate(op, 'head', head)
  if (typeof head !== 'object' || head === null)
    throw new ValueError(op, `head is ${kindOf(head)}, but must be a rate, or { lr, modules }`)
  return checkRate(op, 'head.lr', checkOptions(op, head, { lr: true, modules: true }, 'head').lr)
}

/**
 * Groups with rates by layer (Howard and Ruder, 2018; Clark et al., 2020): the head's, then the last block's. From each
 * block (see `nn.WithBlocks`) to the one before, and finally to the embeddings, the rate is multiplied by `decay`.
 *
 *     new optim.AdamW(layerwiseGroups(model, { lr: 5e-5, decay: 0.95, head: 1e-3 }))
 */
export function layerwiseGroups(model: Module, options: LayerwiseOptions): LayerGroup[] {
  const op = 'layerwiseGroups'
  checkModel(op, model)
  const names = { lr: true, decay: true, head: true, weightDecay: true } as const
  const { decay = 0.95, head, weightDecay, ...rest } = ownOptions(op, options, names)
  const lr = checkRate(op, 'lr', rest.lr)
  if (!(typeof decay === 'number' && decay > 0 && decay <= 1))
    throw new ValueError(op, `decay is ${shown(decay)}, but must lie in (0, 1]`)
  if (weightDecay !== undefined) checkRate(op, 'weightDecay', weightDecay)
  const ofHead = headRate(op, head, lr)
  const count = depthOf(model).blocks.length
  // From the head, which comes after everything, to the embeddings.
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
