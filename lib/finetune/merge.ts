/** Merges adapters into the weights, and takes them out again. */
import { noGrad } from '../autograd/mode.js'
import { ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { checkAlive, type Tensor } from '../core/tensor.js'
import type { Adaptable } from '../nn/adapter.js'
import { checkFlags } from '../nn/layer.js'
import type { Module } from '../nn/module.js'
import { originalOf } from '../nn/parameter.js'
import { overlaps } from '../nn/views.js'
import { checkDistinct } from '../ops/common.js'
import { to } from '../ops/convert.js'
import { copyInto } from '../ops/inplace.js'
import { appliedName, appliedNames } from './applied.js'
import { type LayerValues, MergeableAdapter } from './mergeable.js'
import { layersOf } from './plan.js'
import { checkModel, listed, quoted } from './select.js'

/** The model's tensors by their memory, each with its name and the module that owns it. */
function holders(model: Module) {
  const found = new Map<object, { name: string; holder: Module; tensor: Tensor }[]>()
  for (const [path, holder] of model.namedModules())
    holder.visitOwn((own, tensor) => {
      const each = { name: path === '' ? own : `${path}.${own}`, holder, tensor }
      const others = found.get(tensor.storage)
      if (others) others.push(each)
      else found.set(tensor.storage, [each])
    }, null)
  return found
}

/** The tensors that merging reads and writes in a layer, including those of its adapters. */
function stateOf(path: string, layer: Adaptable): (readonly [string, Tensor])[] {
  return layer.namedState().map(([name, tensor]) => [path === '' ? name : `${path}.${name}`, tensor])
}

function write(op: string, layer: Adaptable, { weight, bias }: LayerValues): void {
  const put = (own: Tensor, value: Tensor) => copyInto(own, to(to(value, own.device), own.dtype), op)
  put(layer.dense(), weight)
  if (bias !== null && layer.bias !== null) put(layer.bias, bias)
}

export interface MergeOptions {
  /** The adapter's name. Default: all active adapters for merging, and all merged ones for unmerging. */
  readonly name?: string
}

export interface MergeIntoOptions extends MergeOptions {
  /**
   * Whether to merge into a weight that has another user in the model, such as an embedding tied to its head, as PEFT
   * does. The other user then computes with the merged weight, so results change. Default false: it is an error.
   */
  readonly shared?: boolean
}

function chosen(op: string, model: Module, name: string | undefined): readonly string[] {
  checkModel(op, model)
  if (name !== undefined || appliedNames(model).length === 0) return [appliedName(op, model, name)]
  return appliedNames(model)
}

/**
 * Writes the adapters' parts (LoRA's products, the factors of DoRA and IA3) into the weights: the same results without
 * the adapters' cost. The products stop learning until `unmergeLora` or `removeLora`. Until then `stateDict`, `save`,
 * `loadStateDict` and `load` refuse, because the model's state would contain each product twice. `saveAdapter` works,
 * because it writes only the factors, and so does `loadAdapter`, which unmerges first. Modules that learned whole
 * (`modulesToSave`) keep the learned weights as their own when a merged adapter is removed. Merging twice changes
 * nothing.
 *
 * Throws ValueError, and changes nothing, in three cases. The named adapter is not active, or shares a layer with
 * another adapter that is not a sum. A weight has another user in the model, which merging would change too, as an
 * embedding that is tied to its head. A layer cannot hold the product, as a convolution with groups.
 */
export function mergeLora(model: Module, options: MergeIntoOptions = {}): void {
  const op = 'mergeLora'
  const { name: given, shared = false } = checkOptions(op, options, { name: true, shared: true })
  checkFlags(op, { shared })
  const names = chosen(op, model, given)
  const layers = names
    .flatMap((name) => layersOf(model, name).map(([path, layer, adapter]) => ({ name, path, layer, adapter })))
    .filter(({ adapter }) => !adapter.merged)
  const merging = layers.filter(({ name, layer }) => layer.adapters.active.includes(name))
  if (merging.length < layers.length && (given !== undefined || merging.length === 0))
    throw new ValueError(
      op,
      `${quoted(names)} ${names.length === 1 ? 'is' : 'are'} not active, and merging would change results; call setAdapter first`,
    )
  const all = holders(model)
  for (const { name, path, layer, adapter } of merging) {
    checkAlive(op, stateOf(path, layer))
    const { weight, alsoRead } = layer.adaptation
    checkDistinct(op, `the weight of ${path}`, weight)
    if (originalOf(weight) !== weight)
      throw new ValueError(
        op,
        `the weight of ${path} belongs to another adapter, which learns it whole (modulesToSave); switch that one off first`,
      )
    const why = adapter.unmergeable(layer)
    if (why !== null) throw new ValueError(op, `${path} cannot hold the product: ${why}; leave the adapter beside it`)
    if (layer.dense().storage !== weight.storage)
      throw new ValueError(op, `the weight of ${path} is ${weight.dtype}, whose numbers cannot be written in place`)
    const others = layer.adapters.names.filter((each) => {
      return each !== name && (layer.adapters.active.includes(each) || layer.adapters.get(each)?.merged)
    })
    const isSum = (each: string) => {
      const other = layer.adapters.get(each)
      return other instanceof MergeableAdapter && other.isSum
    }
    const foreign = adapter.isSum ? others.filter((each) => !isSum(each)) : others
    if (foreign.length > 0)
      throw new ValueError(
        op,
        `${path} has the adapter ${quoted(foreign)} too, ${adapter.isSum ? 'which may not be a sum' : `beside which '${name}' is not a sum`}; switch it off first`,
      )
    if (alsoRead)
      throw new ValueError(
        op,
        `the weight of ${path} is also used by its ${alsoRead}, which merging would change; leave the adapter beside the weight`,
      )
    // One example is an embedding that is also its head.
    const also = (all.get(weight.storage) ?? [])
      .filter(({ holder, tensor }) => (holder !== layer || tensor !== weight) && overlaps(tensor, weight))
      .map(({ name: other }) => other)
    if (also.length > 0 && !shared)
      throw new ValueError(
        op,
        `the weight of ${path} is also ${listed(also)}, which merging would change too; leave the adapter beside the ` +
          'weight, give the layer its own copy before applyLora (new nn.Parameter(weight.clone())), or allow it as PEFT ' +
          'does, with { shared: true }',
      )
  }
  noGrad(() => {
    for (const { layer, adapter } of merging) write(op, layer, adapter.fold(layer))
  })
}

/**
 * Takes merged parts out of the weights again, as they were merged, whatever the adapters hold now. LoRA's products are
 * subtracted, within rounding. After DoRA and IA3 the weights are the original ones, bit for bit, because merging kept
 * a copy of them.
 */
export function unmergeLora(model: Module, options: MergeOptions = {}): void {
  const op = 'unmergeLora'
  const names = chosen(op, model, checkOptions(op, options, { name: true }).name)
  const merged = names.flatMap((name) => layersOf(model, name)).filter(([, , adapter]) => adapter.merged)
  for (const [path, layer] of merged) {
    // The adapters may hold anything now, because unmerging reads the records of merging.
    layer.adaptation.weight.storage.check(op, `the weight of ${path}`)
    layer.bias?.storage.check(op, `the bias of ${path}`)
  }
  noGrad(() => {
    // Layers that share a weight go back in turn, because each one's copy holds what was merged before it.
    for (const [, layer, adapter] of merged.reverse()) write(op, layer, adapter.unfold(layer))
  })
}
