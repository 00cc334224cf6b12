/** LoRA (Hu et al., 2021) for a model: low-rank products beside frozen weights, in the slots of adaptable layers. */
import { kindOf, shown, ValueError } from '../core/errors.js'
import { checkGenerator, type Generator } from '../core/generator.js'
import { ownOptions } from '../core/options.js'
import { checkAlive } from '../core/tensor.js'
import { type Adaptable, type Adapter, checkAdapterName } from '../nn/adapter.js'
import { isInvoked } from '../nn/invocation.js'
import { checkDropout, checkFlags } from '../nn/layer.js'
import type { Module } from '../nn/module.js'
import { checkFree, checkSwitch } from './adapters.js'
import { checkInit, LoraAdapter, type LoraAdapterOptions, type LoraInit } from './lora-adapter.js'
import { loraFor } from './lora-kinds.js'
import { type Naming, planned } from './names.js'
import {
  adaptersOf,
  attach,
  biasModules,
  checkSaved,
  copiesOf,
  type Plan,
  type PlannedPlace,
  savedModules,
} from './plan.js'
import { byPatterns, checkModel } from './select.js'
import { headOf, isPlainLinear, type TargetOptions, targetLayers, targetNames } from './targets.js'
import { tiedEnds, warnOfHolder } from './tied.js'
import { planTokens, type TokenIndices } from './tokens.js'

export interface LoraOptions extends TargetOptions {
  /** The adapter's name, which switching, saving and removing it use. Default 'default'. */
  readonly name?: string
  /** Inner size of the product. Default 8. */
  readonly rank?: number
  /** The product is scaled by alpha / rank. Default: `rank`, even for layers with a different rank. */
  readonly alpha?: number
  /**
   * Dropout of the product's input in training. Default 0. Embeddings have none, as in PEFT, because their input
   * consists of indices.
   */
  readonly dropout?: number
  /**
   * Modules that learn whole and are saved with the adapter, such as a new head: paths or the last parts of paths. The
   * adapter learns a copy of their weights, which replaces the original ones while the adapter is active. Two modules
   * that share a weight get one copy each, as in PEFT, unless `ensureWeightTying` is set.
   */
  readonly modulesToSave?: readonly string[]
  /**
   * Lets an embedding and a head that share a weight also share its copy if `modulesToSave` names one of them, so that
   * the other learns with it. This is PEFT's `ensure_weight_tying`, which recognises the two only by the names
   * `embed_tokens` and `lm_head`. With other names it changes nothing, and a warning of the process says so. Default
   * false. Throws ValueError if `targetModules` names one of them.
   */
  readonly ensureWeightTying?: boolean
  /**
   * Different ranks and alphas for some layers. A key is a regular expression of Python for the end of a path, as in
   * PEFT. The first matching key is used.
   */
  readonly rankPattern?: { readonly [pattern: string]: number }
  readonly alphaPattern?: { readonly [pattern: string]: number }
  /** Scales by alpha / sqrt(rank) (Kalajdzievski, 2023). Default false. */
  readonly rankStabilized?: boolean
  /**
   * Also learns the norm of the weights behind each output (DoRA, Liu et al., 2024). Default false. Its weights are not
   * sums, so no other adapter can be merged in the same layer.
   */
  readonly dora?: boolean
  /**
   * Gives the second factor of each layer a bias, as PEFT's `lora_bias`. Default false. Not allowed for embeddings, nor
   * with `dora`.
   */
  readonly loraBias?: boolean
  /**
   * The biases of the model that learn with the adapter: 'none', those of the adapted layers ('lora_only'), or 'all'.
   * The adapter learns copies, as with `modulesToSave`. Default 'none'.
   */
  readonly bias?: 'none' | 'all' | 'lora_only'
  /**
   * Tokens whose embeddings learn whole beside the products, such as new tokens: a list for the model's input
   * embedding, or lists by the names of embeddings. A head that shares the embedding's weight uses the learned rows
   * too, as in PEFT.
   */
  readonly trainableTokenIndices?: TokenIndices
  /**
   * 'pissa': factors begin as the largest singular values of the weights (Meng et al., 2024), which learn faster.
   * 'olora': factors begin as orthonormal directions of the weights' first columns (Büyükakyüz, 2024), which are found
   * immediately even in large weights. Both are for linear layers; embeddings among the targets begin as without this
   * option. A layer narrower than `rank` gets factors of its own width, scaled as those of the others. Unlike in PEFT the weights themselves stay unchanged, but PEFT's loader accepts the files. 'mica' is what a
   * loaded file of MiCA has, and applyLora refuses it. Default: one factor begins as zeros.
   */
  readonly init?: LoraInit
  /**
   * Adds the products only from the last occurrence of these tokens in each row on, so that keys and values of the text
   * before are those of the base, and a cache of them serves several adapters (aLoRA, Greenewald et al., 2025). A row
   * without them has the base's results, and what is generated after a row with them the adapter's. The embedding and
   * the head cannot be among the targets, nor can such an adapter be merged. Only for models of `AutoModel.forCausalLM`.
   * Default: the products are added everywhere.
   */
  readonly invocationTokens?: readonly number[]
  /** Draws the initial weights. */
  readonly generator?: Generator
}

const biasKinds = ['none', 'all', 'lora_only'] as const

/** The existing adapter if it has these sizes. Null if its sizes differ, or if there is none. */
function fitting(
  adapter: Adapter | undefined,
  { rank, dora, bias, init, invocationTokens }: LoraAdapterOptions,
): LoraAdapter | null {
  const fits =
    adapter instanceof LoraAdapter &&
    adapter.rank === rank &&
    adapter.isSum === !dora &&
    adapter.init === (init ?? null) &&
    String(adapter.invocationTokens) === String(invocationTokens ?? null) &&
    (adapter.factorBias !== null) === bias
  return fits ? adapter : null
}

/** Throws unless an invocation is a list of tokens, for a model that looks for them, without options that forbid it. */
function checkInvocation(op: string, model: Module, { invocationTokens, dora, init }: LoraOptions): void {
  if (invocationTokens === undefined) return
  const isTokens =
    Array.isArray(invocationTokens) &&
    invocationTokens.length > 0 &&
    invocationTokens.every((token) => Number.isSafeInteger(token) && token >= 0)
  if (!isTokens)
    throw new ValueError(op, `invocationTokens are ${shown(invocationTokens)}, but must be a list of tokens`)
  if (!isInvoked(model))
    throw new ValueError(
      op,
      `invocationTokens are for models of AutoModel.forCausalLM, but the model is ${kindOf(model)}; leave them out`,
    )
  if (dora || init !== undefined)
    throw new ValueError(op, `invocationTokens do not go with ${dora ? 'dora' : 'init'}; leave one of them out`)
}

/**
 * Checks options against a model, which may already be adapted, and changes nothing. Throws ValueError for options that
 * do not fit.
 */
export function planLora(op: string, model: Module, given: LoraOptions): Plan {
  checkModel(op, model)
  return planned(model, (naming) => planBy(op, model, given, naming))
}

function planBy(op: string, model: Module, given: LoraOptions, naming: Naming): Plan {
  const options = ownOptions(op, given, {
    name: true,
    rank: true,
    alpha: true,
    dropout: true,
    ...targetNames,
    modulesToSave: true,
    ensureWeightTying: true,
    rankPattern: true,
    alphaPattern: true,
    rankStabilized: true,
    dora: true,
    loraBias: true,
    bias: true,
    trainableTokenIndices: true,
    init: true,
    invocationTokens: true,
    generator: true,
  })
  const { name = 'default', rank = 8, alpha = rank, dropout = 0, rankStabilized = false, generator } = options
  const { dora = false, loraBias = false, bias = 'none', init, ensureWeightTying = false } = options
  const { invocationTokens } = options
  checkInvocation(op, model, options)
  checkAdapterName(op, name)
  checkDropout(op, 'dropout', dropout)
  checkFlags(op, { rankStabilized, dora, loraBias, ensureWeightTying })
  if (!biasKinds.includes(bias))
    throw new ValueError(op, `bias is ${shown(bias)}, but must be one of ${biasKinds.join(', ')}`)
  if (dora && loraBias) throw new ValueError(op, 'DoRA has no separate bias, as in PEFT; leave out loraBias or dora')
  checkGenerator(op, generator)
  checkInit(op, init)
  const own = savedModules(op, model, options.modulesToSave, naming)
  const tied = ensureWeightTying ? tiedEnds(op, model, options, naming) : []
  const saved = [...own, ...tied.filter(([, module]) => own.every(([, other]) => other !== module))]
  checkSaved(op, name, saved)
  const named = targetLayers(op, model, saved, options, naming)
  warnOfHolder(op, model, [...named, ...saved], naming)
  const paths = named.map(([path]) => path)
  if (init !== undefined && init !== 'mica' && named.every(([, { adaptation }]) => adaptation.by === 'embedding'))
    throw new ValueError(op, `init '${init}' is for linear layers, but ${paths[0]} is not one; choose other layers`)
  const ranks = byPatterns(op, 'rankPattern', options.rankPattern, paths)
  const alphas = byPatterns(op, 'alphaPattern', options.alphaPattern, paths)
  const whole = new Set(saved.flatMap(([, module]) => module.modules()))
  const layers = new Map<Adaptable, PlannedPlace>()
  named.forEach(([path, layer], i) => {
    const r = ranks[i] ?? rank
    const a = alphas[i] ?? alpha
    if (!Number.isInteger(r) || r < 1)
      throw new ValueError(op, `rank is ${shown(r)} for ${path}, but must be a positive integer`)
    if (typeof a !== 'number' || !Number.isFinite(a))
      throw new ValueError(op, `alpha is ${shown(a)} for ${path}, but must be a number`)
    const { adaptation } = layer
    if (adaptation.by === 'embedding' && loraBias)
      throw new ValueError(op, `loraBias is not for embeddings such as ${path}; choose other layers`)
    if (invocationTokens !== undefined && (!isPlainLinear(layer) || layer === headOf(model)))
      throw new ValueError(
        op,
        `invocationTokens are for linear layers within the model, but ${path} is not one; choose other layers`,
      )
    if (init !== undefined && adaptation.by !== 'embedding' && !isPlainLinear(layer))
      throw new ValueError(op, `init '${init}' is for linear layers, but ${path} is not one; choose other layers`)
    const most = adaptation.by === 'linear' ? Math.min(adaptation.inFeatures, adaptation.outFeatures) : r
    if (init === 'mica' && r > most)
      throw new ValueError(
        op,
        `rank is ${r} for ${path}, but its weight has fewer rows or columns; choose a smaller one`,
      )
    if (dora && adaptation.by === 'linear' && adaptation.along !== undefined)
      throw new ValueError(op, `dora is not for attention such as ${path}; choose its linear layers`)
    if ('options' in adaptation && adaptation.options.groups > 1 && dora)
      throw new ValueError(op, `dora is not for convolutions with groups such as ${path}; choose other layers`)
    if ('options' in adaptation && r % adaptation.options.groups !== 0)
      throw new ValueError(
        op,
        `rank ${r} does not divide into the ${adaptation.options.groups} groups of ${path}; choose another rank with rankPattern`,
      )
    const scale = a / (rankStabilized ? Math.sqrt(r) : r)
    const place = (fileName: string, at: Adaptable): void => {
      // An embedding begins as without the option, as in PEFT.
      const taking = at.adaptation.by === 'embedding' && init !== 'mica' ? undefined : init
      const begin = {
        ...(taking ? { init: taking } : {}),
        ...(invocationTokens ? { invocationTokens } : {}),
        ...(generator ? { generator } : {}),
      }
      // A weight has only so many singular values and directions. As in PEFT the scale stays that of the whole rank.
      const own = { rank: taking === undefined ? r : Math.min(r, most), scale, dropout, bias: loraBias, dora, ...begin }
      layers.set(at, {
        fileName,
        layer: at,
        make: () => fitting(at.adapters.get(name), own) ?? loraFor(at, own),
        settle: (adapter) => (adapter as LoraAdapter).configure(scale, dropout),
      })
    }
    place(path, layer)
    if (adaptation.by !== 'linear' || adaptation.along === undefined) return
    // In PEFT's files a layer adapted together with another one is inside the wrapped layer.
    for (const [inner, module] of layer.namedModules())
      if (adaptation.along.includes(module as Adaptable) && !whole.has(module))
        place(`${path === '' ? '' : `${path}.`}base_layer.${inner}`, module as Adaptable)
  })
  for (const each of planTokens(op, model, name, options.trainableTokenIndices, whole, naming)) {
    if (layers.has(each.layer as Adaptable))
      throw new ValueError(op, `targetModules and trainableTokenIndices both name ${each.fileName}; use one of them`)
    layers.set(each.layer as Adaptable, each)
  }
  const biases = biasModules(model, bias, new Set(layers.keys()), saved, naming)
  const applied = { kind: 'lora', options: { ...options, rank, alpha, dropout } } as const
  return { name, applied, naming, layers: [...layers.values()], saved, tied: tied.length > 0, biases }
}

/**
 * Freezes the model and gives every target layer a low-rank adapter that learns. Returns the model. Layers keep their
 * identity, so optimizers of `model.parameters()`, made before or after, train only the adapters. Targets are Linear,
 * Embedding, Conv1d to Conv3d and MultiheadAttention. 'all-linear' takes all Linear layers, including those inside
 * other layers, such as the `out_proj` of a MultiheadAttention. To adapt its queries, keys and values as well, name the
 * attention itself (`self_attn`). A model may have several adapters with different names. The new one is then the only
 * active one, until `setAdapter` or `withAdapter` changes that.
 *
 * Paths are those of `namedModules()`, with properties in snake case (`selfAttn.outProj` is `self_attn.out_proj`).
 * Paths of ViT may instead be transformers 5's (`q_proj`), and its files have the names that were given. Batch norms in
 * training learn their statistics even when frozen: call `eval()` on them, or name them in `modulesToSave`. Throws
 * ValueError for unknown targets, and has changed nothing then.
 */
export function applyLora<M extends Module>(model: M, options: LoraOptions): M {
  const op = 'applyLora'
  const plan = planLora(op, model, options)
  checkAlive(op, model.namedParameters())
  if (plan.applied.kind === 'lora' && plan.applied.options.init === 'mica')
    throw new ValueError(
      op,
      "init 'mica' needs all singular values of the weights; begin the adapter in PEFT and load it",
    )
  checkFree(op, model, plan.name)
  checkSwitch(op, model, [])
  attach(model, plan, adaptersOf(plan), copiesOf(plan))
  return model
}
