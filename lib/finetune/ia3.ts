/** IA3 (Liu et al., 2022) applied to a model: factors beside frozen weights, in the slots of adaptable layers. */
import { shown, ValueError } from '../core/errors.js'
import { ownOptions } from '../core/options.js'
import { checkAlive } from '../core/tensor.js'
import { checkAdapterName } from '../nn/adapter.js'
import type { Module } from '../nn/module.js'
import { checkFree, checkSwitch } from './adapters.js'
import { Ia3Adapter } from './ia3-adapter.js'
import { type Naming, planned } from './names.js'
import { Pattern } from './pattern.js'
import { adaptersOf, attach, checkSaved, copiesOf, type Plan, savedModules } from './plan.js'
import { checkModel, checkNames, quoted } from './select.js'
import { type TargetOptions, targetLayers } from './targets.js'

export interface Ia3Options extends Pick<TargetOptions, 'targetModules' | 'excludeModules'> {
  /** The adapter's name, by which it is switched, saved and removed. Default 'default'. */
  readonly name?: string
  /**
   * The layers among them whose inputs are multiplied instead of their outputs: ends of paths, or a Python regular
   * expression for whole paths, as in PEFT. Default: none.
   */
  readonly feedforwardModules?: readonly string[] | string
  /** Modules that learn whole and are saved with the adapter, as with `applyLora`. */
  readonly modulesToSave?: readonly string[]
}

/** A test of whether the inputs of the layer at a path are multiplied. */
function feedforwardOf(op: string, modules: Ia3Options['feedforwardModules']): (path: string) => boolean {
  if (modules === undefined) return () => false
  if (typeof modules === 'string') {
    const pattern = new Pattern(modules, op, 'feedforwardModules')
    return (path) => pattern.matches(path)
  }
  checkNames(op, 'feedforwardModules', modules)
  return (path) => modules.some((name) => path.endsWith(name))
}

/**
 * Checks options against a model, adapted already or not, and changes nothing. Throws ValueError for options that do
 * not fit.
 */
export function planIa3(op: string, model: Module, given: Ia3Options): Plan {
  checkModel(op, model)
  return planned(model, (naming) => planBy(op, model, given, naming))
}

function planBy(op: string, model: Module, given: Ia3Options, naming: Naming): Plan {
  const options = ownOptions(op, given, {
    name: true,
    targetModules: true,
    excludeModules: true,
    feedforwardModules: true,
    modulesToSave: true,
  })
  const { name = 'default', feedforwardModules } = options
  checkAdapterName(op, name)
  const saved = savedModules(op, model, options.modulesToSave, naming)
  checkSaved(op, name, saved)
  const isFeedforward = feedforwardOf(op, feedforwardModules)
  const named = targetLayers(op, model, saved, options, naming)
  const wrong = named.filter(([, { adaptation }]) => {
    return adaptation.by === 'embedding' || (adaptation.by === 'linear' && adaptation.along !== undefined)
  })
  if (wrong.length > 0)
    throw new ValueError(
      op,
      `IA3 adapts linear layers and convolutions, but targetModules has ${quoted(wrong.map(([path]) => path))}; leave them out`,
    )
  if (feedforwardModules !== undefined && feedforwardModules.length > 0 && !named.some(([path]) => isFeedforward(path)))
    throw new ValueError(
      op,
      `feedforwardModules is ${shown(feedforwardModules)}, but names none of the layers ${quoted(named.map(([path]) => path))}`,
    )
  const layers = named.map(([path, layer]) => {
    const feedforward = isFeedforward(path)
    const make = () => {
      const there = layer.adapters.get(name)
      return there instanceof Ia3Adapter && there.feedforward === feedforward
        ? there
        : new Ia3Adapter(layer, { feedforward })
    }
    return { fileName: path, layer, make, settle: () => undefined }
  })
  return { name, applied: { kind: 'ia3', options }, naming, layers, saved, biases: [] }
}

/**
 * Freezes the model, gives every target layer a learned factor for each output or each input, and returns the model.
 * Targets are chosen as with `applyLora`, among Linear and Conv1d to Conv3d (of which PEFT has
 * no Conv1d). The new adapter is the only active one, until
 * `setAdapter` or `withAdapter` say otherwise. It is merged, removed and saved like LoRA's. Throws ValueError for
 * unknown targets, and has then changed nothing.
 */
export function applyIa3<M extends Module>(model: M, options: Ia3Options): M {
  const op = 'applyIa3'
  const plan = planIa3(op, model, options)
  checkAlive(op, model.namedParameters())
  checkFree(op, model, plan.name)
  checkSwitch(op, model, [])
  attach(model, plan, adaptersOf(plan), copiesOf(plan))
  return model
}
