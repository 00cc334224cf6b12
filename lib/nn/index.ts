/**
 * Layers and models. Everything that a layer's file exports is public. The public names of the machinery's files are
 * listed.
 */
export * from './activation.js'
export {
  Adaptable,
  type Adaptation,
  Adapter,
  type Adapters,
  type BaseLayer,
  isAdaptable,
  type Slot,
} from './adapter.js'
export * from './attention.js'
export * from './bilinear.js'
export { blocksOf, type WithBlocks } from './blocks.js'
export * from './containers.js'
export * from './conv.js'
export * from './dictionaries.js'
export * from './dropout.js'
export * from './embedding.js'
export * from './encoder-decoder.js'
export * as functional from './functional.js'
export * from './gated.js'
export type { ForwardHook, ForwardPreHook, HookHandle } from './hooks.js'
export * as init from './init.js'
export * from './interpolate.js'
export type { LayerOptions } from './layer.js'
export * from './linear.js'
export * from './loss.js'
export { Buffer, type Model, Module, Parameter, type ParameterView } from './module.js'
export * from './norm.js'
export * from './norm-response.js'
export type { BufferOptions } from './parameter.js'
export * from './piecewise.js'
export * from './pool.js'
export * from './pool-volume.js'
export * from './positions.js'
export type { Prompt, PromptKind, PromptReader, PromptSizes, Prompts } from './prompt.js'
export { loadRandomState, type RandomState, randomState } from './random-state.js'
export * from './recurrent.js'
export * from './recurrent-cell.js'
export * from './score-attention.js'
export * from './shape.js'
export { type LoadOptions, type LoadResult, loadStateDict, type StateDict, stateDict } from './state.js'
export type { LayerSummary, Summary, SummaryOptions } from './summary.js'
export * from './transformer.js'
export * from './unpool.js'
