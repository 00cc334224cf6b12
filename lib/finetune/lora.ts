/** LoRA (Hu et al., 2021): a low-rank product beside a frozen weight, in the slot that adaptable layers have. */
import { noGrad } from '../autograd/mode.js'
import { ValueError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { Dropout } from '../nn/activation.js'
import { type Adaptable, type Adapter, isAdaptable } from '../nn/adapter.js'
import { zeros_ } from '../nn/init.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { add, mul } from '../ops/elementwise/index.js'
import { copyInto } from '../ops/inplace.js'
import { matmul } from '../ops/matmul.js'

export interface LoraOptions {
  /** Inner size of the product. Default 8. */
  readonly rank?: number
  /** The product is scaled by alpha / rank. Default: the rank. */
  readonly alpha?: number
  /** Of the product's input, in training. Default 0. */
  readonly dropout?: number
  /** Layers by name: a path or its last part ('q_proj'), a regular expression on paths, or 'all-linear'. */
  readonly targetModules: readonly string[] | RegExp | 'all-linear'
  /** Modules that learn whole and are saved with the adapter, as a new head does; by name as above. */
  readonly modulesToSave?: readonly string[]
  /** Other ranks and alphas for some layers, by name. */
  readonly rankPattern?: { readonly [name: string]: number }
  readonly alphaPattern?: { readonly [name: string]: number }
  /** Scale by alpha / sqrt(rank) (Kalajdzievski, 2023). Default false. */
  readonly rankStabilized?: boolean
  /** For the initial weights. */
  readonly generator?: Generator
}

/** The adapter of one layer: result + B A x * scale. B begins as zeros, so that nothing changes before training. */
export class LoraAdapter extends Module implements Adapter {
  static override readonly stateNames = { loraA: 'lora_A', loraB: 'lora_B' }
  readonly loraA: Linear
  readonly loraB: Linear
  readonly rank: number
  readonly scale: number
  readonly dropout: Dropout
  /** Whether the product is in the layer's weight already. */
  merged = false

  constructor(layer: Adaptable, rank: number, scale: number, dropout: number, generator: Generator | undefined) {
    super()
    const { weight, inFeatures, outFeatures } = layer.adaptation
    const placed = { device: weight.device, dtype: weight.dtype, bias: false, ...(generator ? { generator } : {}) }
    this.loraA = new Linear(inFeatures, rank, placed)
    this.loraB = new Linear(rank, outFeatures, placed)
    zeros_(this.loraB.weight)
    this.rank = rank
    this.scale = scale
    this.dropout = new Dropout(dropout)
  }

  forward(x: Tensor, base: Tensor): Tensor {
    if (this.merged) return base
    const inner: Tensor = this.loraA.forward(this.dropout.forward(x))
    // Scaled where it is small.
    return add(base, this.loraB.forward(mul(inner, this.scale)) as Tensor)
  }

  /** What the adapter adds to the layer's weight [out, in]. */
  delta(): Tensor {
    return mul(matmul(this.loraB.weight, this.loraA.weight) as Tensor, this.scale)
  }
}

/** Whether a path is one of the names: the path itself, or its last parts. */
export function isNamed(path: string, names: readonly string[]): boolean {
  return names.some((name) => path === name || path.endsWith(`.${name}`))
}

function patternValue(path: string, pattern: { readonly [name: string]: number } | undefined): number | undefined {
  for (const [name, value] of Object.entries(pattern ?? {})) if (isNamed(path, [name])) return value
  return undefined
}

const optionsOf = new WeakMap<Module, LoraOptions>()

/** The options that LoRA was applied with. Throws ValueError if it was not. */
export function loraOptions(op: string, model: Module): LoraOptions {
  const options = optionsOf.get(model)
  if (options === undefined) throw new ValueError(op, 'the model has no LoRA adapter; call applyLora first')
  return options
}

/** Every layer of the model with a LoRA adapter, by path. */
export function* loraLayers(model: Module): Iterable<readonly [string, Module & Adaptable, LoraAdapter]> {
  for (const [path, module] of model.namedModules())
    if (isAdaptable(module) && module.adapter instanceof LoraAdapter) yield [path, module, module.adapter]
}

function targets(model: Module, { targetModules }: LoraOptions): (readonly [string, Module & Adaptable])[] {
  const adaptable: (readonly [string, Module & Adaptable])[] = []
  for (const [path, module] of model.namedModules()) if (isAdaptable(module)) adaptable.push([path, module])
  const wanted = (path: string) =>
    targetModules === 'all-linear'
      ? true
      : targetModules instanceof RegExp
        ? targetModules.test(path)
        : isNamed(path, targetModules)
  const found = adaptable.filter(([path]) => wanted(path))
  if (found.length === 0)
    throw new ValueError(
      'applyLora',
      `no layer matches ${String(targetModules)}; layers that can be adapted are ${adaptable.map(([path]) => path).join(', ') || 'none'}`,
    )
  return found
}

/**
 * Freezes the model and gives every target layer a low-rank adapter that learns. Layers keep their identity, so optimisers over
 * `model.parameters()`, made before or after, train just the adapters. Throws ValueError for unknown targets.
 */
export function applyLora<M extends Module>(model: M, options: LoraOptions): M {
  checkOptions('applyLora', options, {
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
  const { rank = 8, dropout = 0, generator } = options
  if (optionsOf.has(model))
    throw new ValueError('applyLora', 'the model has a LoRA adapter already; removeLora it first')
  const layers = targets(model, options)
  const saved = options.modulesToSave ?? []
  const kept = [...model.namedModules()].filter(([path]) => isNamed(path, saved))
  if (saved.length > 0 && kept.length === 0)
    throw new ValueError('applyLora', `no module matches modulesToSave ${saved.join(', ')}`)
  const sizes = layers.map(([path]) => {
    const r = patternValue(path, options.rankPattern) ?? rank
    const alpha = patternValue(path, options.alphaPattern) ?? options.alpha ?? r
    if (!Number.isInteger(r) || r < 1)
      throw new ValueError('applyLora', `rank is ${String(r)} for ${path}, but must be a positive integer`)
    if (!Number.isFinite(alpha))
      throw new ValueError('applyLora', `alpha is ${String(alpha)} for ${path}, but must be a number`)
    return { r, scale: alpha / (options.rankStabilized ? Math.sqrt(r) : r) }
  })
  for (const parameter of model.parameters()) parameter.requiresGrad = false
  layers.forEach(([, layer], i) => {
    const { r, scale } = sizes[i] as { r: number; scale: number }
    layer.adapter = new LoraAdapter(layer, r, scale, dropout, generator).train(model.training)
  })
  for (const [, module] of kept) module.requiresGrad_(true)
  optionsOf.set(model, { ...options, rank, alpha: options.alpha ?? rank, dropout })
  return model
}

function fold(op: string, model: Module, merge: boolean): void {
  loraOptions(op, model)
  noGrad(() => {
    for (const [, layer, adapter] of loraLayers(model)) {
      if (adapter.merged === merge) continue
      const { weight } = layer.adaptation
      copyInto(weight, add(weight as Tensor, mul(adapter.delta(), merge ? 1 : -1)) as Tensor, op)
      adapter.merged = merge
    }
  })
}

/** Adds the adapters' products to the weights: the same results without their cost. Merging twice changes nothing. */
export function mergeLora(model: Module): void {
  fold('mergeLora', model, true)
}

/** Takes the products out of the weights again (within rounding). */
export function unmergeLora(model: Module): void {
  fold('unmergeLora', model, false)
}

/** Takes the adapters away: without what they learned, unless it was merged. */
export function removeLora(model: Module): void {
  loraOptions('removeLora', model)
  for (const [, layer] of [...loraLayers(model)]) layer.adapter = null
  optionsOf.delete(model)
}
