/** A model's adapters by name, of all kinds, and which of them are active. */
import { currentChoice, withChoice } from '../core/choice.js'
import { ValueError } from '../core/errors.js'
import { type Adaptable, Adapter, isAdaptable, isSlotted, type Slot, type Slotted } from '../nn/adapter.js'
import { type Copies, type Copy, copiesIn } from '../nn/copies.js'
import type { Module } from '../nn/module.js'
import type { Naming } from './names.js'
import { checkModel, checkNames, listed, type Named, quoted } from './select.js'
import { TokenRows } from './token-rows.js'

/** Every adaptable layer, by path. */
export function adaptableLayers(model: Module): Named<Adaptable>[] {
  return model.namedModules().filter((named): named is Named<Adaptable> => isAdaptable(named[1]))
}

/** Every place for adapters, by the path of its module. */
export function slotsIn(model: Module): Named<Slotted>[] {
  return model.namedModules().filter((named): named is Named<Slotted> => isSlotted(named[1]))
}

/** The model's modules by name, without those in adapters. */
export function ownModules(model: Module, naming: Naming): Named[] {
  const all = model.namedModules()
  const ofAdapters = new Set(all.flatMap(([, module]) => (module instanceof Adapter ? module.modules() : [])))
  return all.filter(([, module]) => !ofAdapters.has(module)).map(([path, module]) => [naming(path), module])
}

/** Names of all adapters in the model. */
export function adapterNames(model: Module): string[] {
  return [...new Set(slotsIn(model).flatMap(([, { adapters }]) => adapters.names))]
}

/**
 * Throws if an adapter that must not stay active cannot be switched off, or if two of the learning ones learn the same
 * module whole.
 */
export function checkSwitch(op: string, model: Module, staying: readonly string[]): void {
  for (const [path, { adapters }] of slotsIn(model))
    for (const name of adapters.active) {
      if (staying.includes(name)) continue
      if (adapters.get(name)?.merged)
        throw new ValueError(op, `the adapter '${name}' is merged into the weight of ${path}; call unmergeLora first`)
    }
  for (const [path, { adapters }] of slotsIn(model)) {
    const owners = new Map<number, string>()
    for (const name of staying) {
      const adapter = adapters.get(name)
      for (const token of adapter instanceof TokenRows ? adapter.indices : []) {
        const other = owners.get(token)
        if (other !== undefined)
          throw new ValueError(
            op,
            `the adapters ${quoted([other, name])} both have a row for token ${token} of ${path} (trainableTokenIndices), of ` +
              'which only one can be used; choose one of them',
          )
        owners.set(token, name)
      }
    }
  }
  for (const [path, copies] of copiesIn(model)) {
    const both = staying.filter((name) => copies.get(name) !== undefined)
    if (both.length > 1)
      throw new ValueError(
        op,
        `the adapters ${quoted(both)} both have their own weights for ${path} (modulesToSave), of which only one can be used; ` +
          'choose one of them',
      )
    if ((both[0] ?? null) === copies.active) continue
    for (const [inner, { adapters }] of adaptableLayers(copies.module))
      for (const [name, adapter] of adapters)
        if (adapter.merged)
          throw new ValueError(
            op,
            `the adapter '${name}' is merged into a weight of ${path}${inner === '' ? '' : `.${inner}`}, which another one should ` +
              'replace; call unmergeLora first',
          )
  }
}

/** The requested names, after a check that each is that of an adapter in the model. */
function wanted(op: string, model: Module, names: string | readonly string[]): readonly string[] {
  checkModel(op, model)
  const list = typeof names === 'string' ? [names] : names
  checkNames(op, 'names', list)
  const there = adapterNames(model)
  const lost = list.filter((name) => !there.includes(name))
  if (lost.length > 0)
    throw new ValueError(op, `there is no adapter named ${quoted(lost)} in the model; there are ${quoted(there)}`)
  if (new Set(list).size < list.length) throw new ValueError(op, `an adapter is named twice in ${quoted(list)}`)
  return list
}

/** The copy of the adapter among these names that has one, or null. */
function copyAmong(copies: Copies, names: readonly string[]): Copy | null {
  const name = names.find((each) => copies.get(each) !== undefined)
  return name === undefined ? null : (copies.get(name) as Copy)
}

function run<R>(op: string, model: Module, names: readonly string[], fn: () => R): R {
  checkSwitch(op, model, names)
  const values = new Map<Slot | Copies, object | null>()
  for (const [, { adapters }] of slotsIn(model)) {
    if (adapters.names.length === 0) continue
    const own = names.filter((name) => adapters.get(name) !== undefined)
    values.set(adapters, adapters.adaptedBy(own, op))
  }
  for (const [, copies] of copiesIn(model)) values.set(copies, copyAmong(copies, names))
  return withChoice(op, { values, outer: currentChoice() }, fn)
}

/**
 * Runs a synchronous function with only these adapters active in the model, in this order; `[]` is the base. Their
 * parameters get gradients if they want them. Modules in an adapter's `modulesToSave` have its weights, and others
 * their original ones. Nothing in the model changes, so two requests may use different adapters of one model; await
 * outside. Throws ValueError if no layer has an adapter of a name, if a merged adapter would have to be inactive, or if
 * two of the adapters learned the same module whole. Throws it too if `fn` returns a promise or a generator.
 */
export function withAdapter<R>(model: Module, names: string | readonly string[], fn: () => R): R {
  return run('withAdapter', model, wanted('withAdapter', model, names), fn)
}

/**
 * Runs a synchronous function with only the base, as a reference for what an adapter learns. Modules in `modulesToSave`
 * have their original weights. Throws ValueError if an adapter is merged, and if `fn` returns a promise or a generator.
 */
export function withoutAdapters<R>(model: Module, fn: () => R): R {
  checkModel('withoutAdapters', model)
  return run('withoutAdapters', model, [], fn)
}

/**
 * Makes only these adapters active, in this order, until changed again. They learn, and the others do not. Adapters
 * that are sums, as LoRA's are, add up. At most one adapter that learns a module whole (`modulesToSave`) can be active.
 * Throws ValueError if no layer has an adapter of a name, if two adapters learn the same module whole or the same
 * token, or if a merged adapter would have to be inactive.
 */
export function setAdapter(model: Module, names: string | readonly string[]): void {
  const op = 'setAdapter'
  const list = wanted(op, model, names)
  checkSwitch(op, model, list)
  activate(model, list)
}

/** Like setAdapter, for existing names. */
export function activate(model: Module, names: readonly string[]): void {
  for (const [, { adapters }] of slotsIn(model)) {
    adapters.activate(names.filter((name) => adapters.get(name) !== undefined))
    for (const [name, adapter] of adapters) if (!adapter.merged) adapter.requiresGrad_(names.includes(name))
  }
  for (const [, copies] of copiesIn(model))
    copies.activate(names.find((name) => copies.get(name) !== undefined) ?? null)
}

/** Throws if a model has an adapter of that name. */
export function checkFree(op: string, model: Module, name: string): void {
  const there = slotsIn(model).filter(([, { adapters }]) => adapters.get(name) !== undefined)
  if (there.length > 0)
    throw new ValueError(
      op,
      `the model already has an adapter '${name}', in ${listed(there.map(([path]) => (path === '' ? 'the model' : path)))}; use another name, or ` +
        'remove it first with removeLora, from the module to which it was applied',
    )
}
