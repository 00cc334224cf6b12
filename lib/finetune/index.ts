export { countParameters, freeze, type GradualOptions, type Selection, unfreeze, unfreezeGradually } from './freeze.js'
export { applyLora, LoraAdapter, type LoraOptions, removeLora } from './lora.js'
export { mergeLora, unmergeLora } from './merge.js'
export { loadAdapter, saveAdapter } from './peft.js'
