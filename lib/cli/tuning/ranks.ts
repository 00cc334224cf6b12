/** Ranks of LoRA that exceed the layers' sizes. */
import { LoraAdapter } from '../../finetune/lora-adapter.js'
import { isAdaptable } from '../../nn/adapter.js'
import type { Module } from '../../nn/module.js'

/** A sentence about layers whose smaller side is below their adapter's rank, or null if there are none. */
export function rankWarning(model: Module): string | null {
  const small: { readonly path: string; readonly rank: number; readonly limit: number }[] = []
  for (const [path, layer] of model.namedModules()) {
    if (!isAdaptable(layer)) continue
    for (const name of layer.adapters.names) {
      const adapter = layer.adapters.get(name)
      if (!(adapter instanceof LoraAdapter)) continue
      const { rank, factors } = adapter
      const limit = Math.min(...factors.map(({ numel }) => numel / rank))
      if (rank > limit) small.push({ path, rank, limit })
    }
  }
  const [first] = small.toSorted((a, b) => a.limit - b.limit)
  if (first === undefined) return null
  const others = small.length - 1
  return `rank is ${first.rank}, but no change of ${first.path} has a rank above ${first.limit}${others === 0 ? '' : `, and ${others} more layers are smaller than the rank`}; a rank of at most ${first.limit} learns the same with less memory`
}
