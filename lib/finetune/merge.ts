/** Merging LoRA's products into the weights, and taking them out again. */
import { noGrad } from '../autograd/mode.js'
import { ValueError } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import type { Module } from '../nn/module.js'
import { overlaps } from '../nn/state.js'
import { to } from '../ops/convert.js'
import { add, mul } from '../ops/elementwise/index.js'
import { checkDistinct, copyInto } from '../ops/inplace.js'
import { LoraAdapter, loraLayers, loraOptions } from './lora.js'
import { listed } from './select.js'

/** By memory: the tensors there, each with its name and the module whose own it is. */
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

function write(op: string, weight: Tensor, delta: Tensor, sign: 1 | -1): void {
  const placed = to(to(delta, weight.device), weight.dtype)
  copyInto(weight, add(weight, sign === 1 ? placed : mul(placed, sign)), op)
}

/**
 * Adds the adapters' products to the weights: the same results without their cost. Until `unmergeLora` or `removeLora` the
 * products stop learning, and the model's state cannot be read, saved or loaded (`stateDict`, `save`, `loadStateDict`, `load`),
 * because it would hold each product twice. `saveAdapter` works, as it writes the factors alone, and so does `loadAdapter`, which
 * unmerges first. Merging twice changes nothing. Throws ValueError, and
 * changes nothing, where a weight has another user in the model, such as an embedding tied to its head: merging would change
 * that too.
 */
export function mergeLora(model: Module): void {
  const op = 'mergeLora'
  loraOptions(op, model)
  const layers = loraLayers(model).filter(([, , { merged }]) => !merged)
  const all = holders(model)
  for (const [path, layer] of layers) {
    const { weight } = layer.adaptation
    checkDistinct(op, `the weight of ${path}`, weight)
    // As an embedding that is its head too.
    const others = (all.get(weight.storage) ?? [])
      .filter(({ holder, tensor }) => (holder !== layer || tensor !== weight) && overlaps(tensor, weight))
      .map(({ name }) => name)
    if (others.length > 0)
      throw new ValueError(
        op,
        `the weight of ${path} is also ${listed(others)}, which merging would change too; leave the adapter beside the ` +
          'weight, or give the layer a copy of its own before applyLora (new nn.Parameter(weight.clone()))',
      )
  }
  noGrad(() => {
    for (const [, layer, adapter] of layers) write(op, layer.adaptation.weight, adapter.fold(), 1)
  })
}

/** Takes the products out of the weights again (within rounding): those that were merged, whatever the adapters hold now. */
export function unmergeLora(model: Module): void {
  loraOptions('unmergeLora', model)
  noGrad(() => {
    for (const [, layer, adapter] of loraLayers(model))
      if (adapter instanceof LoraAdapter && adapter.merged)
        write('unmergeLora', layer.adaptation.weight, adapter.unfold(), -1)
  })
}
