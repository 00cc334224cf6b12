/** An adapter that will be applied to a model: checked first, and then attached in one step. */
import { isBlocks, isFloating } from '../core/dtype.js'
import { ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { type Adaptable, type Adapter, Adapters, type Slotted } from '../nn/adapter.js'
import { Copies, type Copy, copiesAround, copiesAt, copiesIn, copyOf } from '../nn/copies.js'
import { isInvoked } from '../nn/invocation.js'
import type { Module, Parameter } from '../nn/module.js'
import { originalOf } from '../nn/parameter.js'
import { activate, adaptableLayers, ownModules, slotsIn } from './adapters.js'
import { type Applied, appliedName, appliedNames, forgetApplied, noteApplied } from './applied.js'
import { forgetBase, noteBase } from './base.js'
import { MergeableAdapter } from './mergeable.js'
import type { Naming } from './names.js'
import { byNames, checkModel, checkNames, type Named } from './select.js'

export interface PlannedPlace {
  /** The place's name in the adapter's files. */
  readonly fileName: string
  readonly layer: Slotted
  /** Makes the adapter for this place, or returns the existing one if that fits, so that optimizers still know it. */
  make(): Adapter
  /** Gives the plan's settings to an existing adapter. */
  settle(adapter: Adapter): void
}

/**
 * All that is needed to apply an adapter: places for its parts, modules that learn whole, and modules whose bias
 * learns.
 */
export interface Plan {
  readonly name: string
  readonly applied: Applied
  /** The names of the options. */
  readonly naming: Naming
  readonly layers: readonly PlannedPlace[]
  readonly saved: readonly Named[]
  /** Whether modules that share a weight also share its copy. */
  readonly tied?: boolean
  readonly biases: readonly Named[]
}

/** Every layer of the model with an applied adapter of this name, by path. */
export function layersOf(model: Module, name: string): (readonly [string, Adaptable, MergeableAdapter])[] {
  return adaptableLayers(model).flatMap(([path, layer]) => {
    const adapter = layer.adapters.get(name)
    return adapter instanceof MergeableAdapter ? [[path, layer, adapter] as const] : []
  })
}

/** Modules that learn whole, by the names in `modulesToSave`. Throws ValueError that lists entries without a module. */
export function savedModules(
  op: string,
  model: Module,
  modulesToSave: readonly string[] | undefined,
  naming: Naming,
): Named[] {
  if (modulesToSave === undefined) return []
  checkNames(op, 'modulesToSave', modulesToSave)
  const found = byNames(op, 'modulesToSave', modulesToSave, ownModules(model, naming).slice(1))
  const within = new Set(found.flatMap(([, module]) => module.modules().slice(1)))
  return found.filter(([, module]) => !within.has(module))
}

/**
 * Throws if modules cannot learn whole, because their dtype does not learn, or because a part belongs to another
 * adapter.
 */
export function checkSaved(op: string, name: string, saved: readonly Named[]): void {
  for (const [path, module] of saved) {
    for (const [own, { dtype }] of module.namedParameters())
      if (isBlocks(dtype))
        throw new ValueError(
          op,
          `modulesToSave names '${path}', whose ${own} is ${dtype}, which cannot learn; leave it out, or keep it floating`,
        )
    for (const copies of copiesAround(module)) {
      const others = copies.names.filter((other) => other !== name)
      if (copies.module !== module && others.length > 0)
        throw new ValueError(
          op,
          `modulesToSave names '${path}', but the adapter '${others[0]}' learns a module as a whole that contains it or is inside it; ` +
            'name the same one',
        )
    }
  }
}

/** The module's own bias, or null if it has none that can learn. */
function biasOf(module: Module): Parameter | null {
  for (const [name, parameter] of module.namedParameters())
    if (name === 'bias' && isFloating(parameter.dtype)) return parameter
  return null
}

/** The modules whose bias learns, without those that learn whole. */
export function biasModules(
  model: Module,
  kind: 'none' | 'all' | 'lora_only',
  adapted: ReadonlySet<Module>,
  saved: readonly Named[],
  naming: Naming,
) {
  if (kind === 'none') return []
  const whole = new Set(saved.flatMap(([, module]) => module.modules()))
  return ownModules(model, naming).filter(([, module]) => {
    return !whole.has(module) && (kind === 'all' || adapted.has(module)) && biasOf(module) !== null
  })
}

/** The adapters of a plan, by their places. */
export function adaptersOf({ layers }: Plan): ReadonlyMap<Slotted, Adapter> {
  return new Map(layers.map((place) => [place.layer, place.make()]))
}

/** The weights of modules that learn whole: the adapter's existing ones, or else copies of the original ones. */
export function copiesOf({ name, saved, biases, tied = false }: Plan): ReadonlyMap<Module, Copy> {
  const there = (module: Module, isBias: boolean): Copy | undefined => {
    const copy = copiesAt(module)?.get(name)
    return copy?.isPart === isBias ? copy : undefined
  }
  const copies = (modules: readonly Named[], names: readonly string[] | null, areTied: boolean) => {
    const before = modules.map(([, module]) => there(module, names !== null))
    const tensors = before.flatMap((copy) => [...new Set(copy?.named.map(([, tensor]) => tensor))])
    const made = new Map(tensors.map((tensor) => [originalOf(tensor), tensor]))
    // There is one tied copy for each original, and one other copy for each module.
    const fits = new Set(tensors).size === (areTied ? made.size : tensors.length)
    if (!fits) made.clear()
    return modules.map(([, module], i) => {
      const copy = fits ? before[i] : undefined
      return [module, copy ?? copyOf(module, names, areTied ? made : undefined)] as const
    })
  }
  // A bias that two modules share stays shared, because PEFT copies no biases.
  return new Map([...copies(saved, null, tied), ...copies(biases, ['bias'], true)])
}

/** Attaches adapters. They replace those of their name, and are then the only active ones. */
export function attach(
  model: Module,
  plan: Plan,
  adapters: ReadonlyMap<Slotted, Adapter>,
  whole: ReadonlyMap<Module, Copy>,
): void {
  const { name, applied, naming } = plan
  for (const [, copies] of copiesIn(model)) if (!whole.has(copies.module)) copies.delete(name)
  for (const [module, copy] of whole) Copies.of(module).set(name, copy)
  const had = appliedNames(model).includes(name)
  for (const [, module] of slotsIn(model)) if (had && !adapters.has(module)) module.adapters.delete(name)
  for (const parameter of model.parameters()) parameter.requiresGrad = false
  for (const { layer, settle } of plan.layers) {
    const adapter = adapters.get(layer) as Adapter
    settle(adapter)
    layer.adapters.put(name, adapter.train(layer.training) as Adapter)
  }
  activate(model, [name])
  const { invocationTokens } = applied.kind === 'lora' ? applied.options : {}
  if (invocationTokens !== undefined && isInvoked(model)) model.invocations.add(invocationTokens)
  // A further adapter notes no new base, because changes since the first adapter are not part of it.
  if (appliedNames(model).length === 0) noteBase(model)
  noteApplied(model, name, applied, naming)
}

/**
 * Removes all applied adapters or the named one, without what they learned, unless it was merged. Modules in
 * `modulesToSave` get their original weights back, or keep those of an adapter that was merged. Other active adapters
 * stay active. The base stays frozen, because it is not known which of its parameters learned before; call
 * `unfreeze(model)` to train it. Throws ValueError if there is no adapter.
 */
export function removeLora(model: Module, options: { readonly name?: string } = {}): void {
  const op = 'removeLora'
  checkModel(op, model)
  const { name } = checkOptions(op, options, { name: true })
  const names =
    name === undefined && appliedNames(model).length > 0 ? appliedNames(model) : [appliedName(op, model, name)]
  for (const each of names) {
    const layers = layersOf(model, each)
    const adopt = layers.some(([, , { merged }]) => merged)
    for (const [, layer] of layers) layer.adapters.delete(each)
    for (const [, { adapters }] of slotsIn(model)) if (!(adapters instanceof Adapters)) adapters.delete(each)
    for (const [, copies] of copiesIn(model)) copies.delete(each, { adopt })
    forgetApplied(model, each)
  }
  if (appliedNames(model).length === 0) forgetBase(model)
}
