export * from './activation.js'
export { Adaptable, type Adaptation, Adapter, type Adapters, type BaseLayer, isAdaptable } from './adapter.js'
export {
  type AttentionInputs,
  type EncoderInputs,
  MultiheadAttention,
  type MultiheadAttentionOptions,
  TransformerEncoderLayer,
  type TransformerEncoderLayerOptions,
} from './attention.js'
export { type Layer, ModuleList, Sequential } from './containers.js'
export { Conv2d } from './conv.js'
export { Embedding } from './embedding.js'
export * as functional from './functional.js'
export type { ForwardHook, ForwardPreHook, HookHandle } from './hooks.js'
export * as init from './init.js'
export type { LayerOptions } from './layer.js'
export { Linear } from './linear.js'
export { Buffer, type Model, Module, Parameter, type ParameterView } from './module.js'
export { BatchNorm1d, BatchNorm2d, LayerNorm } from './norm.js'
export type { BufferOptions } from './parameter.js'
export { AvgPool2d, MaxPool2d } from './pool.js'
export { loadRandomState, type RandomState, randomState } from './random-state.js'
export { LSTM, type LstmLayerOptions, type LstmResult } from './recurrent.js'
export { type LoadOptions, type LoadResult, loadStateDict, type StateDict, stateDict } from './state.js'
export type { LayerSummary, Summary, SummaryOptions } from './summary.js'
