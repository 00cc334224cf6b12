export * from '../tasks/index.js'
export { setAdapter, withAdapter, withoutAdapters } from './adapters.js'
export { type BitfitOptions, bitfit } from './bitfit.js'
export { addWeightedAdapter, type CombineOptions } from './combine.js'
export type { DoraMagnitude } from './dora.js'
export { countParameters, freeze, type Part, type Selection, unfreeze } from './freeze.js'
export { type GradualOptions, type GradualState, unfreezeGradually } from './gradual.js'
export {
  type DecayGroup,
  type HeadRate,
  type LayerGroup,
  type LayerwiseOptions,
  layerwiseGroups,
  type ParameterGroupsOptions,
  parameterGroups,
} from './groups.js'
export { applyIa3, type Ia3Options } from './ia3.js'
export { Ia3Adapter, type Ia3AdapterOptions } from './ia3-adapter.js'
export { applyLora, type LoraOptions } from './lora.js'
export { LoraAdapter, type LoraAdapterOptions } from './lora-adapter.js'
export { LoraConv1d, LoraConv2d, LoraConv3d } from './lora-conv.js'
export { LoraEmbedding, LoraLinear } from './lora-kinds.js'
export { type MergeIntoOptions, type MergeOptions, mergeLora, unmergeLora } from './merge.js'
export { freezeNorms } from './norms.js'
export { type AdapterFileOptions, loadAdapter, type SaveAdapterOptions, saveAdapter } from './peft.js'
export { removeLora } from './plan.js'
export { type Probe, type ProbeOptions, probe } from './probe.js'
export { applyPrompt, type PromptOptions } from './prompt.js'
export { type QuantizeOptions, quantize } from './quantize.js'
export { type Replay, type ReplayOptions, type ReplayState, replay } from './replay.js'
export type { TargetOptions } from './targets.js'
