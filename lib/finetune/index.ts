export * from '../tasks/index.js'
export { setAdapter, withAdapter, withoutAdapters } from './adapters.js'
export { countParameters, freeze, type GradualOptions, type Selection, unfreeze, unfreezeGradually } from './freeze.js'
export { applyLora, type LoraOptions, removeLora } from './lora.js'
export {
  LoraAdapter,
  type LoraAdapterOptions,
  LoraConv2d,
  LoraEmbedding,
  LoraLinear,
} from './lora-adapter.js'
export { type MergeOptions, mergeLora, unmergeLora } from './merge.js'
export { type AdapterFileOptions, loadAdapter, saveAdapter } from './peft.js'
export { type QuantizeOptions, quantize } from './quantize.js'
