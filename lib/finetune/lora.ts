/** LoRA (Hu et al., 2021) applied to a model: low-rank products beside frozen weights, in the slots of adaptable layers. */
import { isBlocks, isFloating } from '../core/dtype.js'
import { shown, ValueError } from '../core/errors.js'
import { checkGenerator, type Generator } from '../core/generator.js'
import { checkOptions, ownOptions } from '../core/options.js'
import { type Adaptable, checkAdapterName } from '../nn/adapter.js'
import { Copies, type Copy, copiesAround, copiesAt, copiesIn, copyOf } from '../nn/copies.js'
import { checkDropout, checkFlags } from '../nn/layer.js'
import type { Module, Parameter } from '../nn/module.js'
import { activate, adaptableLayers, checkFree, checkSwitch, ownModules } from './adapters.js'
import { forgetLora, loraName, loraNames, noteLora } from './applied.js'
import { forgetBase, noteBase } from './base.js'
import { LoraAdapter } from './lora-adapter.js'
import { loraFor } from './lora-kinds.js'
import { byNames, byPatterns, checkModel, checkNames, type Named } from './select.js'
import { type TargetOptions, targetLayers, targetNames } from './targets.js'

export interface LoraOptions extends TargetOptions {
  /** The adapter's name, by which it is switched, saved and removed. Default 'default'. */
  readonly name?: string
  /** Inner size of the product. Default 8. */
  readonly rank?: number
  /** The product is scaled by alpha / rank. Default: `rank`, for layers of another rank too. */
  readonly alpha?: number
  /** Dropout of the product's input in training. Default 0. Embeddings have none, as in PEFT, because their input is indices. */
  readonly dropout?: number
  /**
   * Modules that learn whole and are saved with the adapter, as a new head does: paths or their last parts. The adapter learns a
   * copy of their weights, which stands in for the original ones while the adapter is active; two modules that share a weight get
   * a copy each, as in PEFT.
   */
  readonly modulesToSave?: readonly string[]
  /**
   * Other ranks and alphas for some layers. A key is a regular expression of Python for the end of a path, as in PEFT; the first
   * that matches counts.
   */
  readonly rankPattern?: { readonly [pattern: string]: number }
  readonly alphaPattern?: { readonly [pattern: string]: number }
  /** Scale by alpha / sqrt(rank) (Kalajdzievski, 2023). Default false. */
  readonly rankStabilized?: boolean
  /**
   * Learns the norms of what each output is computed with too (DoRA, Liu et al., 2024). Default false. Its weights are not sums: of
   * one layer no other adapter can be merged beside it.
   */
  readonly dora?: boolean
  /** Gives the second factor of each layer a bias. Default false. PEFT's `lora_bias`. Not for embeddings, nor with `dora`. */
  readonly loraBias?: boolean
  /**
   * Which biases of the model learn with the adapter: 'none', those of the layers that are adapted ('lora_only'), or 'all'. The
   * adapter learns copies, as with `modulesToSave`. Default 'none'.
   */
  readonly bias?: 'none' | 'all' | 'lora_only'
  /** For the initial weights. */
  readonly generator?: Generator
}

/** Every layer of the model with a LoRA adapter of this name, by path. */
export function loraLayers(model: Module, name: string): (readonly [string, Adaptable, LoraAdapter])[] {
  return adaptableLayers(model).flatMap(([path, layer]) => {
    const adapter = layer.adapters.get(name)
    return adapter instanceof LoraAdapter ? [[path, layer, adapter] as const] : []
  })
}

/** Modules that learn whole. Throws ValueError naming entries that name none. */
export function savedModules(op: string, model: Module, { modulesToSave = [] }: LoraOptions): Named[] {
  checkNames(op, 'modulesToSave', modulesToSave)
  const found = byNames(op, 'modulesToSave', modulesToSave, ownModules(model).slice(1))
  const within = new Set(found.flatMap(([, module]) => module.modules().slice(1)))
  return found.filter(([, module]) => !within.has(module))
}

/** Throws where modules cannot learn whole: of a dtype that does not learn, or in part another adapter's. */
function checkSaved(op: string, name: string, saved: readonly Named[]): void {
  for (const [path, module] of saved) {
    for (const [own, { dtype }] of module.namedParameters())
      if (isBlocks(dtype))
        throw new ValueError(
          op,
          `modulesToSave names '${path}', whose ${own} is ${dtype}, which cannot learn; leave it out, or keep its floats`,
        )
    for (const copies of copiesAround(module)) {
      const others = copies.names.filter((other) => other !== name)
      if (copies.module !== module && others.length > 0)
        throw new ValueError(
          op,
          `modulesToSave names '${path}', but the adapter '${others[0]}' learns a module whole that is around it or within it; ` +
            'name the same one',
        )
    }
  }
}

/** The result of applying LoRA: layers with the sizes of their adapters, and modules that learn whole. */
export interface Plan {
  readonly name: string
  readonly options: LoraOptions
  readonly layers: readonly {
    /** The layer's name in the adapter's files. */
    readonly fileName: string
    readonly layer: Adaptable
    readonly rank: number
    readonly scale: number
  }[]
  readonly saved: readonly Named[]
  /** Modules whose bias learns. */
  readonly biases: readonly Named[]
}

const biasKinds = ['none', 'all', 'lora_only'] as const

/** The bias of a module's own; null: it has none that can learn. */
function biasOf(module: Module): Parameter | null {
  for (const [name, parameter] of module.namedParameters())
    if (name === 'bias' && isFloating(parameter.dtype)) return parameter
  return null
}

/** The modules whose bias learns, without those that learn whole. */
function biasModules(model: Module, kind: LoraOptions['bias'], adapted: ReadonlySet<Module>, saved: readonly Named[]) {
  if (kind === undefined || kind === 'none') return []
  const whole = new Set(saved.flatMap(([, module]) => module.modules()))
  return ownModules(model).filter(([, module]) => {
    return !whole.has(module) && (kind === 'all' || adapted.has(module)) && biasOf(module) !== null
  })
}

/** Checks options against a model, adapted already or not, and changes nothing. Throws ValueError for what does not fit. */
export function planLora(op: string, model: Module, given: LoraOptions): Plan {
  checkModel(op, model)
  const options = ownOptions(op, given, {
    name: true,
    rank: true,
    alpha: true,
    dropout: true,
    ...targetNames,
    modulesToSave: true,
    rankPattern: true,
    alphaPattern: true,
    rankStabilized: true,
    dora: true,
    loraBias: true,
    bias: true,
    generator: true,
  })
  const { name = 'default', rank = 8, alpha = rank, dropout = 0, rankStabilized = false, generator } = options
  const { dora = false, loraBias = false, bias = 'none' } = options
  checkAdapterName(op, name)
  checkDropout(op, 'dropout', dropout)
  checkFlags(op, { rankStabilized, dora, loraBias })
  if (!biasKinds.includes(bias))
    throw new ValueError(op, `bias is ${shown(bias)}, but must be one of ${biasKinds.join(', ')}`)
  if (dora && loraBias) throw new ValueError(op, 'DoRA has no bias of its own, as in PEFT; leave out loraBias or dora')
  checkGenerator(op, generator)
  const saved = savedModules(op, model, options)
  checkSaved(op, name, saved)
  const named = targetLayers(op, model, saved, options)
  const paths = named.map(([path]) => path)
  const ranks = byPatterns(op, 'rankPattern', options.rankPattern, paths)
  const alphas = byPatterns(op, 'alphaPattern', options.alphaPattern, paths)
  const whole = new Set(saved.flatMap(([, module]) => module.modules()))
  const layers = new Map<Adaptable, Plan['layers'][number]>()
  named.forEach(([path, layer], i) => {
    const r = ranks[i] ?? rank
    const a = alphas[i] ?? alpha
    if (!Number.isInteger(r) || r < 1)
      throw new ValueError(op, `rank is ${shown(r)} for ${path}, but must be a positive integer`)
    if (typeof a !== 'number' || !Number.isFinite(a))
      throw new ValueError(op, `alpha is ${shown(a)} for ${path}, but must be a number`)
    const { adaptation } = layer
    if (adaptation.by === 'embedding' && loraBias)
      throw new ValueError(op, `loraBias is not for embeddings, as ${path} is one; choose other layers`)
    if (adaptation.by === 'conv2d' && adaptation.options.groups > 1 && dora)
      throw new ValueError(op, `dora is not for convolutions of groups, as ${path} is one; choose other layers`)
    if (adaptation.by === 'conv2d' && r % adaptation.options.groups !== 0)
      throw new ValueError(
        op,
        `rank ${r} does not divide into the ${adaptation.options.groups} groups of ${path}; choose another by rankPattern`,
      )
    const sizes = { rank: r, scale: a / (rankStabilized ? Math.sqrt(r) : r) }
    layers.set(layer, { fileName: path, layer, ...sizes })
    if (adaptation.by !== 'linear' || adaptation.along === undefined) return
    // A layer that is adapted along stands in PEFT's files within the layer that is wrapped.
    for (const [inner, module] of layer.namedModules())
      if (adaptation.along.includes(module as Adaptable) && !whole.has(module))
        layers.set(module as Adaptable, {
          fileName: `${path === '' ? '' : `${path}.`}base_layer.${inner}`,
          layer: module as Adaptable,
          ...sizes,
        })
  })
  const biases = biasModules(model, bias, new Set(layers.keys()), saved)
  return { name, options: { ...options, rank, alpha, dropout }, layers: [...layers.values()], saved, biases }
}

/** The adapters that a plan asks for: those that are there, where the rank is the same, so that optimisers know them. */
export function adaptersOf({ name, options, layers }: Plan): ReadonlyMap<Adaptable, LoraAdapter> {
  const { dropout = 0, dora = false, loraBias: bias = false, generator } = options
  return new Map(
    layers.map(({ layer, rank, scale }) => {
      const adapter = layer.adapters.get(name)
      const fits =
        adapter instanceof LoraAdapter &&
        adapter.rank === rank &&
        adapter.isSum === !dora &&
        (adapter.factorBias !== null) === bias
      const own = { rank, scale, dropout, bias, dora, ...(generator ? { generator } : {}) }
      return [layer, fits ? adapter : loraFor(layer, own)]
    }),
  )
}

/** The weights of modules that learn whole: those that the adapter has, else copies of the original ones. */
export function copiesOf({ name, saved, biases }: Plan): ReadonlyMap<Module, Copy> {
  const there = (module: Module, isBias: boolean): Copy | undefined => {
    const copy = copiesAt(module)?.get(name)
    return copy?.isPart === isBias ? copy : undefined
  }
  return new Map([
    ...saved.map(([, module]) => [module, there(module, false) ?? copyOf(module)] as const),
    ...biases.map(([, module]) => [module, there(module, true) ?? copyOf(module, ['bias'])] as const),
  ])
}

/** Puts adapters in, which take the place of those of their name and are then the only active ones. */
export function attach(
  model: Module,
  plan: Plan,
  adapters: ReadonlyMap<Adaptable, LoraAdapter>,
  whole: ReadonlyMap<Module, Copy>,
): void {
  const { name, options } = plan
  for (const [, copies] of copiesIn(model)) if (!whole.has(copies.module)) copies.delete(name)
  for (const [module, copy] of whole) Copies.of(module).set(name, copy)
  for (const [, layer] of loraLayers(model, name)) if (!adapters.has(layer)) layer.adapters.delete(name)
  for (const parameter of model.parameters()) parameter.requiresGrad = false
  for (const { layer, scale } of plan.layers) {
    const adapter = adapters.get(layer) as LoraAdapter
    adapter.configure(scale, options.dropout ?? 0)
    layer.adapters.set(name, adapter.train(layer.training) as LoraAdapter)
  }
  activate(model, [name])
  // Another adapter over the same base: what changed since the first is still not the base's.
  if (loraNames(model).length === 0) noteBase(model)
  noteLora(model, name, options)
}

/**
 * Freezes the model and gives every target layer a low-rank adapter that learns; gives the model. Layers keep their identity, so
 * optimisers over `model.parameters()`, made before or after, train just the adapters. Targets are Linear, Embedding, Conv2d and
 * MultiheadAttention. 'all-linear' takes Linear layers, those inside other layers too, as the `out_proj` of a
 * MultiheadAttention; to adapt its queries, keys and values as well, name the attention itself (`self_attn`). A model may have
 * several adapters by name: the new one is then the only active one, until `setAdapter` or `withAdapter` say otherwise. Paths are those of `namedModules()`, where properties are in snake case (`selfAttn.outProj` is
 * `self_attn.out_proj`). Batch norms in training learn their statistics, frozen or not: call `eval()` on them, or name them in
 * `modulesToSave`. Throws ValueError for unknown targets, and has then changed nothing.
 */
export function applyLora<M extends Module>(model: M, options: LoraOptions): M {
  const op = 'applyLora'
  const plan = planLora(op, model, options)
  checkFree(op, model, plan.name)
  checkSwitch(op, model, [])
  attach(model, plan, adaptersOf(plan), copiesOf(plan))
  return model
}

/**
 * Takes adapters away, all of LoRA's or the one named: without what they learned, unless it was merged. Modules in
 * `modulesToSave` have their original weights again, or keep those of an adapter that was merged. Others that were active stay so.
 * The base stays frozen, as applyLora left it, because what learned before that is not known; call `unfreeze(model)` to train it.
 * Throws ValueError if there is none.
 */
export function removeLora(model: Module, options: { readonly name?: string } = {}): void {
  const op = 'removeLora'
  checkModel(op, model)
  const { name } = checkOptions(op, options, { name: true })
  const names = name === undefined && loraNames(model).length > 0 ? loraNames(model) : [loraName(op, model, name)]
  for (const each of names) {
    const layers = loraLayers(model, each)
    const adopt = layers.some(([, , { merged }]) => merged)
    for (const [, layer] of layers) layer.adapters.delete(each)
    for (const [, copies] of copiesIn(model)) copies.delete(each, { adopt })
    forgetLora(model, each)
  }
  if (loraNames(model).length === 0) forgetBase(model)
}
