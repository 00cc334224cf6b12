export { countParameters, freeze, type GradualOptions, type Selection, unfreeze, unfreezeGradually } from './freeze.js'
export { applyLora, LoraAdapter, type LoraOptions, mergeLora, removeLora, unmergeLora } from './lora.js'
export { loadAdapter, saveAdapter } from './peft.js'
