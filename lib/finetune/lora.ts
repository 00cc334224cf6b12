/** LoRA (Hu et al., 2021): a low-rank product beside a frozen weight, in the slot that adaptable layers have. */
import { kindOf, namedAs, shown, ValueError } from '../core/errors.js'
import { checkGenerator, type Generator } from '../core/generator.js'
import { ownOptions } from '../core/options.js'
import { keep, outsideFrames } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import { Dropout } from '../nn/activation.js'
import { type Adaptable, type Adapter, isAdaptable } from '../nn/adapter.js'
import { zeros_ } from '../nn/init.js'
import { checkDropout, checkFlags, checkNumber, checkSizes } from '../nn/layer.js'
import { Linear } from '../nn/linear.js'
import { Module, settings } from '../nn/module.js'
import { guardState } from '../nn/state.js'
import { add, mul } from '../ops/elementwise/index.js'
import { matmul } from '../ops/matmul.js'
import { clone } from '../ops/shape.js'
import { forgetBase, noteBase } from './base.js'
import { Pattern } from './pattern.js'
import { byNames, byPatterns, checkModel, checkNames, listed, type Named, quoted, stateless } from './select.js'

export interface LoraOptions {
  /** Inner size of the product. Default 8. */
  readonly rank?: number
  /** The product is scaled by alpha / rank. Default: `rank`, for layers of another rank too. */
  readonly alpha?: number
  /** Of the product's input, in training. Default 0. */
  readonly dropout?: number
  /**
   * The layers: a list of names, each a path or its last parts ('q_proj'); a string, which is a regular expression of Python
   * that must match whole paths, as in PEFT (`pattern.ts` says what there is); a RegExp tried on paths; or 'all-linear', every
   * Linear. Those in `modulesToSave` are left out. What selects nothing is an error.
   */
  readonly targetModules: readonly string[] | RegExp | string
  /** Modules that learn whole and are saved with the adapter, as a new head does: paths or their last parts. */
  readonly modulesToSave?: readonly string[]
  /**
   * Other ranks and alphas for some layers. A key is a regular expression of Python for the end of a path, as in PEFT; the first
   * that matches counts.
   */
  readonly rankPattern?: { readonly [pattern: string]: number }
  readonly alphaPattern?: { readonly [pattern: string]: number }
  /** Scale by alpha / sqrt(rank) (Kalajdzievski, 2023). Default false. */
  readonly rankStabilized?: boolean
  /** For the initial weights. */
  readonly generator?: Generator
}

/** The product that is in a layer's weight, as it was when it was added, and which of its factors were learning. */
interface Folded {
  readonly loraA: Tensor
  readonly loraB: Tensor
  readonly scale: number
  readonly learned: readonly Tensor[]
}

/** The adapter of one layer: result + B A x * scale. B begins as zeros, so that nothing changes before training. */
export class LoraAdapter extends Module implements Adapter {
  static override readonly stateNames = { loraA: 'lora_A', loraB: 'lora_B' }
  readonly loraA: Linear
  readonly loraB: Linear
  readonly rank: number
  dropout: Dropout
  #scale: number
  #folded: Folded | null = null

  constructor(layer: Adaptable, rank: number, scale: number, dropout: number, generator: Generator | undefined) {
    super()
    if (!isAdaptable(layer))
      throw new ValueError(
        'LoraAdapter',
        `the layer is ${kindOf(layer)}, but must be one that can be adapted, as Linear is`,
      )
    checkSizes('LoraAdapter', { rank })
    checkNumber('LoraAdapter', 'scale', scale)
    checkDropout('LoraAdapter', 'dropout', dropout)
    checkGenerator('LoraAdapter', generator)
    const { weight, inFeatures, outFeatures } = layer.adaptation
    const placed = { device: weight.device, dtype: weight.dtype, bias: false, ...(generator ? { generator } : {}) }
    this.loraA = namedAs('LoraAdapter', () => new Linear(inFeatures, rank, placed))
    this.loraB = namedAs('LoraAdapter', () => new Linear(rank, outFeatures, placed))
    zeros_(this.loraB.weight)
    this.rank = rank
    this.#scale = scale
    this.dropout = new Dropout(dropout)
  }

  /** What the product is multiplied by. */
  get scale(): number {
    return this.#scale
  }

  /** Whether the product is in the layer's weight already. */
  get merged(): boolean {
    return this.#folded !== null
  }

  override extraRepr(): string {
    return settings({ rank: this.rank, scale: this.scale, merged: this.merged })
  }

  forward(x: Tensor, base: Tensor): Tensor {
    if (this.merged) return base
    const inner: Tensor = this.loraA.forward(this.dropout.forward(x))
    // Scaled where it is small.
    return add(base, this.loraB.forward(mul(inner, this.scale)))
  }

  /** What the adapter adds to the layer's weight [out, in]. */
  delta(): Tensor {
    return product(this.loraA.weight, this.loraB.weight, this.scale)
  }

  /** Takes over the settings of another adapter of the same rank. */
  configure(scale: number, dropout: number): void {
    this.#scale = scale
    this.dropout = new Dropout(dropout).train(this.training)
  }

  /**
   * For mergeLora: what is to be added to the weight. The factors are noted and stop learning, because a merged product must
   * leave the weight as it came, whatever happens to them.
   */
  fold(): Tensor {
    const factors: readonly Tensor[] = [this.loraA.weight, this.loraB.weight]
    const delta = this.delta()
    const [loraA, loraB] = outsideFrames(() => factors.map((factor) => keep(clone(factor.detach())))) as [
      Tensor,
      Tensor,
    ]
    const learned = factors.filter(({ requiresGrad }) => requiresGrad)
    for (const factor of learned) factor.requiresGrad = false
    this.#folded = { loraA, loraB, scale: this.scale, learned }
    return delta
  }

  /** For unmergeLora: what was added. */
  unfold(): Tensor {
    const { loraA, loraB, scale, learned } = this.#folded as Folded
    for (const factor of learned) factor.requiresGrad = true
    this.#folded = null
    return product(loraA, loraB, scale)
  }

  /** A state that holds the product in the weight and beside it would add it twice where it is loaded. */
  [guardState](op: string): void {
    if (this.merged)
      throw new ValueError(
        op,
        'a LoRA adapter is merged into its weight; call unmergeLora first, or removeLora for the merged weights alone',
      )
  }
}

function product(loraA: Tensor, loraB: Tensor, scale: number): Tensor {
  return mul(matmul(loraB, loraA), scale)
}

const optionsOf = new WeakMap<Module, LoraOptions>()

/** The options that LoRA was applied with. Throws ValueError if it was not. */
export function loraOptions(op: string, model: Module): LoraOptions {
  const options = optionsOf.get(model)
  if (options === undefined) throw new ValueError(op, 'the model has no LoRA adapter; call applyLora first')
  return options
}

export function hasLora(model: Module): boolean {
  return optionsOf.has(model)
}

type Layer = Module & Adaptable

/** Every layer of the model with a LoRA adapter, by path. */
export function loraLayers(model: Module): (readonly [string, Layer, LoraAdapter])[] {
  return model
    .namedModules()
    .flatMap(([path, module]) =>
      isAdaptable(module) && module.adapter instanceof LoraAdapter ? [[path, module, module.adapter] as const] : [],
    )
}

/** The model's modules without those of adapters. */
function ownModules(model: Module): Named[] {
  const ofAdapters = new Set(loraLayers(model).flatMap(([, , adapter]) => adapter.modules()))
  return model.namedModules().filter(([, module]) => !ofAdapters.has(module))
}

/** Modules that learn whole. Throws ValueError naming entries that name none. */
export function savedModules(op: string, model: Module, { modulesToSave = [] }: LoraOptions): Named[] {
  checkNames(op, 'modulesToSave', modulesToSave)
  return byNames(op, 'modulesToSave', modulesToSave, ownModules(model).slice(1))
}

/** What applying LoRA comes to: layers with the sizes of their adapters, and modules that learn whole. */
export interface Plan {
  readonly options: LoraOptions
  readonly layers: readonly {
    readonly path: string
    readonly layer: Layer
    readonly rank: number
    readonly scale: number
  }[]
  readonly saved: readonly Named[]
}

function targets(op: string, model: Module, saved: readonly Named[], targetModules: unknown): Named<Layer>[] {
  const whole = new Set(saved.flatMap(([, module]) => module.modules()))
  const adaptable = ownModules(model).filter(
    (named): named is Named<Layer> => isAdaptable(named[1]) && !whole.has(named[1]),
  )
  /** Of what is there, but not among the layers to choose from. */
  const why = (isNamed: (path: string) => boolean) => {
    const there = ownModules(model).filter(
      ([path, module]) => isNamed(path) && !(isAdaptable(module) && !whole.has(module)),
    )
    const said = there.map(([path, module]) =>
      whole.has(module) ? `'${path}' is in modulesToSave, which learns whole` : `'${path}' is ${kindOf(module)}`,
    )
    if (there.some(([, module]) => !whole.has(module))) said.push('LoRA adapts Linear')
    return said.length === 0 ? '' : `${listed(said, 10, '; ')}; `
  }
  if (Array.isArray(targetModules)) {
    checkNames(op, 'targetModules', targetModules)
    if (targetModules.length > 0) return byNames(op, 'targetModules', targetModules, adaptable, why)
  } else if (!(targetModules instanceof RegExp) && (typeof targetModules !== 'string' || targetModules === ''))
    throw new ValueError(
      op,
      `targetModules is ${shown(targetModules)}, but must be a list of names, a regular expression, or 'all-linear'`,
    )
  let wanted: (path: string) => boolean = () => true
  if (targetModules instanceof RegExp) wanted = stateless(targetModules)
  else if (typeof targetModules === 'string' && targetModules !== 'all-linear') {
    const pattern = new Pattern(targetModules, op, 'targetModules')
    wanted = (path) => pattern.matches(path)
  }
  const found = Array.isArray(targetModules) ? [] : adaptable.filter(([path]) => wanted(path))
  if (found.length === 0)
    throw new ValueError(
      op,
      `no layer matches targetModules ${shown(targetModules)}; ${Array.isArray(targetModules) ? '' : why(wanted)}layers that can be adapted are ${quoted(adaptable.map(([path]) => path))}`,
    )
  return found
}

/** Checks options against a model, adapted already or not, and changes nothing. Throws ValueError for what does not fit. */
export function planLora(op: string, model: Module, given: LoraOptions): Plan {
  checkModel(op, model)
  const options = ownOptions(op, given, {
    rank: true,
    alpha: true,
    dropout: true,
    targetModules: true,
    modulesToSave: true,
    rankPattern: true,
    alphaPattern: true,
    rankStabilized: true,
    generator: true,
  })
  const { rank = 8, alpha = rank, dropout = 0, rankStabilized = false, generator } = options
  checkDropout(op, 'dropout', dropout)
  checkFlags(op, { rankStabilized })
  checkGenerator(op, generator)
  const saved = savedModules(op, model, options)
  const layers = targets(op, model, saved, options.targetModules)
  const other = layers.filter(([, { adapter }]) => adapter !== null && !(adapter instanceof LoraAdapter))
  if (other.length > 0)
    throw new ValueError(
      op,
      `another adapter than LoRA's is in ${listed(other.map(([path]) => path))}; take it out first`,
    )
  const paths = layers.map(([path]) => path)
  const ranks = byPatterns(op, 'rankPattern', options.rankPattern, paths)
  const alphas = byPatterns(op, 'alphaPattern', options.alphaPattern, paths)
  const checked = layers.map(([path, layer], i) => {
    const r = ranks[i] ?? rank
    const a = alphas[i] ?? alpha
    if (!Number.isInteger(r) || r < 1)
      throw new ValueError(op, `rank is ${shown(r)} for ${path}, but must be a positive integer`)
    if (typeof a !== 'number' || !Number.isFinite(a))
      throw new ValueError(op, `alpha is ${shown(a)} for ${path}, but must be a number`)
    return { path, layer, rank: r, scale: a / (rankStabilized ? Math.sqrt(r) : r) }
  })
  return { options: { ...options, rank, alpha, dropout }, layers: checked, saved }
}

/** The adapters that a plan asks for: those that are there, where the rank is the same, so that optimisers know them. */
export function adaptersOf({ options, layers }: Plan): ReadonlyMap<Layer, LoraAdapter> {
  return new Map(
    layers.map(({ layer, rank, scale }) => {
      const { adapter } = layer
      const fits = adapter instanceof LoraAdapter && adapter.rank === rank
      return [layer, fits ? adapter : new LoraAdapter(layer, rank, scale, options.dropout ?? 0, options.generator)]
    }),
  )
}

/** Puts adapters in, which take the place of those there were. */
export function attach(model: Module, plan: Plan, adapters: ReadonlyMap<Layer, LoraAdapter>): void {
  for (const [, layer] of loraLayers(model)) layer.adapter = null
  for (const parameter of model.parameters()) parameter.requiresGrad = false
  for (const { layer, scale } of plan.layers) {
    const adapter = adapters.get(layer) as LoraAdapter
    adapter.configure(scale, plan.options.dropout ?? 0)
    layer.adapter = adapter.requiresGrad_(true).train(layer.training)
  }
  for (const [, module] of plan.saved) module.requiresGrad_(true)
  // Another adapter over the same base: what changed since the first is still not the base's.
  if (!hasLora(model)) noteBase(model)
  optionsOf.set(model, plan.options)
}

/**
 * Freezes the model and gives every target layer a low-rank adapter that learns. Layers keep their identity, so optimisers over
 * `model.parameters()`, made before or after, train just the adapters. Targets are Linear layers, those inside other layers
 * too, as the `out_proj` of MultiheadAttention; its `in_proj_weight` is a parameter of no Linear, and hence stays frozen, with
 * 'all-linear' too. Paths are those of `namedModules()`, where properties are in snake case (`selfAttn.outProj` is
 * `self_attn.out_proj`). Batch norms in training learn their statistics, frozen or not: call `eval()` on them, or name them in
 * `modulesToSave`. Throws ValueError for unknown targets, and has then changed nothing.
 */
export function applyLora<M extends Module>(model: M, options: LoraOptions): M {
  checkModel('applyLora', model)
  const there = loraLayers(model)
  if (hasLora(model) || there.length > 0)
    throw new ValueError(
      'applyLora',
      `the model has a LoRA adapter already, in ${listed(there.map(([path]) => path))}; removeLora it first, from the module that it was applied to`,
    )
  const plan = planLora('applyLora', model, options)
  attach(model, plan, adaptersOf(plan))
  return model
}

/**
 * Takes the adapters away: without what they learned, unless it was merged. The base stays frozen, but for `modulesToSave`, as
 * applyLora left it, because what learned before that is not known; call `unfreeze(model)` to train it.
 */
export function removeLora(model: Module): void {
  loraOptions('removeLora', model)
  for (const [, layer] of loraLayers(model)) layer.adapter = null
  optionsOf.delete(model)
  forgetBase(model)
}
