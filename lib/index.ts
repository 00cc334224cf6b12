/** The public face: re-exports, nothing else. */
export { type AutocastDType, autocast } from './autograd/autocast.js'
export { type BackwardOptions, backward, type GradOptions, grad, zeroGrad } from './autograd/backward.js'
export { checkpoint } from './autograd/checkpoint.js'
export { type CustomContext, type CustomForward, type CustomOperator, customOperator } from './autograd/custom.js'
export { enableGrad, isGradEnabled, noGrad } from './autograd/mode.js'
export { savedForBackward } from './autograd/node.js'
export { isRecomputing } from './autograd/region.js'
export {
  type Float32MatmulPrecision,
  getFloat32MatmulPrecision,
  setFloat32MatmulPrecision,
} from './backend/cuda/device.js'
export { CudaGraph, captureGraph } from './backend/cuda/graph.js'
export { describeDevice } from './backend/describe.js'
export { defaultDevice, device, setDefaultDevice, unavailable } from './backend/devices.js'
export { type Memory, memory, resetPeakMemory } from './backend/memory.js'
export { type Trace, trace } from './backend/trace.js'
export * from './compare/index.js'
export type { NumericArray } from './core/arrays.js'
export type { Device, DeviceMemory } from './core/device.js'
export type { BlockDType, DType, SingleFloat, TypedArray } from './core/dtype.js'
export {
  AutogradError,
  DeviceError,
  DisposedError,
  DTypeError,
  type FiresteelError,
  IndexOutOfRangeError,
  InternalError,
  OutOfMemoryError,
  ShapeError,
  StateDictError,
  ValueError,
  WorkerError,
} from './core/errors.js'
export { defaultGenerator, Generator, type GeneratorState, manualSeed, type Resumable } from './core/generator.js'
export { keep, scope } from './core/scope.js'
export type { Shape } from './core/shape.js'
export { Tensor } from './core/tensor.js'
export * from './data/index.js'
export { type CheckpointParts, loadCheckpoint, saveCheckpoint } from './io/checkpoint.js'
export { type GgufDType, type SavedGguf, type SaveGgufOptions, saveGguf } from './io/save-gguf.js'
export { openTensors } from './io/shards.js'
export type { FileArray, FileTensor, SourceSpec, TensorSource } from './io/source.js'
export { type LoadTensorsOptions, loadTensors, type SaveTensorsOptions, saveTensors } from './io/tensors.js'
export * as nn from './nn/index.js'
export * from './ops/index.js'
export * as optim from './optim/index.js'
export * from './train/index.js'
